// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// wokenAtOnce is how many of those that wait are woken when a place becomes free: several may do so in one moment.
const wokenAtOnce = 8

// places give out what this instance's part of limits.maxSandboxes leaves, in the order in which the Sandboxes were created. They keep
// count by what the cache and this process's own passes tell of each Sandbox, so that no creation has to look at all of them.
type places struct {
	wakes *wakes
	// mutex makes deciding and taking one step.
	mutex sync.Mutex
	known map[types.UID]*placed
	// held counts the places that are taken, by UID of the provider.
	held map[string]int
	// queues have those who wait or will, and away those who were sent away, by UID of the provider: the oldest first.
	queues map[queue]line
	away   map[v1alpha1.ProviderIdentity]line
	// sender is the provider that last sent somebody of a queue away.
	sender map[queue]v1alpha1.ProviderIdentity
	// limited are the providers with a limit that were asked for a place, by UID.
	limited map[string]limitedProvider
}

// limitedProvider is one, and how many places this instance may give out.
type limitedProvider struct {
	metrics.Provider
	part int
}

func newPlaces(w *wakes) *places {
	return &places{
		wakes: w, known: map[types.UID]*placed{}, held: map[string]int{}, queues: map[queue]line{},
		away: map[v1alpha1.ProviderIdentity]line{}, sender: map[queue]v1alpha1.ProviderIdentity{},
		limited: map[string]limitedProvider{},
	}
}

// placed is what is known of one Sandbox.
type placed struct {
	uid     types.UID
	name    types.NamespacedName
	created metav1.Time
	// version is the object's when it was last looked at, and told says that it was the cache that told of it: until then it may be
	// gone already.
	version string
	told    bool
	// given is the provider whose place it was given by a pass that is not over, and holds the one that the object itself holds.
	given, holds string
	awaits       []queue
	// sentAway is the provider that had no place for it, and among are the queues of that: it is in the way of nobody else's.
	sentAway *v1alpha1.ProviderIdentity
	among    []queue
}

// place is the provider whose place it has.
func (e *placed) place() string { return cmp.Or(e.given, e.holds) }

// waitsIn are the queues in which it is counted.
func (e *placed) waitsIn() []queue {
	if e.place() != "" {
		return nil
	}
	if e.sentAway == nil {
		return e.awaits
	}
	var waits []queue
	for _, q := range e.awaits {
		if slices.Contains(e.among, q) {
			waits = append(waits, q)
		}
	}
	return waits
}

// line has Sandboxes in the order of their creation, ties by namespace and name.
type line []*placed

func inOrder(a, b *placed) int {
	return cmp.Or(a.created.Compare(b.created.Time), strings.Compare(a.name.Namespace, b.name.Namespace),
		strings.Compare(a.name.Name, b.name.Name), strings.Compare(string(a.uid), string(b.uid)))
}

// before is how many are older.
func (l line) before(e *placed) int {
	i, _ := slices.BinarySearchFunc(l, e, inOrder)
	return i
}

func (l line) with(e *placed) line {
	i, there := slices.BinarySearchFunc(l, e, inOrder)
	if there {
		return l
	}
	return slices.Insert(l, i, e)
}

func (l line) without(e *placed) line {
	i, there := slices.BinarySearchFunc(l, e, inOrder)
	if !there {
		return l
	}
	return slices.Delete(l, i, i+1)
}

// errUnheard says that the cache has not told of the Sandbox: it is so new, or gone already.
var errUnheard = errors.New("the Sandbox is not known yet")

// take gives the Sandbox a place of the provider, which has most of them for the Sandboxes of these queues, or sends it away until one
// becomes free. It fails with errUnheard where it would send away one that nobody may ever tell to be gone.
func (l *places) take(
	sandbox *v1alpha1.Sandbox, identity v1alpha1.ProviderIdentity, queues []queue, most int,
) (given bool, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	e := l.entry(sandbox)
	before := l.held[identity.UID]
	if e.place() == identity.UID {
		before--
	}
	for _, q := range queues {
		before += l.queues[q].before(e)
	}
	switch {
	case before < most:
		l.refile(e, func() { e.given = identity.UID })
		l.recall(e)
		return true, nil
	case !e.told:
		l.drop(e)
		return false, errUnheard
	default:
		l.sendAway(e, identity, queues)
		return false, nil
	}
}

// settle ends what take gave: from now on the object speaks for itself.
func (l *places) settle(sandbox *v1alpha1.Sandbox) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	e := l.known[sandbox.UID]
	if e == nil {
		return
	}
	l.refile(e, func() {
		e.given = ""
		e.read(sandbox)
	})
	if !e.told && e.place() == "" {
		// It was gone before anything was written down, and nobody will tell.
		l.drop(e)
	}
}

// note takes note of a Sandbox as a pass has written it.
func (l *places) note(sandbox *v1alpha1.Sandbox) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if e := l.known[sandbox.UID]; e != nil {
		l.read(e, sandbox)
	}
}

// limit remembers how many places a provider has for this instance.
func (l *places) limit(chosen provider.Provider, part int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.limited[string(chosen.Object.GetUID())] = limitedProvider{
		metrics.Provider{Namespace: chosen.Object.GetNamespace(), Name: chosen.Object.GetName()}, part,
	}
}

// unlimited drops a Sandbox from where it waits, as its provider has a place for everybody.
func (l *places) unlimited(uid types.UID, identity v1alpha1.ProviderIdentity) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.limited, identity.UID)
	if e := l.known[uid]; e != nil {
		l.recall(e)
	}
}

