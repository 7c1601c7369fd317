// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// destroy destroys the remote. It is done when the provider does not know it any more.
func (p *sandboxPass) destroy(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	gone, err := ensureGone(ctx, door, p.sandbox.Status.SandboxID)
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	if !gone {
		return p.destroying(ctx)
	}
	return p.release(ctx)
}

// destroyFound looks for remotes that an open journal may have left, before it lets the object go.
func (p *sandboxPass) destroyFound(ctx context.Context) (ctrl.Result, error) {
	door, err := p.journalDoor(ctx)
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	found, err := door.Find(ctx, p.journal.remoteName(), p.mark(p.sandbox, p.journal.Incarnation))
	if err != nil && !errors.Is(err, backends.AlreadyExists) {
		return p.notDestroyed(ctx, err)
	}
	allGone := true
	for _, remote := range found {
		gone, err := ensureGone(ctx, door, remote.ID)
		if err != nil {
			return p.notDestroyed(ctx, err)
		}
		allGone = allGone && gone
	}
	if !allGone {
		return p.destroying(ctx)
	}
	if wait := p.mayAppear(door); wait > 0 {
		return ctrl.Result{RequeueAfter: min(wait, 5*time.Second)}, nil
	}
	return p.release(ctx)
}

// ensureGone destroys a remote, and says whether it is gone. That is for Get to say alone: a provider whose replicas lag answers
// NotFound to a Destroy that it then has not done.
func ensureGone(ctx context.Context, door *provider.Door, id string) (bool, error) {
	if err := door.Destroy(ctx, id); err != nil && !errors.Is(err, backends.NotFound) {
		return false, err
	}
	_, err := door.GetDestroyed(ctx, id)
	if errors.Is(err, backends.NotFound) {
		return true, nil
	}
	return false, err
}

func (p *sandboxPass) destroying(ctx context.Context) (ctrl.Result, error) {
	p.setDeleting(v1alpha1.ReasonDestroying, "The provider was asked to destroy the sandbox")
	return ctrl.Result{RequeueAfter: destroyPoll}, p.record(ctx)
}

// notDestroyed says why deletion has not ended, and tries again.
func (p *sandboxPass) notDestroyed(ctx context.Context, err error) (ctrl.Result, error) {
	if isPassing(err) {
		return retryLater(err)
	}
	p.setDeleting(v1alpha1.ReasonDestroyFailed, fmt.Sprintf("The sandbox could not be destroyed: %v. It is tried again for %s after the "+
		"deletion; to give the remote up at once: kubectl annotate sbx %s -n %s %s=true", err, p.options.DeletionDeadline,
		p.sandbox.Name, p.sandbox.Namespace, v1alpha1.AbandonAnnotation))
	if recordErr := p.record(ctx); recordErr != nil {
		return ctrl.Result{}, client.IgnoreNotFound(recordErr)
	}
	return retryLater(err)
}

func (p *sandboxPass) setDeleting(reason, message string) {
	setCondition(&p.sandbox.Status.Conditions, p.sandbox.Generation, v1alpha1.ConditionDeleting, conditionTrue, reason, message)
	p.setProgress(v1alpha1.ConditionReconciling, reason, message)
}

// release lets the object go.
func (p *sandboxPass) release(ctx context.Context) (ctrl.Result, error) {
	if p.sandbox.Spec.DeletionPolicy == v1alpha1.DeletionPolicyRetain && p.sandbox.Status.SandboxID != "" &&
		p.sandbox.Status.State != v1alpha1.SandboxGone {
		p.recorder.Eventf(p.sandbox, nil, corev1.EventTypeNormal, "RemoteRetained", "Delete",
			"The sandbox %q stays at the provider, as deletionPolicy is Retain", p.sandbox.Status.SandboxID)
	}
	if err := p.removeFinalizer(ctx, p.sandbox, v1alpha1.SandboxFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	p.settled.clear(p.sandbox.UID)
	p.refusals.clear(p.sandbox.UID)
	p.doubts.clear(p.sandbox.UID)
	p.wakes.clear(p.sandbox.UID)
	p.activity.forget(client.ObjectKeyFromObject(p.sandbox))
	p.places.forget(p.sandbox.UID)
	return ctrl.Result{}, nil
}

// abandon lets the object go though its remote may still exist. The provider's status remembers it: it is looked for from now
// on, and the provider stays as long.
func (p *sandboxPass) abandon(ctx context.Context) (ctrl.Result, error) {
	if err := p.recordAbandoned(ctx); err != nil {
		return ctrl.Result{}, err
	}
	metrics.AbandonedTotal.WithLabelValues().Inc()
	p.recorder.Eventf(p.sandbox, nil, corev1.EventTypeWarning, "RemoteAbandoned", "Delete",
		"The sandbox %q may still exist at the provider: it could not be destroyed, and was given up", p.sandbox.Status.SandboxID)
	ctrl.LoggerFrom(ctx).Info("Gave up a remote that could not be destroyed", "sandboxID", p.sandbox.Status.SandboxID)
	return p.release(ctx)
}
