// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package system_test holds what a user of the operator sees: the manager's own program, a real control plane, real sandboxes.
//
// apply_test.go has what the API server refuses, provider_test.go and sandbox_test.go the objects of these names. Of SandboxExecs,
// program_test.go has what they run, ending_test.go how they end, streams_test.go and progress_test.go what is kept and shown of
// their output, files_test.go what goes in and comes out, retry_test.go and turns_test.go when they run again and one after
// another, oneshot_test.go those with sandboxes of their own, and hostile_test.go commands that behave badly. secrets_test.go
// looks for Secrets where none may be. What is measured and counted is in budgets.
package system_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed *testbed.Bed
	// images is a registry without images, and noRegistry an address where none is. From both may be pulled.
	images, noRegistry string
)

func TestTheOperator(t *testing.T) { testbed.RunSuite(t, "The operator") }

var _ = BeforeSuite(func(ctx context.Context) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	DeferCleanup(server.Close)
	images = strings.TrimPrefix(server.URL, "http://")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	noRegistry = listener.Addr().String()
	Expect(listener.Close()).To(Succeed())

	bed, err = testbed.Start(ctx, testbed.Options{Registries: []string{images, noRegistry}})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
	Expect(bed.StartManager()).To(Succeed())
})

// All namespaces of specs are deleted by now: the manager has to clear them.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	bed.EventuallyRemotes(ctx, "", 0)
})

// mergePatch changes what the JSON has.
func mergePatch(json string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(json)) }
