// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// wakes lets whoever notices that a remote may have changed wake its Sandbox, which then asks the provider. A wake that is
// lost (a full channel, a restart) comes again with the provider's next period.
type wakes struct {
	events   chan event.GenericEvent
	mutex    sync.Mutex
	suspects map[types.UID]struct{}
}

// pendingWakes bounds what waits for the Sandbox controller.
const pendingWakes = 4096

func newWakes() *wakes {
	return &wakes{events: make(chan event.GenericEvent, pendingWakes), suspects: map[types.UID]struct{}{}}
}

// suspect wakes the Sandbox and has it look at its remote.
func (w *wakes) suspect(sandbox *v1alpha1.Sandbox) {
	w.mark(sandbox.UID)
	w.wake(sandbox)
}

// mark has the Sandbox look at its remote in its next pass.
func (w *wakes) mark(uid types.UID) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.suspects[uid] = struct{}{}
}

// wake has the Sandbox looked at again.
func (w *wakes) wake(sandbox client.Object) {
	select {
	case w.events <- event.GenericEvent{Object: sandbox}:
	default:
	}
}

// isSuspect says whether the Sandbox shall look at its remote.
func (w *wakes) isSuspect(uid types.UID) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	_, ok := w.suspects[uid]
	return ok
}

// clear is called when it has looked, or is gone.
func (w *wakes) clear(uid types.UID) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.suspects, uid)
}

func (w *wakes) source() source.Source {
	return source.Channel(w.events, &handler.EnqueueRequestForObject{})
}
