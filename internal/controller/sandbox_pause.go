// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// pause pauses the remote, which is safe to repeat, and writes down for whose sake.
func (p *sandboxPass) pause(ctx context.Context, by pausedBy) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.blocked(ctx, err)
	}
	if p.sandbox.Status.State != v1alpha1.SandboxPaused {
		if err := door.Pause(ctx, p.sandbox.Status.SandboxID); err != nil {
			return p.changeFailed(ctx, err)
		}
	}
	p.sandbox.Status.State = v1alpha1.SandboxPaused
	p.observedPaused(by)
	return ctrl.Result{}, p.record(ctx)
}

// resume has the remote run again. A run that waits for it is woken by the change.
func (p *sandboxPass) resume(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.resumeBlocked(ctx, err)
	}
	if err := door.Resume(ctx, p.sandbox.Status.SandboxID); err != nil {
		return p.resumeBlocked(ctx, err)
	}
	p.activity.note(client.ObjectKeyFromObject(p.sandbox), p.clock.Now())
	p.resumed.note(p.sandbox.UID, p.clock.Now())
	p.sandbox.Status.Endpoints = nil
	p.observed(backends.Remote{State: backends.StateRunning})
	if len(p.sandbox.Spec.Ports) > 0 || !isEquipped(p.sandbox) {
		return p.equip(ctx)
	}
	return ctrl.Result{}, p.record(ctx)
}

// latePause is how long after a resume a pause of the operator's own may still have its effect: the call of a process that died
// with it on its way.
const latePause = 2 * time.Minute

// resumed remembers when this process resumed which sandbox, for as long as that matters.
type resumed struct {
	mutex sync.Mutex
	at    map[types.UID]time.Time
}

func newResumed() *resumed { return &resumed{at: map[types.UID]time.Time{}} }

func (r *resumed) note(uid types.UID, now time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	maps.DeleteFunc(r.at, func(_ types.UID, at time.Time) bool { return now.Sub(at) > latePause })
	r.at[uid] = now
}

func (r *resumed) lately(uid types.UID, now time.Time) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	at, ok := r.at[uid]
	return ok && now.Sub(at) <= latePause
}

// resumeBlocked says why the sandbox was not resumed, without forgetting that it is to be.
func (p *sandboxPass) resumeBlocked(ctx context.Context, err error) (ctrl.Result, error) {
	t, ok := troubleOf(err)
	if !ok || t.final || errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) {
		return p.changeFailed(ctx, err)
	}
	if isPassing(err) {
		return retryLater(err)
	}
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonResuming, "The sandbox is being resumed: "+t.message)
	if recordErr := p.record(ctx); recordErr != nil {
		return ctrl.Result{}, recordErr
	}
	return retryLater(err)
}

// changeFailed deals with a change of the remote that failed: where that says something about the remote, its provider is asked.
func (p *sandboxPass) changeFailed(ctx context.Context, err error) (ctrl.Result, error) {
	if errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) {
		p.wakes.suspect(p.sandbox)
		return ctrl.Result{RequeueAfter: jittered(creatingPoll)}, nil
	}
	return p.blocked(ctx, err)
}
