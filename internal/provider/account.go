// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// ErrBusy says that as many calls to the account are under way as may be. Nothing was called; come again in BusyDelay.
var ErrBusy = errors.New("as many calls to the provider are under way as may be")

// BusyDelay is how long to wait after ErrBusy.
const BusyDelay = 50 * time.Millisecond

const (
	// defaultConcurrency is how many calls to one account may be under way where the backend says nothing.
	defaultConcurrency = 128
	// breakerFailures in a row open the breaker, and breakerDelay later one call may probe.
	breakerFailures = 5
	breakerDelay    = 10 * time.Second
	// leastPause is kept after an answer that asks for fewer calls and names no delay.
	leastPause = time.Second
)

// account is what all providers with the same backend, endpoint and credentials share: its places, so that a slow account
// holds no more than its share of the workers; turns of the namespaces that use it; one breaker, so that an outage costs one
// probe at a time; the rates that administrators set; and the pause that the provider asked for.
type account struct {
	key     string
	places  *places
	turns   *turns
	breaker circuitbreaker.CircuitBreaker[any]
	limiter *limiter
	// pausedUntil is a Unix time in nanoseconds.
	pausedUntil atomic.Int64
}

func newAccount(key string, registration backends.Registration, all *pool, share Share) *account {
	concurrency := int(registration.Concurrency)
	if concurrency == 0 {
		concurrency = defaultConcurrency
	}
	return &account{
		key:    key,
		places: &places{pool: all, own: share.ofCalls(concurrency)},
		turns:  &turns{},
		breaker: circuitbreaker.NewBuilder[any]().
			WithFailureThreshold(breakerFailures).WithDelay(breakerDelay).WithSuccessThreshold(1).Build(),
		limiter: newLimiter(),
	}
}

// enter asks for a call that is made for a namespace. A nil error must be followed by leave.
func (a *account) enter(namespace, backend, operation string, now time.Time) error {
	if pause := time.Unix(0, a.pausedUntil.Load()).Sub(now); pause > 0 {
		err := backends.Errorf(backends.RateLimited, backend, operation, "the provider asked for fewer calls")
		err.RetryAfter = pause
		return err
	}
	ahead := a.turns.come(namespace, now)
	if !a.places.take(ahead) {
		a.turns.sentAway(namespace, now, BusyDelay, 0)
		return ErrBusy
	}
	if delay, apart := a.limiter.take(operation, ahead, now); delay > 0 {
		a.places.free()
		err := backends.Errorf(backends.RateLimited, backend, operation, "the provider's limits allow no further call now")
		err.RetryAfter = a.turns.sentAway(namespace, now, delay, apart)
		return err
	}
	a.turns.served(namespace, now)
	if !a.breaker.TryAcquirePermit() {
		a.places.free()
		err := backends.Errorf(backends.Unavailable, backend, operation, "the provider did not answer several calls in a row")
		err.RetryAfter = max(a.breaker.RemainingDelay(), leastPause)
		return err
	}
	return nil
}

// leave ends a call and learns from its error.
func (a *account) leave(err error, now time.Time) {
	defer a.places.free()
	switch code := backends.CodeOf(err); code {
	case backends.Unavailable, backends.Ambiguous:
		a.breaker.RecordFailure()
	case backends.RateLimited:
		a.breaker.RecordSuccess()
		a.pause(now.Add(max(backends.RetryAfter(err), leastPause)))
	default:
		// Any other answer is an answer.
		a.breaker.RecordSuccess()
	}
}

// nextPage waits until the rate lets one more call of a list through. It has its place, and is no new call to the breaker.
func (a *account) nextPage(ctx context.Context) error {
	for {
		delay, _ := a.limiter.take(operationList, 0, time.Now())
		if delay == 0 {
			return ctx.Err()
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pause puts off calls until a time; a later one that was asked for before holds.
func (a *account) pause(until time.Time) {
	for {
		before := a.pausedUntil.Load()
		if before >= until.UnixNano() || a.pausedUntil.CompareAndSwap(before, until.UnixNano()) {
			return
		}
	}
}

// reservation is a place for one call that was entered ahead of it.
type reservation struct {
	account *account
	used    atomic.Bool
}

type reservationKey struct{}

// takeReserved says whether the context brings a place in this account that is not used yet, and uses it.
func (a *account) takeReserved(ctx context.Context) bool {
	r, ok := ctx.Value(reservationKey{}).(*reservation)
	return ok && r.account == a && r.used.CompareAndSwap(false, true)
}

// release gives an unused place back.
func (r *reservation) release() {
	if r.used.CompareAndSwap(false, true) {
		r.account.release()
	}
}

// release ends a call of which nothing is learnt.
func (a *account) release() {
	a.places.free()
	if a.breaker.IsHalfOpen() {
		// The permit to probe went with the place: the next probe waits as long as after one that failed.
		a.breaker.Open()
	}
}
