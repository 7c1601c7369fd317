// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// InNamespace says for which namespace calls are made: where an account is short of something, namespaces take turns.
func InNamespace(ctx context.Context, namespace string) context.Context {
	return context.WithValue(ctx, namespaceKey{}, namespace)
}

type namespaceKey struct{}

func namespaceOf(ctx context.Context) string {
	namespace, _ := ctx.Value(namespaceKey{}).(string)
	return namespace
}

// mostSpread bounds how far those are spread who come too soon.
const mostSpread = 30 * time.Second

// turns has the namespaces that share an account take turns where it has too few places, or lets too few calls through: the
// namespace that had less goes first, so that another's thousand sandboxes are not between it and its one. Nobody is queued:
// callers are sent away and come again, and for those who had less so much is kept free as they need.
type turns struct {
	mutex sync.Mutex
	of    map[string]*turn
}

// turn is one namespace's.
type turn struct {
	// had counts the calls that the namespace was let make since somebody had to wait.
	had int
	// waiting is about how many callers were sent away and come again, the last of them by until.
	waiting int
	until   time.Time
}

// come says how many callers of other namespaces go before this one, which just came.
func (t *turns) come(namespace string, now time.Time) (ahead int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.forget(now)
	own := t.of[namespace]
	if own == nil {
		return 0
	}
	own.waiting = max(own.waiting-1, 0)
	for name, other := range t.of {
		if name != namespace && other.had < own.had {
			ahead += other.waiting
		}
	}
	return ahead
}

// served counts a call that was let through. While nobody waits, nothing is counted.
func (t *turns) served(namespace string, now time.Time) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.forget(now)
	if len(t.of) > 0 {
		t.turn(namespace).had++
	}
}

// sentAway tells a caller when to come again: after the delay, and spread over the time that all who wait need, where so many
// calls are let through that they are so far apart.
func (t *turns) sentAway(namespace string, now time.Time, delay, apart time.Duration) time.Duration {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	own := t.turn(namespace)
	own.waiting++
	others := 0
	for name, other := range t.of {
		if name != namespace && other.waiting > 0 {
			others++
		}
	}
	spread := min(time.Duration(own.waiting*(1+others))*apart, mostSpread)
	// Who comes again adds up to a half; and a moment, for a busy machine.
	if until := now.Add((delay+spread)*3/2 + 2*BusyDelay); until.After(own.until) {
		own.until = until
	}
	return delay + rand.N(spread+1) //nolint:gosec // a delay is no secret
}

// turn returns the namespace's, which begins as if it had had as much as the one that had least. The mutex is held.
func (t *turns) turn(namespace string) *turn {
	if own := t.of[namespace]; own != nil {
		return own
	}
	own, first := &turn{}, true
	for _, other := range t.of {
		if first || other.had < own.had {
			own.had, first = other.had, false
		}
	}
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	t.of[namespace] = own
	return own
}

// forget drops callers that should have come again by now: they are served, or gone. When nobody waits any more, all is
// forgotten. The mutex is held.
func (t *turns) forget(now time.Time) {
	anybody := false
	for _, one := range t.of {
		if now.After(one.until) {
			one.waiting = 0
		}
		anybody = anybody || one.waiting > 0
	}
	if !anybody {
		t.of = nil
	}
}
