// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// batchTime is how long a span waits for others to be sent with.
	batchTime = 2 * time.Second
	// exportTimeout is how long it is tried to send a batch. What the collector has not taken by then is lost.
	exportTimeout = 5 * time.Second
	// maxCause bounds what is logged of a failure, in bytes: it has all that was answered, and who answers need not be a collector.
	maxCause = 300
)

// CheckEndpoint says what is wrong with the URL of a collector.
func CheckEndpoint(endpoint string) error {
	parsed, err := url.Parse(endpoint)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return fmt.Errorf("%q is no URL for OTLP over HTTP, such as http://collector.monitoring:4318", endpoint)
	}
	if parsed.User != nil {
		return errors.New("it must hold no password: set OTEL_EXPORTER_OTLP_HEADERS instead")
	}
	return nil
}

// newExporter is one that says once an outage that the collector does not answer. Headers (such as tokens) and certificates come
// from the variables OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_CERTIFICATE.
func newExporter(ctx context.Context, options Options) (sdktrace.SpanExporter, error) {
	if err := CheckEndpoint(options.Endpoint); err != nil {
		return nil, err
	}
	endpoint := strings.TrimSuffix(options.Endpoint, "/")
	if parsed, _ := url.Parse(endpoint); parsed.Path == "" {
		endpoint += "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 2 * time.Second, MaxElapsedTime: exportTimeout}))
	if err != nil {
		return nil, fmt.Errorf("making the exporter of traces: %w", err)
	}
	return &outspoken{SpanExporter: exporter, log: options.Log, endpoint: options.Endpoint}, nil
}

// outspoken is an exporter that logs when the collector ceases to answer, and when it answers again.
type outspoken struct {
	sdktrace.SpanExporter
	log      logr.Logger
	endpoint string
	lost     atomic.Int64
}

// ExportSpans implements the SDK's SpanExporter.
func (o *outspoken) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := o.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		if o.lost.Add(int64(len(spans))) == int64(len(spans)) {
			o.log.Info("Traces can't be sent, and are dropped until they can", "endpoint", o.endpoint,
				"cause", beginning(err.Error()))
		}
		return err
	}
	if lost := o.lost.Swap(0); lost > 0 {
		o.log.Info("Traces are sent again", "endpoint", o.endpoint, "lostSpans", lost)
	}
	return nil
}

// beginning of a text that may be anything, as valid UTF-8.
func beginning(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxCause)], "") }
