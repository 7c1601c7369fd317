// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// Load is how many objects are made, and how many of them at once.
type Load struct{ Objects, AtOnce int }

// watcher tells when Sandboxes are Ready, and when they are gone.
type watcher struct {
	mutex       sync.Mutex
	ready, gone map[string]time.Time
	news        chan string
}

// watch follows a namespace until the function that it returns is called. An informer, as a bare watch is closed on who is slow.
func (s *Stage) watch(ctx context.Context, namespace string, objects int) (*watcher, func(), error) {
	all, err := cache.New(s.plane.Config, cache.Options{
		Scheme: s.client.Scheme(), DefaultNamespaces: map[string]cache.Config{namespace: {}},
	})
	if err != nil {
		return nil, nil, err
	}
	w := &watcher{ready: map[string]time.Time{}, gone: map[string]time.Time{}, news: make(chan string, 4*objects)}
	following, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { _ = all.Start(following) })
	stop := func() {
		cancel()
		ended.Wait()
	}
	informer, err := all.GetInformer(ctx, &v1alpha1.Sandbox{})
	if err == nil {
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: w.seen, UpdateFunc: func(_, now any) { w.seen(now) }, DeleteFunc: w.left,
		})
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return w, stop, nil
}

func (w *watcher) seen(object any) {
	sandbox, ok := object.(*v1alpha1.Sandbox)
	if ok && meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady) {
		w.note(w.ready, sandbox.Name)
	}
}

func (w *watcher) left(object any) {
	if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	if sandbox, ok := object.(*v1alpha1.Sandbox); ok {
		w.note(w.gone, sandbox.Name)
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

// Measure runs the program under the load: first all objects are made, then all are deleted.
func (s *Stage) Measure(ctx context.Context, program string, load Load, arguments ...string) (made, deleted Figures, err error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := s.client.Create(ctx, namespace); err != nil {
		return made, deleted, err
	}
	w, stop, err := s.watch(ctx, namespace.Name, load.Objects)
	if err != nil {
		return made, deleted, err
	}
	defer stop()
	p, err := s.run(program, arguments...)
	if err != nil {
		return made, deleted, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	// The first object finds caches cold, and connections closed.
	if _, err := s.measure(ctx, w, p, Load{1, 1}, "warm", w.ready, s.creator(namespace.Name)); err != nil {
		return made, deleted, err
	}
	if made, err = s.measure(ctx, w, p, load, "box", w.ready, s.creator(namespace.Name)); err != nil {
		return made, deleted, err
	}
	deleted, err = s.measure(ctx, w, p, load, "box", w.gone, s.deleter(namespace.Name))
	return made, deleted, err
}

func (s *Stage) creator(namespace string) func(context.Context, string) error {
	return func(ctx context.Context, name string) error {
		return s.client.Create(ctx, builders.MakeSandbox(namespace, name).Obj())
	}
}

func (s *Stage) deleter(namespace string) func(context.Context, string) error {
	return func(ctx context.Context, name string) error {
		return s.client.Delete(ctx, builders.MakeSandbox(namespace, name).Obj())
	}
}

// stuck is how long nothing may happen.
const stuck = time.Minute

// measure does something to each object, so many at once, and takes the time until the watcher saw what came of it.
func (s *Stage) measure(
	ctx context.Context, w *watcher, p *process, load Load, prefix string, outcome map[string]time.Time,
	do func(context.Context, string) error,
) (Figures, error) {
	costs, err := p.costs()
	if err != nil {
		return Figures{}, err
	}
	began, first := map[string]time.Time{}, time.Now()
	failed := make(chan error, load.Objects)
	next, done := 0, 0
	for done < load.Objects {
		for ; next < load.Objects && next-done < load.AtOnce; next++ {
			name := fmt.Sprintf("%s-%05d", prefix, next)
			began[name] = time.Now()
			go func() { failed <- do(ctx, name) }()
		}
		select {
		case <-w.news:
			done++
		case <-time.After(stuck):
			return Figures{}, fmt.Errorf("%d of %d were done, and then none for %s", done, load.Objects, stuck)
		case <-ctx.Done():
			return Figures{}, ctx.Err()
		}
	}
	took := time.Since(first)
	for range load.Objects {
		if err := <-failed; err != nil {
			return Figures{}, err
		}
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var waits []time.Duration
	for name, at := range began {
		waits = append(waits, outcome[name].Sub(at))
	}
	after, err := p.costs()
	return figures(waits, took, costs, after), err
}
