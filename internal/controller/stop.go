// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync/atomic"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// passGrace is how long passes that are under way may go on when the manager ends. With the time that another replica takes to
// ask for the lease (2.4 s at most) the change of leaders stays below five seconds.
const passGrace = 2 * time.Second

// unhurried is a reconciler whose passes have a moment to end when the manager does. Without it, the answer to a create that
// is under way would be lost with the call, and the next leader would have to search for the remote: for as long as the
// provider may take to make it.
type unhurried struct {
	reconcile.Reconciler
}

// Reconcile implements reconcile.Reconciler.
func (u unhurried) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	passing, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), managerKey{}, ctx.Done()))
	defer cancel()
	unregister := context.AfterFunc(ctx, func() {
		grace := time.NewTimer(passGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
			cancel()
		case <-passing.Done():
		}
	})
	defer unregister()
	return u.Reconciler.Reconcile(passing, request)
}

type managerKey struct{}

// managerEnds is closed when the manager ends of whose passes this is one: what takes long should not be begun any more.
func managerEnds(pass context.Context) <-chan struct{} {
	ends, _ := pass.Value(managerKey{}).(<-chan struct{})
	return ends
}

func isOver(ends <-chan struct{}) bool {
	select {
	case <-ends:
		return true
	default:
		return false
	}
}

// Drain is the part of the manager's end that may take long: commands that run within a call of this process die with it, so
// the process waits for them. Everything else goes on meanwhile as before. The zero value is for Options.Drain.
type Drain struct {
	attached atomic.Pointer[attachedCalls]
}

// Wait lets no further command begin within a call of this process, and returns when those there are have ended and stand in
// their status, or with the context's error. It may be called once the reconcilers are set up, and by no more than one.
func (d *Drain) Wait(ctx context.Context) error {
	attached := d.attached.Load()
	if attached == nil {
		return nil
	}
	select {
	case <-attached.drain():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
