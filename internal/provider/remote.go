// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Remote is the way to one remote. Its methods are those of the backend and of package backends.
type Remote struct {
	door *Door
	id   string
}

// Remote returns the way to one remote. It makes no call.
func (d *Door) Remote(id string) Remote { return Remote{door: d, id: id} }

// RunCommand is that of the backend.
func (r Remote) RunCommand(ctx context.Context, command backends.Command) (backends.Result, error) {
	return call(ctx, r.door, "run", commandTimeout, func(ctx context.Context) (backends.Result, error) {
		return r.door.backend.RunCommand(ctx, r.id, command)
	})
}

// SpoolRoot is that of the backend.
func (r Remote) SpoolRoot() string { return backends.SpoolRoot(r.door.backend, r.id) }

// WriteFile is that of package backends.
func (r Remote) WriteFile(ctx context.Context, path string, content []byte, mode fs.FileMode) error {
	_, err := call(ctx, r.door, "write", commandTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, backends.WriteFile(ctx, r.door.backend, r.id, path, content, mode)
	})
	return err
}

// ReadFile is that of package backends.
func (r Remote) ReadFile(ctx context.Context, path string, limit int64) ([]byte, error) {
	return call(ctx, r.door, "read", commandTimeout, func(ctx context.Context) ([]byte, error) {
		return backends.ReadFile(ctx, r.door.backend, r.id, path, limit)
	})
}

// ReadDir is that of package backends.
func (r Remote) ReadDir(ctx context.Context, path string) ([]backends.FileInfo, error) {
	return call(ctx, r.door, "readdir", commandTimeout, func(ctx context.Context) ([]backends.FileInfo, error) {
		return backends.ReadDir(ctx, r.door.backend, r.id, path)
	})
}

// Stat is that of package backends.
func (r Remote) Stat(ctx context.Context, path string) (backends.FileInfo, error) {
	return call(ctx, r.door, "stat", commandTimeout, func(ctx context.Context) (backends.FileInfo, error) {
		return backends.Stat(ctx, r.door.backend, r.id, path)
	})
}

// Attached is the way to one remote for calls that last as long as the command that they run.
type Attached struct{ Remote }

// Attached returns it. It makes no call.
func (r Remote) Attached() Attached { return Attached{r} }

// RunCommand is that of the backend, with no bound on its time but the command's own. It has its place in the account only
// while it begins: the caller bounds how many there are.
func (a Attached) RunCommand(ctx context.Context, command backends.Command) (backends.Result, error) {
	return attached(ctx, a.door, "run", command.Timeout, func(ctx context.Context) (backends.Result, error) {
		return a.door.backend.RunCommand(ctx, a.id, command)
	})
}

// RunCode is that of the backend, likewise.
func (a Attached) RunCode(ctx context.Context, code backends.SourceCode) (backends.CodeResult, error) {
	runner, ok := a.door.backend.(backends.CodeRunner)
	if !ok {
		return backends.CodeResult{}, backends.Errorf(backends.Unsupported, a.door.registration.Name, "run code",
			"this backend has no interpreter of its own; leave out code.engine to run the code with a program of the sandbox")
	}
	return attached(ctx, a.door, "code", code.Timeout, func(ctx context.Context) (backends.CodeResult, error) {
		return runner.RunCode(ctx, a.id, code)
	})
}

// attachedGrace is what an attached call gets beyond the time of its command, to kill it and to bring back the result.
const attachedGrace = time.Minute

// attached is what every attached call passes.
func attached[T any](
	ctx context.Context, d *Door, operation string, timeout time.Duration, do func(context.Context) (T, error),
) (T, error) {
	var zero T
	if err := d.enter(ctx, operation); err != nil {
		return zero, err
	}
	d.account.release()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout+attachedGrace)
		defer cancel()
	}
	began := time.Now()
	result, err := do(ctx)
	err = d.typed(ctx, operation, err)
	d.observe(ctx, operation, err, time.Since(began))
	if errors.Is(err, backends.NotFound) {
		err = d.believe(operation, err)
	}
	return result, err
}
