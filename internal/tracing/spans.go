// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Attributes of spans. No value is of a Secret, of a command or of its output, and no message of a provider is among them.
const (
	AttributeNamespace = "k8s.namespace.name"
	AttributeName      = "sandboxes.run.name"
	AttributeUID       = "sandboxes.run.uid"
	AttributeBackend   = "sandboxes.run.backend"
	AttributeProvider  = "sandboxes.run.provider"
	AttributeCode      = "sandboxes.run.code"
	AttributeSandboxID = "sandboxes.run.sandbox_id"
	AttributeOutcome   = "sandboxes.run.outcome"
	AttributeReason    = "sandboxes.run.reason"
	AttributeExitCode  = "sandboxes.run.exit_code"
	AttributeAttempt   = "sandboxes.run.attempt"
)

// Pass begins the span of what a pass does for an object. The function that it returns ends it.
func Pass(ctx context.Context, object metav1.Object, name string) (context.Context, func(error)) {
	t := current.Load()
	if t == nil {
		return ctx, func(error) {}
	}
	root := t.originOf(object).root
	if !root.IsSampled() {
		return ctx, func(error) {}
	}
	ctx, span := t.Start(trace.ContextWithRemoteSpanContext(ctx, root), name, trace.WithAttributes( //nolint:spancheck // who called ends it
		attribute.String(AttributeNamespace, object.GetNamespace()), attribute.String(AttributeName, object.GetName())))
	return ctx, func(err error) { //nolint:spancheck // as above
		if err != nil {
			// The error stands in the log, or in the object. It may be of any length, and say anything.
			span.SetStatus(codes.Error, "the pass failed, and is repeated")
		}
		span.End()
	}
}

// Call begins the span of a call to a provider, where it is made for an object that is traced. The function that it returns ends it
// with the code of the result.
func Call(ctx context.Context, backend, provider, operation string) (context.Context, func(code string, err error)) {
	t := current.Load()
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, func(string, error) {}
	}
	kind := trace.WithSpanKind(trace.SpanKindClient)
	ctx, span := t.Start(ctx, backend+" "+operation, kind, trace.WithAttributes( //nolint:spancheck // who called ends it
		attribute.String(AttributeBackend, backend), attribute.String(AttributeProvider, provider)))
	return ctx, func(code string, err error) { //nolint:spancheck // as above
		span.SetAttributes(attribute.String(AttributeCode, code))
		if err != nil {
			span.SetStatus(codes.Error, code)
		}
		span.End()
	}
}

// Whole is the span of an object, under which all others are, when it has come to its end.
type Whole struct {
	// Name of the span.
	Name string
	// Begin and End of it.
	Begin, End time.Time
	// Failed says that it did not come to what it was for.
	Failed bool
	// Attributes beside the object's namespace, name and UID.
	Attributes []attribute.KeyValue
	// Uses is an object with a trace of its own to which this one is linked; nil = none.
	Uses metav1.Object
}

// Tell sends the span of an object.
func Tell(object metav1.Object, whole Whole) {
	t := current.Load()
	if t == nil {
		return
	}
	o := t.originOf(object)
	if !o.root.IsSampled() {
		return
	}
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), o.above)
	options := []trace.SpanStartOption{trace.WithTimestamp(whole.Begin), trace.WithAttributes(
		attribute.String(AttributeNamespace, object.GetNamespace()), attribute.String(AttributeName, object.GetName()),
		attribute.String(AttributeUID, string(object.GetUID()))), trace.WithAttributes(whole.Attributes...)}
	if whole.Uses != nil {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: t.originOf(whole.Uses).root}))
	}
	_, span := t.Start(context.WithValue(ctx, rootKey{}, o.root), whole.Name, options...)
	if whole.Failed {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(whole.End))
}
