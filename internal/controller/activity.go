// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// activity remembers when something was last done with each Sandbox. What a restart forgets is made good by counting idleness
// from the start of the process at the earliest: a sandbox may live a little longer, never shorter.
type activity struct {
	since time.Time
	mutex sync.Mutex
	last  map[types.NamespacedName]time.Time
}

func newActivity(since time.Time) *activity {
	return &activity{since: since, last: map[types.NamespacedName]time.Time{}}
}

// note says that something was done with a Sandbox.
func (a *activity) note(sandbox types.NamespacedName, at time.Time) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if at.After(a.last[sandbox]) {
		a.last[sandbox] = at
	}
}

// of returns when something was last done; zero = nothing that this process knows of.
func (a *activity) of(sandbox types.NamespacedName) time.Time {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.last[sandbox]
}

func (a *activity) forget(sandbox types.NamespacedName) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	delete(a.last, sandbox)
}

// usedBy maps a run to its Sandbox where that must know of it: because it counts how long nobody used it, or is paused.
func (r *sandboxReconciler) usedBy(ctx context.Context, object client.Object) []reconcile.Request {
	exec, ok := object.(*v1alpha1.SandboxExec)
	if !ok {
		return nil
	}
	key := sandboxOf(exec)
	var sandbox v1alpha1.Sandbox
	if err := r.client.Get(ctx, key, &sandbox); err != nil {
		return nil
	}
	at := r.clock.Now()
	if exec.Status.CompletionTime != nil {
		at = exec.Status.CompletionTime.Time
	}
	r.activity.note(key, at)
	if sandbox.Status.State != v1alpha1.SandboxPaused && r.lifetime(ctx, &sandbox).IdleTimeoutSeconds == 0 {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}

// sandboxOf is the Sandbox in which a run is, or shall be.
func sandboxOf(exec *v1alpha1.SandboxExec) types.NamespacedName {
	return types.NamespacedName{Namespace: exec.Namespace, Name: sandboxNameOf(exec, attemptOf(exec))}
}

// usageChanged lets the events of a run through by which its Sandbox begins or ceases to be in use.
func usageChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e updateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.SandboxExec)
			after, okAfter := e.ObjectNew.(*v1alpha1.SandboxExec)
			return !ok || !okAfter || isUse(before) != isUse(after)
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// isUse says that a run uses its Sandbox, or waits to.
func isUse(exec *v1alpha1.SandboxExec) bool {
	return exec.Status.Outcome == "" && exec.DeletionTimestamp == nil &&
		(exec.Spec.DesiredState != v1alpha1.ExecCancelled || exec.Status.StartTime != nil)
}

// inUse says whether a run uses the Sandbox, or waits to.
func (p *sandboxPass) inUse(ctx context.Context) (bool, error) {
	var execs v1alpha1.SandboxExecList
	err := p.client.List(ctx, &execs, client.InNamespace(p.sandbox.Namespace), client.MatchingFields{bySandbox: p.sandbox.Name},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, fmt.Errorf("listing the runs of the sandbox: %w", err)
	}
	for i := range execs.Items {
		if isUse(&execs.Items[i]) {
			return true, nil
		}
	}
	return false, nil
}
