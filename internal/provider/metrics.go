// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
)

// CallTime is how long the calls took that were made with a context.
type CallTime struct{ nanoseconds atomic.Int64 }

// Total is the sum of all calls so far; calls that were made at the same time count each.
func (t *CallTime) Total() time.Duration { return time.Duration(t.nanoseconds.Load()) }

type callTimeKey struct{}

// Timed returns a context whose calls are added up.
func Timed(ctx context.Context) (context.Context, *CallTime) {
	t := &CallTime{}
	return context.WithValue(ctx, callTimeKey{}, t), t
}

// labels of metrics are the backend, and the provider where there is room for it.
func (d *Door) labels(after ...string) []string {
	return metrics.Provider{Namespace: d.namespace, Name: d.identity.Name}.Labels([]string{d.identity.Backend}, after...)
}

// observe counts a call that was made.
func (d *Door) observe(ctx context.Context, operation string, err error, took time.Duration) {
	if t, ok := ctx.Value(callTimeKey{}).(*CallTime); ok {
		t.nanoseconds.Add(int64(took))
	}
	metrics.ProviderRequests.WithLabelValues(d.labels(operation, codeOf(err))...).Inc()
	metrics.ProviderRequestSeconds.WithLabelValues(d.labels(operation)...).Observe(took.Seconds())
}

// codeOf says how a call ended.
func codeOf(err error) string {
	switch {
	case err == nil:
		return "OK"
	case isFileError(err):
		return "FileError"
	default:
		return string(backends.CodeOf(err))
	}
}

// enter asks the account for a call, and counts one that it puts off.
func (d *Door) enter(ctx context.Context, operation string) error {
	now := time.Now()
	err := d.account.enter(namespaceOf(ctx), d.registration.Name, operation, now)
	if err == nil {
		return nil
	}
	reason, delay := metrics.DeferredLimit, backends.RetryAfter(err)
	switch {
	case errors.Is(err, ErrBusy):
		reason, delay = metrics.DeferredBusy, BusyDelay
	case errors.Is(err, backends.Unavailable):
		reason = metrics.DeferredBreaker
	case d.account.pausedUntil.Load() > now.UnixNano():
		reason = metrics.DeferredAsked
	}
	metrics.DeferredCalls.WithLabelValues(d.labels(reason)...).Inc()
	metrics.DeferredSeconds.WithLabelValues(d.labels(reason)...).Add(delay.Seconds())
	return err
}

// Observe tells how the accounts are to which the doors lead.
func (d *Doors) Observe(say func(gauge *metrics.Gauge, value float64, labels ...string)) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, door := range d.doors {
		open := 0.0
		if !door.account.breaker.IsClosed() {
			open = 1
		}
		say(metrics.BreakerOpen, open, door.labels()...)
		say(metrics.CallsInFlight, float64(door.account.places.underWay()), door.labels()...)
	}
}

// underWay is how many calls are.
func (p *places) underWay() int {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	return p.taken
}
