// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"errors"
	"io/fs"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// The operations, as errors name them.
const (
	operationCreate  = "create"
	operationGet     = "get"
	operationList    = "list"
	operationDestroy = "destroy"
	operationRun     = "run command"

	operationSetLifetime = "set lifetime"
	operationPause       = "pause"
	operationResume      = "resume"
	operationSetLabels   = "set labels"
	operationEndpoint    = "endpoint"
)

// backend implements the contract for one provider object. It keeps nothing about remotes.
type backend struct {
	options options
	opener  opener
}

var (
	_ backends.Backend     = (*backend)(nil)
	_ backends.NameFinder  = (*backend)(nil)
	_ backends.SpoolRooter = (*backend)(nil)
	_ backends.FileReader  = (*backend)(nil)
	_ backends.FileWriter  = (*backend)(nil)
	_ backends.DirMaker    = (*backend)(nil)
	_ backends.DirReader   = (*backend)(nil)
	_ backends.Stater      = (*backend)(nil)
	_ backends.Remover     = (*backend)(nil)

	_ backends.LifetimeSetter = (*backend)(nil)
	_ backends.Pauser         = (*backend)(nil)
	_ backends.Labeler        = (*backend)(nil)
	_ backends.Endpointer     = (*backend)(nil)
)

func openBackend(s settings, o options) (backends.Backend, error) {
	return &backend{options: o, opener: opener{settings: s}}, nil
}

// SpoolRoot implements backends.SpoolRooter. The directory is part of each root filesystem.
func (b *backend) SpoolRoot(string) string { return spoolRoot }

// machine returns the machine, or an error that says what it lacks.
func (b *backend) machine(ctx context.Context, operation string) (*machine, error) {
	m, err := b.opener.machine(ctx)
	if err != nil {
		return nil, backends.Errorf(backends.Unavailable, Name, operation, "%w", err)
	}
	return m, nil
}

// existing returns the directory and record of a remote, or NotFound.
func (b *backend) existing(ctx context.Context, operation, id string) (*machine, remoteDir, record, error) {
	m, err := b.machine(ctx, operation)
	if err != nil {
		return nil, "", record{}, err
	}
	if !validID.MatchString(id) {
		return nil, "", record{}, notFound(operation)
	}
	d := m.store.remote(id)
	rec, err := readRecord(d)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", record{}, m.absent(operation)
	case err != nil:
		return nil, "", record{}, backends.Errorf(backends.Unavailable, Name, operation,
			"the sandbox's record can't be read: %w", err)
	}
	m.enforceLease(ctx, d, rec)
	return m, d, rec, nil
}

// running is existing for what only a running sandbox can do.
func (b *backend) running(ctx context.Context, operation, id string) (*machine, remoteDir, record, error) {
	m, d, rec, err := b.existing(ctx, operation, id)
	if err != nil {
		return nil, "", record{}, err
	}
	if now := m.observe(d, rec); now.state != backends.StateRunning {
		return nil, "", record{}, notRunning(operation, now)
	}
	return m, d, rec, nil
}

// absent is NotFound, unless it is the state directory that is gone, such as a disk that is not mounted.
func (m *machine) absent(operation string) error {
	if err := m.store.check(); err != nil {
		return backends.Errorf(backends.Unavailable, Name, operation, "the state directory can't be read: %w", withoutPath(err))
	}
	return notFound(operation)
}

func notFound(operation string) error {
	return backends.Errorf(backends.NotFound, Name, operation, "the sandbox does not exist")
}

func notRunning(operation string, now status) error {
	if now.reason != "" {
		return backends.Errorf(backends.NotRunning, Name, operation, "the sandbox does not run: %s", now.reason)
	}
	return backends.Errorf(backends.NotRunning, Name, operation, "the sandbox does not run; its state is %s", now.state)
}
