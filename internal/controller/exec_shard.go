// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// A run and its Sandbox belong to the same instance. Where their labels differ, somebody made or changed one of them so: that the
// Sandbox is not in this instance's cache does not mean that it is gone.

// findSandbox reads the Sandbox of this attempt. One that is the run's own, and that the cache has not, was not made yet; or else the
// attempt to make it tells.
func (p *execPass) findSandbox(ctx context.Context) error {
	var err error
	p.sandbox, err = p.readSandbox(ctx, sandboxNameOf(p.exec, attemptOf(p.exec)))
	isMade := p.exec.Spec.Sandbox == nil || p.exec.Status.StartTime != nil
	if err != nil || p.sandbox != nil || p.exec.Status.Outcome != "" || !isMade {
		return err
	}
	return p.readElsewhere(ctx)
}

// readElsewhere asks the API server for the Sandbox that the cache has not: whether it is gone is for nobody else to say.
func (p *execPass) readElsewhere(ctx context.Context) error {
	var sandbox v1alpha1.Sandbox
	key := types.NamespacedName{Namespace: p.exec.Namespace, Name: sandboxNameOf(p.exec, attemptOf(p.exec))}
	if err := p.live.Get(ctx, key, &sandbox); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("reading Sandbox %q: %w", key.Name, err)
	}
	p.sandbox, p.elsewhere = &sandbox, !p.options.Shard.Has(&sandbox)
	if p.exec.Spec.Sandbox != nil && metav1.IsControlledBy(&sandbox, p.exec) {
		return p.keepShard(ctx, &sandbox)
	}
	return nil
}

// keepShard has the Sandbox that was made for this run follow it, whatever gave it another label.
func (p *execPass) keepShard(ctx context.Context, sandbox *v1alpha1.Sandbox) error {
	if p.options.Shard.Has(sandbox) {
		return nil
	}
	return p.patchMetadata(ctx, sandbox, func(o client.Object) { copyShard(o, p.exec) })
}

// metExisting deals with a Sandbox that has the name which the run's own would have, and that the cache has not: it has not seen
// it yet, whosever it is; or never will, as it belongs to another instance.
func (p *execPass) metExisting(ctx context.Context) (ctrl.Result, error) {
	if err := p.readElsewhere(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if p.elsewhere && !metav1.IsControlledBy(p.sandbox, p.exec) {
		return p.nameTaken(ctx)
	}
	return ctrl.Result{RequeueAfter: jittered(conflictDelay)}, nil
}

// elsewhereMessage says which label to set so that the run can go on.
func (p *execPass) elsewhereMessage() string {
	return fmt.Sprintf("Sandbox %q %s, and this SandboxExec %s: one instance of the operator has to work on both; "+
		"kubectl label sbxe %s -n %s %s", p.sandbox.Name, describeShard(p.sandbox), describeShard(p.exec), p.exec.Name,
		p.exec.Namespace, labelLike(p.sandbox))
}

// madeFor maps a run that left this instance's cache (it was deleted, or its label changed) to the Sandbox that was made for it.
func (r *sandboxReconciler) madeFor(_ context.Context, object client.Object) []reconcile.Request {
	exec, ok := object.(*v1alpha1.SandboxExec)
	if !ok || exec.Spec.Sandbox == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: sandboxOf(exec)}}
}

// followRun gives a Sandbox that was made for a run the label of that run, where another instance works on that by now. It says
// whether the Sandbox is that one's from here on.
func (p *sandboxPass) followRun(ctx context.Context) (bool, error) {
	owner := metav1.GetControllerOf(p.sandbox)
	if owner == nil || owner.Kind != "SandboxExec" || p.sandbox.DeletionTimestamp != nil {
		return false, nil
	}
	key := types.NamespacedName{Namespace: p.sandbox.Namespace, Name: owner.Name}
	var exec v1alpha1.SandboxExec
	err := p.client.Get(ctx, key, &exec, client.UnsafeDisableDeepCopy)
	if !apierrors.IsNotFound(err) {
		return false, err
	}
	if err = p.live.Get(ctx, key, &exec); err != nil || exec.UID != owner.UID || p.options.Shard.Has(&exec) {
		return false, client.IgnoreNotFound(err)
	}
	return true, p.patchMetadata(ctx, p.sandbox, func(o client.Object) { copyShard(o, &exec) })
}
