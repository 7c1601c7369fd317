// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"time"
)

const (
	// creationsAtOnce is how many creations of one namespace write their journals side by side. An API server works on all requests
	// at once: of a hundred together, each takes as long as all. Then all wait for the provider together while the API server has
	// nothing to do, and their statuses come all together again. Fewer at once are sooner at the provider, and its time is used.
	creationsAtOnce = 24
	// longestStagger is how long a creation is kept back at most. After that it begins, however many there are.
	longestStagger = 500 * time.Millisecond
)

// stagger keeps the creations of one namespace's crowd from beginning all at once. It is no limit, and nobody is queued: it has each
// wait for a moment that is bounded, in a pass that could be at its provider for longer. No namespace waits for another. The zero
// value is ready for use.
type stagger struct {
	mutex      sync.Mutex
	namespaces map[string]*crowd
}

// crowd are the creations of one namespace that have begun, or are about to.
type crowd struct {
	begun chan struct{}
	size  int
}

// begin returns when a creation may begin, with what is to be called once its journal stands, or at its end; more than once does no
// harm. It may not where the pass is cut, or the manager ends: a creation that began then would be cut itself.
func (s *stagger) begin(ctx context.Context, namespace string) (begun func(), may bool) {
	own := s.join(namespace)
	longest := time.NewTimer(longestStagger)
	defer longest.Stop()
	select {
	case own.begun <- struct{}{}:
		return sync.OnceFunc(func() {
			<-own.begun
			s.leave(namespace, own)
		}), true
	case <-longest.C:
		may = true
	case <-managerEnds(ctx):
	case <-ctx.Done():
	}
	s.leave(namespace, own)
	return func() {}, may
}

func (s *stagger) join(namespace string) *crowd {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.namespaces == nil {
		s.namespaces = map[string]*crowd{}
	}
	own := s.namespaces[namespace]
	if own == nil {
		own = &crowd{begun: make(chan struct{}, creationsAtOnce)}
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
