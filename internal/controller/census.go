// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
)

// census counts the objects of this instance for metrics: by what the cache hears of them, so that a question costs no list, and
// a Sandbox that lived between two questions was counted.
type census struct {
	clock     clock.PassiveClock
	mutex     sync.Mutex
	sandboxes map[types.UID]*counting
	// execs are those that are not finished; true = it runs.
	execs map[types.UID]bool
	// namespaces are how many Sandboxes each has that has any.
	namespaces map[string]int
}

func newCensus(clock clock.PassiveClock) *census {
	return &census{
		clock: clock, sandboxes: map[types.UID]*counting{}, execs: map[types.UID]bool{}, namespaces: map[string]int{},
	}
}

// counting is what is known of one Sandbox.
type counting struct {
	provider           metrics.Provider
	backend, namespace string
	state              string
	created, deleted   time.Time
	// pending is since when it has been Pending; zero = it is not.
	pending time.Time
	// seen is when it was seen first; zero = it was there before this process, or before it led.
	seen time.Time
	// wasReady says that it was Ready once.
	wasReady bool
	// runs is up to when its time in state Running was counted.
	runs time.Time
}

// States of Sandboxes that metrics have beside those of the API.
const (
	statePending  = "Pending"
	stateStalled  = "Stalled"
	stateDeleting = "Deleting"
)

// setupCensus has this instance tell its metrics while it leads: one that waits for its turn would count everything twice.
func (s *shared) setupCensus(mgr ctrl.Manager) error {
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		c := newCensus(s.clock)
		end, err := c.follow(ctx, mgr.GetCache())
		if err != nil {
			return err
		}
		ends := []func(){end}
		for _, source := range []metrics.Source{c.observe, s.places.observe, s.figures.observe, s.doors.Observe} {
			ends = append(ends, metrics.Ask(source))
		}
		<-ctx.Done()
		for _, end := range slices.Backward(ends) {
			end()
		}
		return nil
	}))
}

// follow hears of all objects that there are and of those that come, until the function that it returns is called.
func (c *census) follow(ctx context.Context, objects cache.Cache) (end func(), err error) {
	var ends []func()
	end = func() {
		for _, one := range ends {
			one()
		}
	}
	for _, kind := range []client.Object{&v1alpha1.Sandbox{}, &v1alpha1.SandboxExec{}} {
		informer, err := objects.GetInformer(ctx, kind)
		if err != nil {
			return end, fmt.Errorf("watching %T: %w", kind, err)
		}
		registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
			AddFunc:    func(object any, initial bool) { c.note(object, initial) },
			UpdateFunc: c.replace,
			DeleteFunc: c.drop,
		})
		if err != nil {
			return end, fmt.Errorf("watching %T: %w", kind, err)
		}
		ends = append(ends, func() { _ = informer.RemoveEventHandler(registration) })
	}
	return end, nil
}

// replace takes over how an object is now. After a new list, one that was deleted and made again looks like an update.
func (c *census) replace(before, now any) {
	known := true
	if old, ok := before.(client.Object); ok {
		if object, ok := now.(client.Object); ok && object.GetUID() != old.GetUID() {
			c.drop(before)
			known = false
		}
	}
	c.note(now, known)
}

// note takes over how an object is; known says that it was there before.
func (c *census) note(object any, known bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		c.noteSandbox(o, known)
	case *v1alpha1.SandboxExec:
		if o.Status.Outcome != "" {
			delete(c.execs, o.UID)
			return
		}
		c.execs[o.UID] = o.Status.StartTime != nil
	}
}

func (c *census) noteSandbox(sandbox *v1alpha1.Sandbox, known bool) {
	now := c.clock.Now()
	one := c.sandboxes[sandbox.UID]
	isReady := meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady)
	if one == nil {
		one = &counting{namespace: sandbox.Namespace, created: sandbox.CreationTimestamp.Time}
		if !known {
			one.seen = now
		}
		// Whether one that has a remote already was Ready before is not known.
		one.wasReady = known && sandbox.Status.SandboxID != ""
		c.sandboxes[sandbox.UID] = one
		c.namespaces[one.namespace]++
	}
	one.provider, one.backend = whereabouts(sandbox)
	c.countRunning(one, now)
	one.pending = one.pendingSince(sandbox, now)
	one.state = stateOf(sandbox)
	if one.state == string(v1alpha1.SandboxRunning) && one.runs.IsZero() {
		one.runs = now
	}
	if sandbox.DeletionTimestamp != nil && one.deleted.IsZero() {
		one.deleted = sandbox.DeletionTimestamp.Time
	}
	if isReady && !one.wasReady {
		one.wasReady = true
		from := one.seen
		if from.IsZero() {
			from = one.created
		}
		metrics.ReadySeconds.WithLabelValues(one.backend).Observe(now.Sub(from).Seconds())
	}
}

