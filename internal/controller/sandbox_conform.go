// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"maps"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// conform brings a remote up to date with what can be changed of the spec. Pausing and resuming are steps of their own.
func (p *sandboxPass) conform(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.blocked(ctx, err)
	}
	if err := p.check(door); err != nil && p.sandbox.Spec.SandboxID == "" {
		return p.blocked(ctx, err)
	}
	remote, err := door.Get(ctx, p.sandbox.Status.SandboxID)
	if err != nil {
		return p.changeFailed(ctx, err)
	}
	if err := p.conformLifetime(ctx, door, remote); err != nil {
		return p.changeFailed(ctx, err)
	}
	if err := p.conformLabels(ctx, door, remote); err != nil {
		return p.changeFailed(ctx, err)
	}
	p.observed(remote)
	if remote.State == backends.StateRunning {
		if err := p.reach(ctx, door); err != nil {
			return p.changeFailed(ctx, err)
		}
	}
	if err := p.record(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return p.goOn(), nil
}

// conformLifetime moves the end that the provider keeps by itself, where it is not as it should be now.
func (p *sandboxPass) conformLifetime(ctx context.Context, door *provider.Door, remote backends.Remote) error {
	s := inventoried(p.sandbox)
	s.ExpiresAt = p.expiresAt()
	lifetime, due := dueLifetime(door, remote.ExpiresAt, s, p.clock.Now())
	if !due || hasNoEnd(door, remote) {
		return nil
	}
	return door.SetLifetime(ctx, remote.ID, lifetime)
}

// conformLabels replaces the labels of the remote, where its provider can do that.
func (p *sandboxPass) conformLabels(ctx context.Context, door *provider.Door, remote backends.Remote) error {
	if maps.Equal(remote.Labels, p.sandbox.Spec.RemoteLabels) || p.sandbox.Spec.SandboxID != "" && len(p.sandbox.Spec.RemoteLabels) == 0 {
		return nil
	}
	err := door.SetLabels(ctx, remote.ID, p.sandbox.Spec.RemoteLabels)
	if errors.Is(err, backends.Unsupported) {
		p.recorder.Eventf(p.sandbox, nil, corev1.EventTypeWarning, v1alpha1.ReasonUnsupported, "SetLabels",
			"The provider can't change the labels of a sandbox that exists: it keeps those that it was made with")
		return nil
	}
	return err
}
