// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// The instance that lists an account finds what happened to the remotes of all instances. Its own Sandboxes it wakes itself; to
// those of others it writes the annotation sandboxes.run/look, which their instance watches for.

// mostLookDelay bounds the growing delays between requests to look at the same Sandbox.
const mostLookDelay = time.Hour

// looks remember which Sandboxes were asked to look at their remotes, and when they may be asked again: a provider that for ever
// lists what it does not have would else cost a write each period.
type looks struct {
	mutex sync.Mutex
	// of is by provider and Sandbox.
	of map[types.UID]map[types.UID]look
}

type look struct {
	next  time.Time
	delay time.Duration
}

func newLooks() *looks { return &looks{of: map[types.UID]map[types.UID]look{}} }

// due says whether a Sandbox may be asked now, and takes that for done.
func (l *looks) due(provider, sandbox types.UID, now time.Time, period time.Duration) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	last := l.of[provider][sandbox]
	if now.Before(last.next) {
		return false
	}
	if l.of[provider] == nil {
		l.of[provider] = map[types.UID]look{}
	}
	delay := min(max(2*last.delay, period/2), max(mostLookDelay, period/2))
	l.of[provider][sandbox] = look{next: now.Add(delay), delay: delay}
	return true
}

// keep forgets the Sandboxes of a provider that are as the account shows them again.
func (l *looks) keep(provider types.UID, stirred []string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(l.of[provider]) == 0 {
		return
	}
	still := map[types.UID]look{}
	for _, uid := range stirred {
		if last, ok := l.of[provider][types.UID(uid)]; ok {
			still[types.UID(uid)] = last
		}
	}
	l.of[provider] = still
}

func (l *looks) forget(provider types.UID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.of, provider)
}

// stir has a Sandbox look at its remote, whichever instance works on it. A request that is lost comes again in a later period.
func (p *providerPass) stir(ctx context.Context, sandbox *v1alpha1.Sandbox) {
	if p.options.Shard.Has(sandbox) {
		p.wakes.suspect(sandbox)
		return
	}
	if !p.looks.due(p.provider.Object.GetUID(), sandbox.UID, p.clock.Now(), p.options.Period) {
		return
	}
	about := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: sandbox.Namespace, Name: sandbox.Name}}
	err := p.client.Patch(ctx, about, lookPatch(sandbox.UID, p.clock.Now()), client.DisableReadYourWritesConsistency)
	if client.IgnoreNotFound(err) != nil {
		ctrl.LoggerFrom(ctx).Info("Could not ask another instance to look at a sandbox", "sandbox", client.ObjectKeyFromObject(sandbox),
			"cause", err.Error())
	}
}

// lookPatch asks for a look at the remote of the Sandbox with this UID, and of no other of its name.
func lookPatch(uid types.UID, now time.Time) client.Patch {
	text, _ := json.Marshal(map[string]any{"metadata": map[string]any{ //nolint:errchkjson // strings always encode
		"uid": uid, "annotations": map[string]string{v1alpha1.LookAnnotation: now.UTC().Format(time.RFC3339Nano)},
	}})
	return client.RawPatch(types.MergePatchType, text)
}

// arrivals hears of Sandboxes that come to this instance, and of those whose remote another instance saw changed.
func (r *sandboxReconciler) arrivals() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if !e.IsInInitialList {
				// It may be another instance's until now, which knows when it was last used: here, it is used from now on.
				r.activity.note(client.ObjectKeyFromObject(e.Object), r.clock.Now())
			}
			if asked := lookOf(e.Object); !asked.IsZero() && r.clock.Since(asked) < mostLookDelay+2*r.options.Period {
				// Nobody may have been there to hear it.
				r.look(e.Object, queue)
			}
		},
		UpdateFunc: func(_ context.Context, e updateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if asked := lookOf(e.ObjectNew); !asked.IsZero() && !asked.Equal(lookOf(e.ObjectOld)) {
				r.look(e.ObjectNew, queue)
			}
		},
	}
}

// look has the Sandbox look at its remote.
func (r *sandboxReconciler) look(sandbox client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	r.wakes.mark(sandbox.GetUID())
	queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(sandbox)})
}

// lookOf is when the Sandbox was last asked to look; zero = never.
func lookOf(sandbox client.Object) time.Time {
	asked, err := time.Parse(time.RFC3339Nano, sandbox.GetAnnotations()[v1alpha1.LookAnnotation])
	if err != nil {
		return time.Time{}
	}
	return asked
}