// pendingSince says since when a Sandbox has been Pending; zero = it is not. Its age would not do: one that was mended after two days
// waits since then. Where that was before this process, its condition Reconciling says when it came, as none that is Stalled has it.
func (one *counting) pendingSince(sandbox *v1alpha1.Sandbox, now time.Time) time.Time {
	switch {
	case stateOf(sandbox) != statePending:
		return time.Time{}
	case !one.pending.IsZero():
		return one.pending
	case one.state != "":
		return now
	}
	if waits := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReconciling); waits != nil {
		return waits.LastTransitionTime.Time
	}
	return one.created
}

// countRunning adds the time since it was last counted to what Sandboxes spent in state Running.
func (c *census) countRunning(one *counting, now time.Time) {
	if one.runs.IsZero() {
		return
	}
	spent := max(now.Sub(one.runs), 0)
	metrics.SandboxSeconds.WithLabelValues(metrics.NamespaceLabel(one.namespace, now), one.backend).Add(spent.Seconds())
	one.runs = time.Time{}
}

// drop forgets an object that is gone.
func (c *census) drop(object any) {
	if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	gone, ok := object.(client.Object)
	if !ok {
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if one := c.sandboxes[gone.GetUID()]; one != nil {
		now := c.clock.Now()
		c.countRunning(one, now)
		delete(c.sandboxes, gone.GetUID())
		if c.namespaces[one.namespace]--; c.namespaces[one.namespace] == 0 {
			delete(c.namespaces, one.namespace)
			metrics.LeaveNamespace(one.namespace, now)
		}
	}
	delete(c.execs, gone.GetUID())
}

// whereabouts are the provider that has the remote of a Sandbox, or shall have it, and its backend; empty = not known.
func whereabouts(sandbox *v1alpha1.Sandbox) (metrics.Provider, string) {
	var kind v1alpha1.ProviderKind
	var found metrics.Provider
	backend := ""
	if identity := providerIdentity(sandbox); identity != nil {
		kind, found.Name, backend = identity.Kind, identity.Name, identity.Backend
	} else if ref := sandbox.Spec.ProviderRef; ref != nil {
		kind, found.Name = ref.Kind, ref.Name
	}
	if kind == v1alpha1.KindSandboxProvider {
		found.Namespace = sandbox.Namespace
	}
	return found, backend
}

func stateOf(sandbox *v1alpha1.Sandbox) string {
	switch {
	case sandbox.DeletionTimestamp != nil:
		return stateDeleting
	case sandbox.Status.State != "":
		return string(sandbox.Status.State)
	case meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionStalled):
		return stateStalled
	default:
		return statePending
	}
}

// observe tells how many there are.
func (c *census) observe(say func(gauge *metrics.Gauge, value float64, labels ...string)) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	now := c.clock.Now()
	named := metrics.Largest(c.namespaces)
	for _, one := range c.sandboxes {
		namespace := one.namespace
		if !named[namespace] {
			namespace = metrics.Other
		}
		say(metrics.NamespaceSandboxes, 1, namespace, one.state)
		c.observeOne(one, now, say)
	}
	waiting, running := 0, 0
	for _, runs := range c.execs {
		if runs {
			running++
		} else {
			waiting++
		}
	}
	say(metrics.Execs, float64(waiting), "Waiting")
	say(metrics.Execs, float64(running), string(v1alpha1.SandboxRunning))
}

func (c *census) observeOne(one *counting, now time.Time, say func(gauge *metrics.Gauge, value float64, labels ...string)) {
	say(metrics.Sandboxes, 1, one.provider.Labels(nil, one.state)...)
	pending, deleting := time.Duration(0), time.Duration(0)
	switch one.state {
	case statePending:
		pending = now.Sub(one.pending)
	case stateDeleting:
		deleting = now.Sub(one.deleted)
	case string(v1alpha1.SandboxRunning):
		c.countRunning(one, now)
		one.runs = now
	}
	say(metrics.OldestPending, max(pending, 0).Seconds(), one.provider.Labels(nil)...)
	say(metrics.OldestDeleting, max(deleting, 0).Seconds(), one.provider.Labels(nil)...)
}
