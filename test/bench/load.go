// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// Load is how many objects are made, and how many of them at once.
type Load struct{ Objects, AtOnce int }

// play is one program at work in a namespace of its own, and a client that watches that.
type play struct {
	*Stage
	*watcher
	process   *process
	namespace string
	round     int
	stop      func() error
}

// play starts a program. Stop it.
func (s *Stage) play(ctx context.Context, program Program, round int, arguments ...string) (*play, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := s.client.Create(ctx, namespace); err != nil {
		return nil, err
	}
	w, unwatch, err := s.watch(ctx, namespace.Name)
	if err != nil {
		return nil, err
	}
	p, err := s.run(program, arguments...)
	if err != nil {
		unwatch()
		return nil, err
	}
	stop := func() error {
		defer unwatch()
		return p.stop()
	}
	if err := p.awaitMetrics(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return &play{Stage: s, watcher: w, process: p, namespace: namespace.Name, round: round, stop: stop}, nil
}

// watcher tells when Sandboxes and SandboxExecs of a namespace are done, and when they are gone.
type watcher struct {
	mutex      sync.Mutex
	done, gone map[string]time.Time
	news       chan string
	// unsuccessful are runs that ended otherwise than they should.
	unsuccessful atomic.Int32
}

// watch follows a namespace until the function that it returns is called. An informer, as a bare watch is closed on who is slow.
func (s *Stage) watch(ctx context.Context, namespace string) (*watcher, func(), error) {
	all, err := cache.New(s.plane.Config, cache.Options{
		Scheme: s.client.Scheme(), DefaultNamespaces: map[string]cache.Config{namespace: {}}, DefaultTransform: essence,
	})
	if err != nil {
		return nil, nil, err
	}
	// More news than anybody waits for must not block the informers.
	w := &watcher{done: map[string]time.Time{}, gone: map[string]time.Time{}, news: make(chan string, 1<<16)}
	following, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { _ = all.Start(following) })
	stop := func() {
		cancel()
		ended.Wait()
	}
	for _, kind := range []client.Object{&v1alpha1.Sandbox{}, &v1alpha1.SandboxExec{}} {
		informer, err := all.GetInformer(ctx, kind)
		if err == nil {
			_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
				AddFunc: w.seen, UpdateFunc: func(_, now any) { w.seen(now) }, DeleteFunc: w.left,
			})
		}
		if err != nil {
			stop()
			return nil, nil, err
		}
	}
	return w, stop, nil
}

// essence leaves of an object what a watcher looks at.
func essence(object any) (any, error) {
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		return &v1alpha1.Sandbox{ObjectMeta: nameOf(o), Status: v1alpha1.SandboxStatus{Conditions: o.Status.Conditions}}, nil
	case *v1alpha1.SandboxExec:
		return &v1alpha1.SandboxExec{ObjectMeta: nameOf(o), Status: v1alpha1.SandboxExecStatus{Outcome: o.Status.Outcome}}, nil
	default:
		return object, nil
	}
}

func nameOf(o client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
	}
}

func (w *watcher) seen(object any) {
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		if meta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ConditionReady) {
			w.note(w.done, o.Name)
		}
	case *v1alpha1.SandboxExec:
		if o.Status.Outcome == "" {
			return
		}
		if o.Status.Outcome != v1alpha1.OutcomeSucceeded {
			w.unsuccessful.Add(1)
		}
		w.note(w.done, o.Name)
	}
}

func (w *watcher) left(object any) {
	if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	if o, ok := object.(client.Object); ok {
		w.note(w.gone, o.GetName())
	}
}

func (w *watcher) note(times map[string]time.Time, name string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if times[name].IsZero() {
		times[name] = time.Now()
		w.news <- name
	}
}

// at is when something was seen of an object; zero = not yet.
func (w *watcher) at(times map[string]time.Time, name string) time.Time {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return times[name]
}

// stuck is how long nothing may happen.
const stuck = time.Minute

// step is what is done to each object of a load.
type step struct {
	// name of the figures; empty = they are not recorded.
	name string
	// prefix of the objects' names.
	prefix string
	// outcome is what the watcher waits for.
	outcome map[string]time.Time
	// do makes or deletes the i-th object, which has the name.
	do func(ctx context.Context, name string, i int) error
	// own is what do writes itself: verb and resource, of which the program writes none.
	own string
}

// measure does a step to each object, so many at once, and takes the time until the watcher saw what came of it.
func (p *play) measure(ctx context.Context, load Load, what step) error {
	f := Figures{Name: what.name, Program: p.process.program, Round: p.round, Objects: load.Objects, AtOnce: load.AtOnce}
	before, err := p.tally(ctx)
	if err != nil {
		return err
	}
	profiled := p.profile(ctx, f)
	waits, whole, err := p.drive(ctx, load, what)
	err = errors.Join(err, profiled())
	if err != nil {
		return fmt.Errorf("%s by the %s: %w%s", what.name, f.Program, err, p.lastWords())
	}
	after, err := p.tally(ctx)
	if err != nil {
		return err
	}
	f.took(waits, whole)
	f.since(load.Objects, before, after, what.own)
	if what.name != "" {
		p.record(f)
	}
	return nil
}

// tally is what was done until a time.
type tally struct {
	writes, reads, calls counts
	used                 costs
}

func (p *play) tally(ctx context.Context) (t tally, err error) {
	if t.writes, t.reads, err = p.requests(ctx); err != nil {
		return t, err
	}
	if t.calls, err = p.process.calls(ctx); err != nil {
		return t, err
	}
	t.used, err = p.process.costs()
	return t, err
}

// since sets the figures that tell what so many objects cost between two tallies. The writes named are the load's own, not the
// program's.
func (f *Figures) since(objects int, before, after tally, own ...string) {
	f.cost(objects, before.used, after.used)
	made := after.writes.minus(before.writes)
	for _, write := range own {
		delete(made, write)
	}
	f.Writes, f.Reads = made.each(objects), after.reads.minus(before.reads).each(objects)
	f.Calls = after.calls.minus(before.calls).each(objects)
}

// drive takes the time of each object, and of all.
func (p *play) drive(ctx context.Context, load Load, what step) (waits []time.Duration, whole time.Duration, err error) {
	began, first := map[string]time.Time{}, time.Now()
	failed := make(chan error, load.Objects)
	next, done := 0, 0
	for done < load.Objects {
		for ; next < load.Objects && next-done < load.AtOnce; next++ {
			name, i := fmt.Sprintf("%s-%05d", what.prefix, next), next
			began[name] = time.Now()
			go func() { failed <- what.do(ctx, name, i) }()
		}
		select {
		case name := <-p.news:
			if !began[name].IsZero() && !p.at(what.outcome, name).IsZero() {
				done++
			}
		case <-time.After(stuck):
			return nil, 0, fmt.Errorf("%d of %d were done, and then none for %s", done, load.Objects, stuck)
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	whole = time.Since(first)
	if n := p.unsuccessful.Load(); n > 0 {
		return nil, 0, fmt.Errorf("%d runs did not succeed", n)
	}
	for range load.Objects {
		err = errors.Join(err, <-failed)
	}
	for name, at := range began {
		waits = append(waits, p.at(what.outcome, name).Sub(at))
	}
	return waits, whole, err
}

// lastWords are the end of what the program said.
func (p *play) lastWords() string {
	const most = 3000
	text, err := os.ReadFile(p.process.log)
	if err != nil {
		return ""
	}
	return "\n" + string(text[max(0, len(text)-most):])
}
