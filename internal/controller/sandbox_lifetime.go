// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// ttlSecondsAfterFinished deletes Sandboxes.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes,verbs=delete

// lifetime is what holds for a Sandbox: its own, or else the default of the provider that has its remote.
func (r *sandboxReconciler) lifetime(ctx context.Context, sandbox *v1alpha1.Sandbox) v1alpha1.SandboxLifetime {
	if sandbox.Spec.Lifetime != nil {
		return *sandbox.Spec.Lifetime
	}
	identity := providerIdentity(sandbox)
	if identity == nil {
		return v1alpha1.SandboxLifetime{}
	}
	chosen, err := r.finder.ByIdentity(ctx, sandbox.Namespace, *identity)
	if err != nil {
		// A provider that can't be read has no say, and keeps no remote from living on.
		return v1alpha1.SandboxLifetime{}
	}
	return effectiveLifetime(sandbox, chosen)
}

func effectiveLifetime(sandbox *v1alpha1.Sandbox, chosen provider.Provider) v1alpha1.SandboxLifetime {
	switch defaults := chosen.Spec.Defaults; {
	case sandbox.Spec.Lifetime != nil:
		return *sandbox.Spec.Lifetime
	case defaults != nil && defaults.Lifetime != nil:
		life := *defaults.Lifetime
		if sandbox.Spec.SandboxID != "" {
			// What was adopted can't be made again.
			life.OnLoss = v1alpha1.OnLossFail
		}
		return life
	default:
		return v1alpha1.SandboxLifetime{}
	}
}

// defaultLifetimeDiffers says that the provider's default gives the Sandbox another end than its status has, or may do so.
func defaultLifetimeDiffers(p provider.Provider, sandbox *v1alpha1.Sandbox) bool {
	life := effectiveLifetime(sandbox, p)
	return life.IdleTimeoutSeconds > 0 || !expiryOf(sandbox, life).Equal(timeOf(sandbox.Status.ExpiresAt))
}

// expiresAt is when the remote is to be destroyed, whatever it does; zero = never.
func (p *sandboxPass) expiresAt() time.Time { return expiryOf(p.sandbox, p.life) }

func expiryOf(sandbox *v1alpha1.Sandbox, life v1alpha1.SandboxLifetime) time.Time {
	if life.TimeoutSeconds == 0 || sandbox.Status.CreatedAt == nil {
		return time.Time{}
	}
	return sandbox.Status.CreatedAt.Add(seconds(life.TimeoutSeconds))
}

// idleAt is when the sandbox was idle for too long; zero = never, or not while it is in use.
func (p *sandboxPass) idleAt() time.Time {
	if p.life.IdleTimeoutSeconds == 0 || p.needed || p.sandbox.Status.CreatedAt == nil {
		return time.Time{}
	}
	return latest(p.lastActivity(), p.activity.since).Add(seconds(p.life.IdleTimeoutSeconds))
}

// lastActivity is when something was last done with the remote, as far as is known.
func (p *sandboxPass) lastActivity() time.Time {
	status := &p.sandbox.Status
	at := latest(timeOf(status.CreatedAt), timeOf(status.LastActivityTime), p.activity.of(client.ObjectKeyFromObject(p.sandbox)))
	return at.Truncate(time.Second)
}

// deleteAt is when the object of a remote that ended is to be deleted; zero = never.
func (p *sandboxPass) deleteAt() time.Time {
	if p.life.TTLSecondsAfterFinished == nil || p.sandbox.Status.FinishedAt == nil {
		return time.Time{}
	}
	return p.sandbox.Status.FinishedAt.Add(seconds(*p.life.TTLSecondsAfterFinished))
}

