// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"

	"github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

// tester is a *testing.T, or what stands for it in a Ginkgo spec.
type tester interface {
	Helper()
	Fatalf(format string, arguments ...any)
	Cleanup(clean func())
}

// fakeServer is a fake with what tests want of it.
type fakeServer struct{ *daytona.Server }

func startFake(t tester, options daytona.Options) *fakeServer {
	t.Helper()
	server, err := daytona.Start(options)
	gomega.NewWithT(t).Expect(err).NotTo(gomega.HaveOccurred())
	t.Cleanup(server.Close)
	return &fakeServer{server}
}

// needRoot skips what runs commands in sandboxes of the fake.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the sandboxes of the fake need root")
	}
}

func (f *fakeServer) config() backends.Config {
	config := backends.Config{
		Endpoint: f.URL(), Credentials: map[string][]byte{keyAPIKey: []byte(daytona.FakeKey + "\n")}, Reach: backends.Reach{Trusted: true},
	}
	if certificate := f.Web().Certificate(); certificate != nil {
		config.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
	}
	return config
}

// connect builds the backend as another process would.
func (f *fakeServer) connect(t tester, parameters ...string) *backend {
	t.Helper()
	config := f.config()
	for _, text := range parameters {
		config.Parameters = json.RawMessage(text)
	}
	made, err := newBackend(nil, config) //nolint:staticcheck // it makes no call
	g := gomega.NewWithT(t)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	b, ok := made.(*backend)
	g.Expect(ok).To(gomega.BeTrue())
	t.Cleanup(b.web.Close)
	return b
}
