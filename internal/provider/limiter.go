// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

const (
	// operationCreate is counted by createsPerMinute, too.
	operationCreate = "create"
	operationList   = "list"
	// minute is the window of createsPerMinute.
	minute = time.Minute
	// yielding is how long who could go waits for those who go before.
	yielding = 100 * time.Millisecond
)

// limiter keeps the rates that administrators set for an account. It never waits: who comes too soon is told how long it takes.
type limiter struct {
	mutex sync.Mutex
	// calls is nil where requestsPerSecond is not set.
	calls *rate.Limiter
	// creates are the times of the latest creations, as many as may be within the window; next is the place of the oldest.
	creates []time.Time
	next    int
	window  time.Duration
	// urgent is how many callers want to go before creations.
	urgent int
	// latest is the latest time at which anybody asked.
	latest time.Time
}

func newLimiter() *limiter { return &limiter{} }

// configure sets this instance's share of the limits; zero values are no limit. What was counted before goes on counting.
func (l *limiter) configure(limits v1alpha1.ProviderLimits, share Share) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.configureCalls(limits, share)
	most, window := share.perWindow(int(limits.CreatesPerMinute), minute)
	l.window = window
	l.configureCreates(most)
}

func (l *limiter) configureCalls(limits v1alpha1.ProviderLimits, share Share) {
	if limits.RequestsPerSecond == 0 {
		l.calls = nil
		return
	}
	burst := int(limits.Burst)
	if burst == 0 {
		burst = int(limits.RequestsPerSecond)
	}
	perSecond, burst := rate.Limit(share.ofRate(limits.RequestsPerSecond)), share.ofCalls(burst)
	if l.calls == nil {
		l.calls = rate.NewLimiter(perSecond, burst)
		return
	}
	l.calls.SetLimit(perSecond)
	l.calls.SetBurst(burst)
}

func (l *limiter) configureCreates(most int) {
	if most == len(l.creates) {
		return
	}
	// The latest creations, the oldest first, as many as fit.
	latest := append(append([]time.Time{}, l.creates[l.next:]...), l.creates[:l.next]...)
	latest = latest[max(len(latest)-most, 0):]
	l.creates = append(make([]time.Time, most-len(latest)), latest...)
	l.next = 0
}

// take counts a call, or says how long to wait before asking again, and how far apart those who wait can be let through. So many
// others go before who asks.
func (l *limiter) take(operation string, ahead int, now time.Time) (delay, apart time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	// Who looked at the clock first may come last, and the rate would give back what was taken since.
	if now.Before(l.latest) {
		now = l.latest
	}
	l.latest = now
	if operation == operationCreate {
		if delay, apart := l.createDelay(ahead, now); delay > 0 {
			return delay, apart
		}
	}
	if l.calls != nil {
		if delay, apart := l.callDelay(ahead, now); delay > 0 {
			return delay, apart
		}
	}
	if operation == operationCreate && len(l.creates) > 0 {
		l.creates[l.next] = now
		l.next = (l.next + 1) % len(l.creates)
	}
	return 0, 0
}

// callDelay takes a call off the rate, if there is one beside those for who goes before.
func (l *limiter) callDelay(ahead int, now time.Time) (delay, apart time.Duration) {
	apart = time.Duration(float64(time.Second) / float64(l.calls.Limit()))
	r := l.calls.ReserveN(now, min(ahead+1, l.calls.Burst()))
	delay = r.DelayFrom(now)
	r.CancelAt(now)
	switch {
	case delay > 0:
		return delay, apart
	case ahead >= l.calls.Burst():
		return yielding, apart
	}
	l.calls.AllowN(now, 1)
	return 0, 0
}

// createDelay returns how long a creation has to wait, and how far apart those that wait shall come.
func (l *limiter) createDelay(ahead int, now time.Time) (delay, apart time.Duration) {
	if l.urgent > 0 {
		return 100 * time.Millisecond, 10 * time.Millisecond
	}
	if len(l.creates) == 0 {
		return 0, 0
	}
	apart = l.window / time.Duration(len(l.creates))
	place := (l.next + min(ahead, len(l.creates)-1)) % len(l.creates)
	if delay = l.creates[place].Add(l.window).Sub(now); delay <= 0 && ahead >= len(l.creates) {
		delay = yielding
	}
	return delay, apart
}

// hurry has creations wait until the function that it returns is called.
func (l *limiter) hurry() (done func()) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.urgent++
	return func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		l.urgent--
	}
}

// strictest returns the lowest of each limit.
func strictest(all []v1alpha1.ProviderLimits) v1alpha1.ProviderLimits {
	var s v1alpha1.ProviderLimits
	for i := range all {
		l := &all[i]
		s.RequestsPerSecond = lower(s.RequestsPerSecond, l.RequestsPerSecond)
		s.Burst = lower(s.Burst, l.Burst)
		s.CreatesPerMinute = lower(s.CreatesPerMinute, l.CreatesPerMinute)
		s.MaxConcurrentCalls = lower(s.MaxConcurrentCalls, l.MaxConcurrentCalls)
	}
	return s
}

// lower returns the lower of two limits, of which 0 is none.
func lower(a, b int32) int32 {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
