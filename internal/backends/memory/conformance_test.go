// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"))
}

func TestConformance(t *testing.T) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	ginkgo.RunSpecs(t, "In-memory backend")
}

var _ = describe("memory with native files and unique names", memory.Options{UniqueNames: true})

var _ = describe("memory with files by command, asynchronous and lagging", memory.Options{
	WithoutFiles: true, Token: "secret", CreateDelay: 20 * time.Millisecond, DestroyDelay: 20 * time.Millisecond,
	ListLag: 30 * time.Millisecond, Capabilities: []backends.Capability{backends.CapabilityTemplate},
})

func describe(name string, options memory.Options) bool {
	var provider *memory.Provider
	return conformance.Describe(name, func() conformance.Subject {
		provider = memory.NewProvider(options)
		ginkgo.DeferCleanup(provider.Close)
		return subject(provider)
	})
}

// subject is what the suite must know of a provider.
func subject(provider *memory.Provider) conformance.Subject {
	registration := provider.Registration("memory")
	connect := func() backends.Backend {
		config := backends.Config{Credentials: map[string][]byte{"token": []byte("secret")}}
		backend, err := registration.New(context.Background(), config)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		return backend
	}
	return conformance.Subject{
		Server: conformance.PythonServer, Registration: registration, Backend: connect(), Another: connect(),
		Scratch:   func(id string) string { return filepath.Join(provider.Dir(id), "scratch") },
		Sources:   []backends.Source{{}, {Template: "a-template"}},
		MakeError: func(code backends.Code, id string) (func(), bool) { return trouble(provider, code, id), true },
	}
}

// trouble makes a provider fail with a code, by its own means where it has them.
func trouble(provider *memory.Provider, code backends.Code, id string) (undo func()) {
	switch code {
	case backends.NotRunning:
		provider.Stop(id)
		return func() {}
	case backends.NotFound:
		provider.Kill(id)
		return func() {}
	case backends.QuotaExceeded:
		provider.Change(func(o *memory.Options) { o.MaxRemotes = 1 })
		return func() { provider.Change(func(o *memory.Options) { o.MaxRemotes = 0 }) }
	default:
		return provider.Inject(memory.Fault{Err: memory.Error(code, time.Second)})
	}
}
