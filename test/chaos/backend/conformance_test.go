// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backend_test

import (
	"context"
	"flag"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

func TestConformance(t *testing.T) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "The chaos suite's provider without trouble")
}

// What the suite blames on the operator must not be the doing of a fake that is no proper provider.
var _ = describe(backend.Named, fake.Options{UniqueNames: true})

var _ = describe(backend.Listed, fake.Options{ListLag: 50 * time.Millisecond})

func describe(name string, options fake.Options) bool {
	return conformance.Describe(name, func() conformance.Subject {
		options.Dir, options.Token = ginkgo.GinkgoT().TempDir(), "token"
		server := fake.NewServer(options)
		web := httptest.NewServer(server)
		ginkgo.DeferCleanup(func() {
			web.Close()
			gomega.Expect(server.Close()).To(gomega.Succeed())
		})
		registry := backend.Registry()
		flags := flag.NewFlagSet(name, flag.ContinueOnError)
		registry.AddFlags(flags)
		gomega.Expect(flags.Parse([]string{"--chaos-url=" + web.URL, "--chaos-dir=" + options.Dir})).To(gomega.Succeed())
		registration, err := registry.Lookup(name)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		connect := func() backends.Backend {
			connected, err := registration.New(context.Background(), backends.Config{
				Credentials: map[string][]byte{fake.TokenKey: []byte("token")}, Parameters: []byte(`{"account":"a"}`),
			})
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
			return connected
		}
		return conformance.Subject{
			Registration: registration, Backend: connect(), Another: connect(),
			Scratch: func(id string) string { return filepath.Join(options.Dir, "a", id, "scratch") },
		}
	})
}
