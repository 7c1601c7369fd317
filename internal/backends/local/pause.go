// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Pause implements backends.Pauser. The sandbox keeps its memory, and its processes stand still.
func (b *backend) Pause(ctx context.Context, id string) error {
	return b.turn(ctx, operationPause, id, backends.StateRunning, backends.StatePaused)
}

// Resume implements backends.Pauser.
func (b *backend) Resume(ctx context.Context, id string) error {
	return b.turn(ctx, operationResume, id, backends.StatePaused, backends.StateRunning)
}

// turn brings a sandbox from one state to another, with the runsc command that is called like the operation.
func (b *backend) turn(ctx context.Context, operation, id string, from, to backends.State) error {
	m, d, rec, err := b.existing(ctx, operation, id)
	if err != nil {
		return err
	}
	switch now := m.observe(d, rec); now.state {
	case to:
		return nil
	case from:
	default:
		return notRunning(operation, now)
	}
	runErr := m.runsc.act(ctx, d, operation)
	if now := m.observe(d, rec); runErr == nil || now.state == to {
		return nil // where runsc failed, somebody else was faster
	}
	failed := backends.Errorf(backends.Ambiguous, Name, operation, "%w", runErr)
	failed.OfRequest = true
	return failed
}

// SetLabels implements backends.Labeler.
func (b *backend) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	m, d, rec, err := b.existing(ctx, operationSetLabels, id)
	if err != nil {
		return err
	}
	mark, _ := backends.SplitLabels(rec.Labels)
	rec.Labels = labelsOf(labels, mark)
	data, err := json.Marshal(rec)
	if err == nil {
		err = replaceFile(d.record(), data)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m.absent(operationSetLabels)
	case err != nil:
		return backends.Errorf(backends.Unavailable, Name, operationSetLabels, "the labels can't be written: %w", withoutPath(err))
	}
	return nil
}

// labelsOf joins the user's labels and the mark, which goes last: no label can forge it.
func labelsOf(labels map[string]string, mark backends.Mark) map[string]string {
	all := map[string]string{}
	maps.Copy(all, labels)
	maps.Copy(all, mark.Labels())
	return all
}
