// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// turns let the starts of one Sandbox go one at a time from the look at the others until the journal is written, so that of
// two that look at once only one goes on.
type turns struct {
	seed    maphash.Seed
	mutexes [64]sync.Mutex
}

func newTurns() *turns { return &turns{seed: maphash.MakeSeed()} }

// of is the mutex of one Sandbox, which a few others share.
func (t *turns) of(uid types.UID) *sync.Mutex {
	return &t.mutexes[maphash.String(t.seed, string(uid))%uint64(len(t.mutexes))]
}

// isSerial says that runs of this Sandbox go one after another.
func isSerial(sandbox *v1alpha1.Sandbox) bool {
	return sandbox != nil && sandbox.Spec.ExecConcurrency == v1alpha1.ExecSerial
}

// holdTurn holds the run's turn until release is called; ok is false where it is not its turn. Where runs go side by side, it
// always is.
func (p *execPass) holdTurn(ctx context.Context) (release func(), ok bool, err error) {
	if !isSerial(p.sandbox) {
		return func() {}, true, nil
	}
	mutex := p.turns.of(p.sandbox.UID)
	mutex.Lock()
	ok, err = p.isItsTurn(ctx)
	if !ok || err != nil {
		mutex.Unlock()
		return func() {}, ok, err
	}
	return sync.OnceFunc(mutex.Unlock), true, nil
}

// isItsTurn says that no other run of the Sandbox has started and is not finished, and none is before this one.
func (p *execPass) isItsTurn(ctx context.Context) (bool, error) {
	if !isSerial(p.sandbox) {
		return true, nil
	}
	others, err := p.unfinishedIn(ctx, p.exec.Namespace, p.sandbox.Name)
	if err != nil {
		return false, err
	}
	for i := range others {
		other := &others[i]
		if other.UID != p.exec.UID && (other.Status.StartTime != nil || isBefore(other, p.exec)) {
			return false, nil
		}
	}
	return true, nil
}

// isBefore is the order in which runs start: of creation, and of names where that is the same second.
func isBefore(a, b *v1alpha1.SandboxExec) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

func (r *execReconciler) unfinishedIn(ctx context.Context, namespace, sandbox string) ([]v1alpha1.SandboxExec, error) {
	var execs v1alpha1.SandboxExecList
	err := r.client.List(ctx, &execs, client.InNamespace(namespace), client.MatchingFields{bySandbox: sandbox})
	if err != nil {
		return nil, fmt.Errorf("listing the runs of a sandbox: %w", err)
	}
	return execs.Items, nil
}

// waitForTurn says that the run waits for another.
func (p *execPass) waitForTurn(ctx context.Context) (ctrl.Result, error) {
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonWaitingForTurn,
		fmt.Sprintf("Earlier runs of Sandbox %q come first, as its execConcurrency is Serial", p.sandbox.Name))
	return ctrl.Result{RequeueAfter: p.untilStartDeadline()}, p.record(ctx)
}

// next maps a run that is over to the one of the same Sandbox whose turn it is.
func (r *execReconciler) next(ctx context.Context, object client.Object) []reconcile.Request {
	over, ok := object.(*v1alpha1.SandboxExec)
	if !ok || over.Spec.SandboxRef == nil {
		return nil
	}
	var sandbox v1alpha1.Sandbox
	key := types.NamespacedName{Namespace: over.Namespace, Name: over.Spec.SandboxRef.Name}
	if err := r.client.Get(ctx, key, &sandbox); err != nil || !isSerial(&sandbox) {
		return nil
	}
	waiting, err := r.unfinishedIn(ctx, key.Namespace, key.Name)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Looking for the run whose turn it is failed")
		return nil
	}
	var first *v1alpha1.SandboxExec
	for i := range waiting {
		if waiting[i].UID != over.UID && (first == nil || isBefore(&waiting[i], first)) {
			first = &waiting[i]
		}
	}
	if first == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(first)}}
}

// runOver lets through what ends a run: its outcome, or its object's end.
func runOver() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e updateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.SandboxExec)
			after, okAfter := e.ObjectNew.(*v1alpha1.SandboxExec)
			return ok && okAfter && before.Status.Outcome == "" && after.Status.Outcome != ""
		},
	}
}
