// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager is the operator's program with a provider in its own memory, which takes no longer for anything than it is told to.
package main

import (
	"context"
	"flag"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/internal/manager"
)

func main() {
	delay := flag.Duration("bench-delay", 0, "how long the provider takes for each call")
	provider := memory.NewProvider(memory.Options{
		UniqueNames: true,
		// Commands are no part of what is measured with it.
		RunCommandFunc: func(context.Context, backends.Remote, backends.Command) (backends.Result, error) {
			return backends.Result{ExitCode: 1}, nil
		},
	})
	registration := provider.Registration("bench")
	open := registration.New
	registration.New = func(ctx context.Context, config backends.Config) (backends.Backend, error) {
		if *delay > 0 {
			for _, operation := range []string{memory.OperationCreate, memory.OperationDestroy} {
				provider.Inject(memory.Fault{Operation: operation, Delay: *delay})
			}
		}
		return open(ctx, config)
	}
	manager.Main(backends.NewRegistry(registration), "bench")
}
