// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// creationsAtOnce is how many creations of one namespace write their journals side by side. An API server works on all requests at
// once: of a hundred together, each takes as long as all. Then all wait for the provider together while the API server has nothing to
// do, and their statuses come all together again. Fewer at once are sooner at the provider, and its time is used.
const creationsAtOnce = 24

// stagger keeps the creations of one namespace's crowd from beginning all at once. It is no limit: who waits does so in its pass, which
// could be at its provider for longer, for a moment that is bounded, and then begins in any case. Nobody waits for another namespace.
type stagger struct {
	// longest is how long one waits at most.
	longest time.Duration
	// waiting has room for those who wait: workers are for other objects, too.
	waiting chan struct{}

	mutex      sync.Mutex
	namespaces map[string]*crowd
}

// crowd are the creations of one namespace that wait for a turn, or have one.
type crowd struct {
	turns chan struct{}
	size  int
}

func newStagger(longest time.Duration, most int) *stagger {
	return &stagger{longest: longest, waiting: make(chan struct{}, most), namespaces: map[string]*crowd{}}
}

// begin returns when a creation may begin, and whether it waited. What it returns is to be called once the journal stands, or at the end of
// the pass; more than once does no harm. It may not begin where the manager ends: it would be cut off.
func (s *stagger) begin(ctx context.Context, namespace string) (begun func(), waited, may bool) {
	if isOver(managerEnds(ctx)) {
		return func() {}, false, false
	}
	own := s.join(namespace)
	begun = sync.OnceFunc(func() {
		<-own.turns
		s.leave(namespace, own)
	})
	select {
	case own.turns <- struct{}{}:
		return begun, false, true
	default:
	}
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		s.leave(namespace, own)
		return func() {}, false, true
	}
	// Those who came together must not begin together after all.
	longest := time.NewTimer(wait.Jitter(s.longest/2, 1))
	defer longest.Stop()
	select {
	case own.turns <- struct{}{}:
		return begun, true, true
	case <-longest.C:
		may = true
	case <-managerEnds(ctx):
	case <-ctx.Done():
	}
	s.leave(namespace, own)
	return func() {}, true, may
}

func (s *stagger) join(namespace string) *crowd {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	own := s.namespaces[namespace]
	if own == nil {
		own = &crowd{turns: make(chan struct{}, creationsAtOnce)}
		s.namespaces[namespace] = own
	}
	own.size++
	return own
}

func (s *stagger) leave(namespace string, own *crowd) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if own.size--; own.size == 0 {
		delete(s.namespaces, namespace)
	}
}
