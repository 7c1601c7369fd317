// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager is the operator's program with a provider in its own memory, which takes no longer for anything than it is told to.
package main

import (
	"context"
	"flag"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/internal/manager"
)

func main() {
	registration := memory.NewProvider(memory.Options{}).Registration("bench")
	delay := flag.Duration("bench-delay", 0, "how long the provider takes to make a sandbox, and to destroy it")
	commands := flag.String("bench-commands", "instant", "instant = every command ends at once; real = processes of this machine")
	// One provider for all connections to it, as its sandboxes are in it.
	provider := sync.OnceValue(func() *memory.Provider { return newProvider(*commands, *delay) })
	registration.New = func(ctx context.Context, config backends.Config) (backends.Backend, error) {
		return provider().Registration("bench").New(ctx, config)
	}
	manager.Main(backends.NewRegistry(registration), "bench")
}

func newProvider(commands string, delay time.Duration) *memory.Provider {
	options := memory.Options{UniqueNames: true}
	if commands == "instant" {
		options.RunCommandFunc = endAtOnce
	}
	provider := memory.NewProvider(options)
	if delay > 0 {
		for _, operation := range []string{memory.OperationCreate, memory.OperationDestroy} {
			provider.Inject(memory.Fault{Operation: operation, Delay: delay})
		}
	}
	return provider
}

// endAtOnce answers the runner's calls as a sandbox does in which the command has just ended.
func endAtOnce(_ context.Context, _ backends.Remote, command backends.Command) (backends.Result, error) {
	if len(command.Argv) > 5 && command.Argv[5] == "start" {
		return backends.Result{Stdout: []byte(ended)}, nil
	}
	return backends.Result{ExitCode: 1}, nil
}

// ended is the answer of internal/execution's runner.
const ended = "sandboxes.run/1\nstate exited\nend 0 exited 100 101 102 ok\nsecrets -\nfiles \nstdout 0\nstderr 0\n\n"
