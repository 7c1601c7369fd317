// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testbed

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/local"
)

// openProvider opens the backend on the manager's own state directory: nobody but that directory knows what there is.
func (b *Bed) openProvider(ctx context.Context) (backends.Backend, error) {
	registration := local.Registration()
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	registration.Flags(flags)
	if err := flags.Parse([]string{"--local-root=" + b.localRoot(), "--local-runsc=" + b.runsc}); err != nil {
		return nil, err
	}
	return registration.New(ctx, backends.Config{})
}

// Remotes returns what the provider has for the Sandboxes of a namespace; of all, where that is empty.
func (b *Bed) Remotes(ctx context.Context, namespace string) ([]backends.Remote, error) {
	all, err := b.Provider.List(ctx, backends.Filter{})
	if err != nil {
		return nil, fmt.Errorf("listing what the provider has: %w", err)
	}
	var found []backends.Remote
	for _, remote := range all {
		if namespace == "" || remote.Mark.Namespace == namespace {
			found = append(found, remote)
		}
	}
	return found, nil
}

func (b *Bed) destroyAll(ctx context.Context) error {
	remotes, err := b.Remotes(ctx, "")
	failures := []error{err}
	for _, remote := range remotes {
		if err := b.Provider.Destroy(ctx, remote.ID); err != nil && !errors.Is(err, backends.NotFound) {
			failures = append(failures, fmt.Errorf("destroying %s: %w", remote.ID, err))
		}
	}
	return errors.Join(failures...)
}

// RunIn runs a shell line in a remote, past the operator.
func (b *Bed) RunIn(ctx context.Context, id, line string) (string, error) {
	result, err := b.Provider.RunCommand(ctx, id, backends.Command{Argv: []string{"sh", "-c", line}})
	if err != nil {
		return "", err
	}
	return string(result.Stdout), nil
}

// CommandLines are the command lines of all processes of a remote, one a line.
func (b *Bed) CommandLines(ctx context.Context, id string) (string, error) {
	return b.RunIn(ctx, id, `for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline 2>/dev/null && echo; done | sed 's/ $//'`)
}

// RemoteDir is where the backend keeps a remote on this machine.
func (b *Bed) RemoteDir(id string) string { return filepath.Join(b.localRoot(), "sandboxes", id) }
