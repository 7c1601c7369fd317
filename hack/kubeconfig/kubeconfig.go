// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubeconfig hands out the kubeconfig of a cluster that a program runs until it is interrupted.
package kubeconfig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Serve copies the kubeconfig to the target, and waits for the end of the context, with which the copy goes. It comes into being
// whole, and after say was called with its path: a script may wait for it.
func Serve(ctx context.Context, source, target string, say func(path string)) error {
	path, err := filepath.Abs(target)
	if err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	content, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	partial := path + ".partial"
	if err := os.WriteFile(partial, content, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	say(path)
	if err := os.Rename(partial, path); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	<-ctx.Done()
	return os.Remove(path)
}
