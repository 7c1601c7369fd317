// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	// deleteAttempts and deletePause: runsc delete fails once or twice after a sandbox was killed for want of memory, while
	// the kernel still calls its cgroup busy.
	deleteAttempts = 5
	deletePause    = 100 * time.Millisecond
)

// Destroy implements backends.Backend. It ends and removes whatever is there: running, dead, or never quite begun.
func (b *backend) Destroy(ctx context.Context, id string) error {
	m, err := b.machine(ctx, operationDestroy)
	if err != nil {
		return err
	}
	if !validID.MatchString(id) {
		return notFound(operationDestroy)
	}
	err = m.destroy(ctx, m.store.remote(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m.absent(operationDestroy)
	case err != nil:
		return backends.Errorf(backends.Ambiguous, Name, operationDestroy, "the sandbox is not wholly gone yet: %w", withoutPath(err))
	}
	return nil
}

// destroy returns fs.ErrNotExist when there is no such remote. The directory goes last: as long as anything of the remote
// is left, it can be found, and destroyed again.
func (m *machine) destroy(ctx context.Context, d remoteDir) error {
	if _, err := os.Lstat(string(d)); err != nil {
		return err
	}
	m.relays.closeAll(d.id())
	if err := d.stopKeeper(ctx); err != nil {
		return err
	}
	// A damaged record must not keep the remote; only its cgroup is not known then.
	rec, _ := readRecord(d)
	if err := m.end(ctx, d); err != nil {
		return err
	}
	if err := m.cgroups.remove(ctx, rec.Cgroup); err != nil {
		return err
	}
	return m.store.retire(string(d))
}

// end ends all processes of the remote.
func (m *machine) end(ctx context.Context, d remoteDir) error {
	_, err := os.Stat(d.ready())
	if err != nil || sandboxProcess(d, d.sentry()) == 0 {
		// Half started or half dead: there may be parts that runsc does not know of.
		if err := d.killProcesses(ctx); err != nil {
			return err
		}
	}
	var deleteErr error
	for range deleteAttempts {
		if deleteErr = m.runsc.delete(ctx, d); deleteErr == nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(deletePause):
		}
	}
	if deleteErr == nil && sandboxProcess(d, d.sentry()) == 0 {
		return nil
	}
	// What runsc can't delete is ended all the same; nothing of its books outlives the directory.
	return d.killProcesses(ctx)
}