// comeBack has the object come again at its next deadline, unless it comes earlier anyhow.
func (p *sandboxPass) comeBack(result ctrl.Result) ctrl.Result {
	if p.sandbox.DeletionTimestamp != nil || p.sandbox.Status.SandboxID == "" {
		return result
	}
	now := p.clock.Now()
	deadlines := []time.Time{p.deleteAt()}
	if p.sandbox.Status.FinishedAt == nil {
		deadlines = []time.Time{p.expiresAt(), p.recreateAt()}
		if p.sandbox.Status.State == v1alpha1.SandboxRunning || p.life.OnIdle != v1alpha1.OnIdlePause {
			deadlines = append(deadlines, p.idleAt())
		}
		if p.sandbox.Status.State == v1alpha1.SandboxRunning {
			deadlines = append(deadlines, resignAt(p.sandbox))
		}
	}
	for _, deadline := range deadlines {
		if deadline.IsZero() {
			continue
		}
		// A little later, so that the next pass finds it over.
		wait := max(deadline.Sub(now), 0) + 10*time.Millisecond
		if deadline.Before(now) && result.RequeueAfter > 0 {
			// What it asks for is being done.
			continue
		}
		if result.RequeueAfter == 0 || wait < result.RequeueAfter {
			result.RequeueAfter = wait
		}
	}
	return result
}

// expire destroys a remote whose hard limit is over.
func (p *sandboxPass) expire(ctx context.Context) (ctrl.Result, error) {
	return p.endRemote(ctx, v1alpha1.ReasonExpired, p.expiredMessage())
}

func (p *sandboxPass) expiredMessage() string {
	return fmt.Sprintf("The sandbox was destroyed after its %d seconds (lifetime.timeoutSeconds)", p.life.TimeoutSeconds)
}

// endIdle destroys a remote that nobody used.
func (p *sandboxPass) endIdle(ctx context.Context) (ctrl.Result, error) {
	return p.endRemote(ctx, v1alpha1.ReasonIdleTimeout, p.idleMessage())
}

func (p *sandboxPass) idleMessage() string {
	return fmt.Sprintf("The sandbox was destroyed, as nobody used it for %d seconds (lifetime.idleTimeoutSeconds)",
		p.life.IdleTimeoutSeconds)
}

// endRemote destroys the remote and leaves the object, which then says why.
func (p *sandboxPass) endRemote(ctx context.Context, reason, message string) (ctrl.Result, error) {
	if p.sandbox.Status.State != v1alpha1.SandboxGone {
		door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
		if err != nil {
			return p.blocked(ctx, err)
		}
		gone, err := ensureGone(ctx, door, p.sandbox.Status.SandboxID)
		if err != nil {
			return p.blocked(ctx, err)
		}
		if !gone {
			p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonDestroying, "The provider was asked to destroy the sandbox")
			return ctrl.Result{RequeueAfter: destroyPoll}, p.record(ctx)
		}
	}
	p.finish(v1alpha1.SandboxGone, reason, message)
	if err := p.record(ctx); err != nil {
		return ctrl.Result{}, err
	}
	p.wakes.clear(p.sandbox.UID)
	p.recorder.Eventf(p.sandbox, nil, corev1.EventTypeNormal, reason, "Destroy", "%s", message)
	return ctrl.Result{}, nil
}

// deleteFinished deletes the object of a remote that ended, as its lifetime says.
func (p *sandboxPass) deleteFinished(ctx context.Context) (ctrl.Result, error) {
	err := p.client.Delete(ctx, p.sandbox, client.Preconditions{UID: &p.sandbox.UID, ResourceVersion: &p.sandbox.ResourceVersion})
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// checkLifetime refuses a lifetime that the provider can't keep.
func checkLifetime(life v1alpha1.SandboxLifetime, registration backends.Registration) error {
	timeout := seconds(life.TimeoutSeconds)
	if timeout == 0 || !can(registration, backends.CapabilityLifetime) {
		return nil
	}
	if timeout < registration.LeastLifetime || (registration.MostLifetime > 0 && timeout > registration.MostLifetime) {
		return specErrorf(v1alpha1.ReasonLifetimeOutOfBounds, "lifetime.timeoutSeconds is %d; backend %q takes %s: change it",
			life.TimeoutSeconds, registration.Name, provider.LifetimeBounds(registration))
	}
	return nil
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func timeOrNil(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewTime(t))
}

func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
