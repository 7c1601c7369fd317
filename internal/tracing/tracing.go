// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tracing tells a collector of OpenTelemetry what was done for each Sandbox and each SandboxExec: one trace an object, however
// many passes and processes it took. So nothing of a trace is kept in memory or in the object: trace.go derives the IDs of trace and
// root span from the object's UID, and from the trace context in its annotation where its creator put one there; spans.go makes the
// spans of passes and of calls to providers under them; export.go brings them to the collector. Where no collector is named, each
// function returns at once.
package tracing

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options say where spans go.
type Options struct {
	// Endpoint is the collector's URL for OTLP over HTTP, such as http://collector:4318. A path other than / is used as it is, else
	// it is /v1/traces. Empty = no tracing.
	Endpoint string
	// Ratio is which part of the objects is traced, 0 to 1. An object whose creator put a trace context into its annotation is traced
	// where that one is sampled.
	Ratio float64
	// Version is the operator's own.
	Version string
	// Log hears when the collector can't be reached, and when it can again.
	Log logr.Logger
}

// tracer makes the spans of this process; nil = tracing is off.
type tracer struct {
	trace.Tracer
	ratio float64
}

var current atomic.Pointer[tracer]

// Start has spans made and exported until stop is called, which gives those that are left at most so long to arrive.
func Start(ctx context.Context, options Options) (stop func(atMost time.Duration), err error) {
	if options.Endpoint == "" {
		return func(time.Duration) {}, nil
	}
	// Failures are the exporter's to tell, once an outage. The library itself would tell them on stderr, with the headers of a variable
	// that it can't read, and so with the token in them.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	otel.SetLogger(logr.Discard())
	exporter, err := newExporter(ctx, options)
	if err != nil {
		return nil, err
	}
	about, err := describe(ctx, options.Version)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(batchTime)), sdktrace.WithResource(about),
		sdktrace.WithIDGenerator(derivedIDs{}), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
	)
	const name = "github.com/sandbox-operator/sandbox-operator"
	current.Store(&tracer{provider.Tracer(name, trace.WithInstrumentationVersion(options.Version)), options.Ratio})
	return func(atMost time.Duration) {
		current.Store(nil)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), atMost)
		defer cancel()
		_ = provider.Shutdown(ending)
	}, nil
}

// describe says who sends the spans. What OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say goes before.
func describe(ctx context.Context, version string) (*resource.Resource, error) {
	host, _ := os.Hostname()
	about, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "sandbox-operator"), attribute.String("service.version", version),
		attribute.String("service.instance.id", host),
	), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing the operator for traces: %w", err)
	}
	return about, nil
}
