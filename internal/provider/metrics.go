// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Metrics of calls to providers, by backend, operation and code ("OK", "FileError" or a backends.Code).
var (
	requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sandbox_operator_provider_requests_total",
		Help: "Calls to providers, by backend, operation and code.",
	}, []string{"backend", "operation", "code"})
	requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sandbox_operator_provider_request_duration_seconds",
		Help:    "Duration of calls to providers, by backend and operation.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	}, []string{"backend", "operation"})
)

func init() {
	metrics.Registry.MustRegister(requestsTotal, requestSeconds)
}

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

func observe(ctx context.Context, backend, operation string, err error, took time.Duration) {
	if t, ok := ctx.Value(callTimeKey{}).(*CallTime); ok {
		t.nanoseconds.Add(int64(took))
	}
	code := "OK"
	switch {
	case err == nil:
	case isFileError(err):
		code = "FileError"
	default:
		code = string(backends.CodeOf(err))
	}
	requestsTotal.WithLabelValues(backend, operation, code).Inc()
	requestSeconds.WithLabelValues(backend, operation).Observe(took.Seconds())
}
