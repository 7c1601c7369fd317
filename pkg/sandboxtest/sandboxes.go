// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// Sandbox is what the provider has for a Sandbox.
type Sandbox struct {
	// ID is the provider's identifier, which stands in status.sandboxID.
	ID string
	// Namespace and Name are those of the Sandbox.
	Namespace, Name string
	// Incarnation is the how-manieth sandbox of that Sandbox it is, from 1.
	Incarnation int64
	// State is Creating, Running, Paused or Stopped.
	State string
	// Image, Template and Snapshot are what it was made from, as the Sandbox says.
	Image, Template, Snapshot string
	// Env are its variables, but for those from Secrets: no create call has them.
	Env map[string]string
	// Labels are spec.remoteLabels.
	Labels map[string]string
	// CreatedAt is when it was made.
	CreatedAt time.Time
}

// Sandboxes returns what exists at the provider, oldest first: a Sandbox that is gone must have nothing here.
func (o *Operator) Sandboxes() []Sandbox {
	var all []Sandbox
	for _, remote := range o.provider.Remotes() {
		request, _ := o.provider.Request(remote.ID)
		all = append(all, Sandbox{
			ID: remote.ID, Namespace: remote.Mark.Namespace, Name: remote.Mark.Name, Incarnation: remote.Mark.Incarnation,
			State: string(remote.State), Image: request.Source.Image, Template: request.Source.Template, Snapshot: request.Source.Snapshot,
			Env: maps.Clone(request.Env), Labels: maps.Clone(remote.Labels), CreatedAt: remote.CreatedAt,
		})
	}
	return all
}

// Lose has what the provider has for a Sandbox vanish, as a provider does that loses a machine. It says whether there was something. The
// operator finds out when it looks next, within a second.
func (o *Operator) Lose(namespace, sandbox string) bool {
	return o.each(namespace, sandbox, func(id string) bool { return o.provider.Kill(id) })
}

// Halt stops what the provider has for a Sandbox, as a lack of memory would: it is still there, and runs nothing any more.
func (o *Operator) Halt(namespace, sandbox string) bool {
	return o.each(namespace, sandbox, func(id string) bool {
		o.runner.Forget(id)
		return o.provider.Stop(id)
	})
}

func (o *Operator) each(namespace, sandbox string, do func(id string) bool) (done bool) {
	for _, remote := range o.provider.Remotes() {
		if remote.Mark.Namespace == namespace && remote.Mark.Name == sandbox {
			done = do(remote.ID) || done
		}
	}
	return done
}

// ReadFile reads a file of what the provider has for a Sandbox. The error is that of package os.
func (o *Operator) ReadFile(namespace, sandbox, path string) ([]byte, error) {
	for _, remote := range o.provider.Remotes() {
		if remote.Mark.Namespace == namespace && remote.Mark.Name == sandbox {
			return o.readFile(remote.ID, path)
		}
	}
	return nil, fmt.Errorf("the provider has nothing for Sandbox %s/%s: %w", namespace, sandbox, fs.ErrNotExist)
}

// hostPath is where a file of a sandbox is on this machine: below the directory of that sandbox, whatever the path says.
func (o *Operator) hostPath(id, path string) string {
	return filepath.Join(o.provider.Dir(id), "root", filepath.Join("/", path))
}

func (o *Operator) readFile(id, path string) ([]byte, error) {
	return os.ReadFile(o.hostPath(id, path))
}

func (o *Operator) writeFile(id, path string, content []byte, mode fs.FileMode) error {
	host := o.hostPath(id, path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil { //nolint:gosec // as in a sandbox
		return err
	}
	return os.WriteFile(host, content, mode.Perm())
}
