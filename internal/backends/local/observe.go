// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// status is what the machine says about a remote at this moment.
type status struct {
	state  backends.State
	reason string
}

// observe looks at files and at /proc, and starts no process. What runsc has written down is not believed: after an
// out-of-memory kill it still says running.
func (m *machine) observe(d remoteDir, rec record) status {
	if _, err := os.Stat(d.expired()); err == nil {
		return status{backends.StateStopped, "its lifetime is over, and it is being removed"}
	}
	// The starter is looked at first: it makes the sandbox ready before it ends, so one that is gone has no more to say.
	starting := sandboxProcess(d, d.starter()) != 0
	if _, err := os.Stat(d.ready()); err != nil {
		if starting {
			return status{state: backends.StateCreating}
		}
		return status{backends.StateStopped, "its start was interrupted or failed; destroy it and create another"}
	}
	if sandboxProcess(d, d.sentry()) == 0 {
		return status{backends.StateStopped, m.deathReason(rec)}
	}
	if isPaused(d) {
		return status{state: backends.StatePaused}
	}
	return status{state: backends.StateRunning}
}

func (m *machine) deathReason(rec record) string {
	if m.cgroups.outOfMemory(rec.Cgroup) {
		return "it ran out of memory and was killed by the machine's kernel"
	}
	return "its processes ended: its first process or gVisor was killed, or the machine was restarted"
}

// isPaused reads runsc's own state file, as the one place where a pause is written down. A file of another form than expected
// means not paused: a command would then be refused by runsc itself.
func isPaused(d remoteDir) bool {
	files, err := filepath.Glob(filepath.Join(d.state(), "*.state"))
	if err != nil || len(files) != 1 {
		return false
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return false
	}
	var state struct {
		Status string `json:"status"`
	}
	return json.Unmarshal(data, &state) == nil && state.Status == "paused"
}

func (m *machine) describe(d remoteDir, rec record) backends.Remote {
	now := m.observe(d, rec)
	mark, labels := backends.SplitLabels(rec.Labels)
	return backends.Remote{
		ID: d.id(), Name: d.id(), State: now.state, Reason: now.reason,
		Mark: mark, Labels: labels, Image: rec.Image, CreatedAt: rec.CreatedAt,
		ExpiresAt: d.readLease(),
	}
}

// Get implements backends.Backend.
func (b *backend) Get(ctx context.Context, id string) (backends.Remote, error) {
	m, d, rec, err := b.existing(ctx, operationGet, id)
	if err != nil {
		return backends.Remote{}, err
	}
	return m.describe(d, rec), nil
}

// FindByName implements backends.NameFinder: the name is the ID.
func (b *backend) FindByName(ctx context.Context, name string) (backends.Remote, error) {
	return b.Get(ctx, name)
}

// List implements backends.Backend.
func (b *backend) List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error) {
	m, err := b.machine(ctx, operationList)
	if err != nil {
		return nil, err
	}
	ids, err := m.store.ids()
	if err != nil {
		return nil, backends.Errorf(backends.Unavailable, Name, operationList, "the state directory can't be read: %w", withoutPath(err))
	}
	m.relays.keepOnly(ids)
	var remotes []backends.Remote
	for _, id := range ids {
		d := m.store.remote(id)
		rec, err := readRecord(d)
		if errors.Is(err, fs.ErrNotExist) {
			continue // destroyed meanwhile
		}
		// A damaged record gives a remote without a mark.
		if mark, _ := backends.SplitLabels(rec.Labels); filter.Matches(mark) {
			m.enforceLease(ctx, d, rec)
			remotes = append(remotes, m.describe(d, rec))
		}
		if err := ctx.Err(); err != nil {
			return nil, backends.Errorf(backends.Unavailable, Name, operationList, "%w", err)
		}
	}
	return remotes, nil
}
