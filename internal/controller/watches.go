// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

const (
	// leastWatchPause and mostWatchPause bound the wait before a watch that broke begins again; it doubles with each that does not last.
	leastWatchPause = time.Second
	mostWatchPause  = time.Minute
	// lastingWatch is how long a watch must have lasted so that the next one begins soon.
	lastingWatch = time.Minute
)

// watches keep one watch for each account whose provider tells of changes by itself. What it tells only wakes: whatever it misses is found
// in the provider's next period.
type watches struct {
	// ctx is the manager's: no watch outlives it.
	ctx context.Context //nolint:containedctx // watches are begun by passes, whose contexts end with them
	// changed is called with each remote that a watch tells of.
	changed func(context.Context, backends.Remote)

	mutex  sync.Mutex
	ending map[string]context.CancelFunc
}

func newWatches(ctx context.Context, changed func(context.Context, backends.Remote)) *watches {
	return &watches{ctx: ctx, changed: changed, ending: map[string]context.CancelFunc{}}
}

// keep begins a watch of the door's account, unless there is one, or its backend can't.
func (w *watches) keep(door *provider.Door, installation string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.ending[door.Account()] != nil || !door.CanWatch() {
		return
	}
	ctx, cancel := context.WithCancel(w.ctx)
	w.ending[door.Account()] = cancel
	go w.run(ctx, door, installation)
}

// prune ends the watches of accounts that no provider leads to any more.
func (w *watches) prune(isKnown func(account string) bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for account, end := range w.ending {
		if !isKnown(account) {
			end()
			delete(w.ending, account)
		}
	}
}

// run watches until it is ended, or the provider says that there is no watch to be had.
func (w *watches) run(ctx context.Context, door *provider.Door, installation string) {
	log := ctrl.LoggerFrom(ctx).WithName("watch").WithValues("provider", door.Identity().Name)
	pause := leastWatchPause
	for {
		began := time.Now()
		err := door.Watch(ctx, installation, func(remote backends.Remote) { w.changed(ctx, remote) })
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, backends.Unsupported):
			log.Info("The provider does not tell of changes; it is asked each period", "reason", err.Error())
			return
		case time.Since(began) >= lastingWatch:
			pause = leastWatchPause
		case errors.Is(err, backends.Unauthorized):
			pause = mostWatchPause
		}
		log.V(1).Info("A watch ended", "error", err, "again", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered(pause)):
		}
		pause = min(2*pause, mostWatchPause)
	}
}

// hint wakes the Sandbox of a remote that is not as its status says.
func (s *shared) hint(ctx context.Context, remote backends.Remote) {
	var sandbox v1alpha1.Sandbox
	key := types.NamespacedName{Namespace: remote.Mark.Namespace, Name: remote.Mark.Name}
	if key.Name == "" || s.client.Get(ctx, key, &sandbox) != nil || string(sandbox.UID) != remote.Mark.UID {
		return
	}
	state, status := v1alpha1.SandboxState(remote.State), &sandbox.Status
	if remote.State == "" {
		state = v1alpha1.SandboxGone
	}
	switch {
	case status.SandboxID != "" && status.SandboxID != remote.ID, status.State == state:
	case sandbox.DeletionTimestamp != nil && state != v1alpha1.SandboxGone:
		// Its own end is what is told of.
	default:
		s.wakes.suspect(&sandbox)
	}
}