// forget drops a Sandbox that is gone, or another instance's now.
func (l *places) forget(uid types.UID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if e := l.known[uid]; e != nil {
		l.drop(e)
	}
}

// forgetProvider drops a provider that is gone.
func (l *places) forgetProvider(uid types.UID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.limited, string(uid))
}

// observe tells how many wait. How many wait before one of them is no condition, which would be written again with each that goes.
func (l *places) observe(say func(gauge *metrics.Gauge, value float64, labels ...string)) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	waiting := map[string]int{}
	for identity, away := range l.away {
		waiting[identity.UID] += len(away)
	}
	for uid, limited := range l.limited {
		say(metrics.WaitingSandboxes, float64(waiting[uid]), limited.Labels(nil)...)
		say(metrics.Places, float64(limited.part), limited.Labels(nil)...)
	}
}

// events keep the count by what the cache tells. They have nothing looked at but what a free place wakes.
func (l *places) events() handler.EventHandler {
	type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ requests) { l.tell(e.Object) },
		UpdateFunc: func(_ context.Context, e updateEvent, _ requests) {
			// After a new list, one that was deleted and made again looks like an update.
			if e.ObjectOld.GetUID() != e.ObjectNew.GetUID() {
				l.forget(e.ObjectOld.GetUID())
			}
			l.tell(e.ObjectNew)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ requests) {
			l.wakes.clear(e.Object.GetUID())
			l.forget(e.Object.GetUID())
		},
	}
}

func (l *places) tell(object client.Object) {
	sandbox, ok := object.(*v1alpha1.Sandbox)
	if !ok {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	e := l.entry(sandbox)
	e.told = true
	l.read(e, sandbox)
}

// entry is what is known of the Sandbox. The mutex is held, here and below.
func (l *places) entry(sandbox *v1alpha1.Sandbox) *placed {
	e := l.known[sandbox.UID]
	if e == nil {
		e = &placed{uid: sandbox.UID, name: client.ObjectKeyFromObject(sandbox), created: sandbox.CreationTimestamp}
		l.known[sandbox.UID] = e
		l.read(e, sandbox)
	}
	return e
}

// read takes over what the object says. Who waits for nothing any more is not to be woken in place of others.
func (l *places) read(e *placed, sandbox *v1alpha1.Sandbox) {
	l.refile(e, func() { e.read(sandbox) })
	again := sandbox.Status.SandboxID != "" && sandbox.DeletionTimestamp == nil
	if e.place() == "" && len(e.awaits) == 0 && !again {
		l.recall(e)
	}
}

// read takes over what the object says, unless something later was read.
func (e *placed) read(sandbox *v1alpha1.Sandbox) {
	if order, err := resourceversion.CompareResourceVersion(sandbox.ResourceVersion, e.version); err == nil && order < 0 {
		return
	}
	e.version = sandbox.ResourceVersion
	e.holds, e.awaits = holdsPlace(sandbox), queuesFor(sandbox)
}

// refile changes an entry, counts it anew where it belongs from then on, and wakes those for whom that made room.
func (l *places) refile(e *placed, change func()) {
	had, waited := e.place(), e.waitsIn()
	change()
	has, waits := e.place(), e.waitsIn()
	if had != has && has != "" {
		l.held[has]++
	}
	if had != has && had != "" {
		l.held[had]--
		// Who goes back to where it waited makes no room for those behind it.
		l.freed(had, len(waits) == 0)
	}
	if !slices.Equal(waited, waits) {
		for _, q := range waited {
			l.queues[q] = l.queues[q].without(e)
			l.steppedAside(q, has != "")
		}
		for _, q := range waits {
			l.queues[q] = l.queues[q].with(e)
		}
	}
}

// freed wakes those who wait for a place of the provider, where there may be one now.
func (l *places) freed(provider string, room bool) {
	if l.held[provider] == 0 {
		delete(l.held, provider)
	}
	if !room {
		return
	}
	for identity := range l.away {
		if identity.UID == provider {
			l.wake(identity)
		}
	}
}

// steppedAside wakes those who stood behind one that left the queue, unless a place was why.
func (l *places) steppedAside(q queue, placed bool) {
	if !placed {
		l.wake(l.sender[q])
	}
	if len(l.queues[q]) == 0 {
		delete(l.queues, q)
		delete(l.sender, q)
	}
}

func (l *places) wake(identity v1alpha1.ProviderIdentity) {
	away := l.away[identity]
	for _, e := range away[:min(len(away), wokenAtOnce)] {
		l.wakes.wake(&v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: e.name.Namespace, Name: e.name.Name, UID: e.uid}})
	}
}

func (l *places) sendAway(e *placed, identity v1alpha1.ProviderIdentity, queues []queue) {
	if e.sentAway != nil && *e.sentAway != identity {
		l.recall(e)
	}
	l.refile(e, func() { e.sentAway, e.among = &identity, queues })
	l.away[identity] = l.away[identity].with(e)
	for _, q := range queues {
		l.sender[q] = identity
	}
}

// recall takes it from those who were sent away.
func (l *places) recall(e *placed) {
	if e.sentAway == nil {
		return
	}
	identity := *e.sentAway
	l.refile(e, func() { e.sentAway, e.among = nil, nil })
	if l.away[identity] = l.away[identity].without(e); len(l.away[identity]) == 0 {
		delete(l.away, identity)
	}
}

// drop forgets an entry.
func (l *places) drop(e *placed) {
	l.recall(e)
	l.refile(e, func() { e.given, e.holds, e.awaits = "", "", nil })
	delete(l.known, e.uid)
}
