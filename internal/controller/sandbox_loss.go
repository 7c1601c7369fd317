// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

const (
	// longLived is how long a remote must have lived so that its successor is made at once.
	longLived = 10 * time.Minute
	// mostRecreateDelay bounds the growing delays between remotes that don't live long.
	mostRecreateDelay = 5 * time.Minute
)

// recreates says that a remote which is lost shall be made again.
func (p *sandboxPass) recreates() bool {
	return p.life.OnLoss == v1alpha1.OnLossRecreate && p.sandbox.Spec.SandboxID == ""
}

// lostOnce records that the remote is lost and another will be made. Its files go with it.
func (p *sandboxPass) lostOnce(state v1alpha1.SandboxState, message string) {
	p.sandbox.Status.State = state
	p.sandbox.Status.Endpoints = nil
	p.unfinished()
	meta.RemoveStatusCondition(&p.sandbox.Status.Conditions, v1alpha1.ConditionFilesWritten)
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonRecreating, message+"; another is made in its place")
}

// recreateAt is when a lost remote is to be made again; zero = never.
func (p *sandboxPass) recreateAt() time.Time {
	status := &p.sandbox.Status
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	lost := status.State == v1alpha1.SandboxGone || status.State == v1alpha1.SandboxStopped
	if !lost || status.FinishedAt != nil || ready == nil || !p.recreates() || status.CreatedAt == nil {
		return time.Time{}
	}
	lostAt := ready.LastTransitionTime.Time
	return lostAt.Add(recreateDelay(lostAt.Sub(status.CreatedAt.Time), status.Incarnation, p.options.RecreateDelay))
}

// recreateDelay is how long to wait before a remote is made again that lived for so long, and was the how-manieth: one that
// dies soon shall not be made over and over, as each costs.
func recreateDelay(lived time.Duration, incarnation int64, first time.Duration) time.Duration {
	if lived >= longLived {
		return 0
	}
	doublings := min(max(incarnation-1, 0), 16)
	return min(first<<doublings, mostRecreateDelay)
}

// recreate makes another remote, after the old one is certainly gone: one that only seemed to be must not live beside it.
func (p *sandboxPass) recreate(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.blocked(ctx, err)
	}
	gone, err := ensureGone(ctx, door, p.sandbox.Status.SandboxID)
	if err != nil {
		return p.blocked(ctx, err)
	}
	if !gone {
		return ctrl.Result{RequeueAfter: destroyPoll}, nil
	}
	return p.create(ctx)
}
