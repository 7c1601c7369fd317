// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// origin is where the spans of an object belong.
type origin struct {
	// root is the object's own span, under which all others are.
	root trace.SpanContext
	// above is the span in the annotation; not valid = the root is the first of its trace.
	above trace.SpanContext
}

// originOf derives the trace of an object: its ID is the UID without hyphens, or that of the trace in the annotation; the ID of its
// root span is a digest of the UID, so that each pass of each process finds the same.
func (t *tracer) originOf(object metav1.Object) origin {
	uid := string(object.GetUID())
	digest := sha256.Sum256([]byte(uid))
	o := origin{above: annotated(object)}
	config := trace.SpanContextConfig{Remote: true, TraceID: o.above.TraceID(), TraceFlags: o.above.TraceFlags()}
	if !o.above.IsValid() {
		copy(config.TraceID[:], digest[8:24])
		if raw, err := hex.DecodeString(strings.ReplaceAll(uid, "-", "")); err == nil && len(raw) == len(config.TraceID) {
			config.TraceID = trace.TraceID(raw)
		}
		config.TraceFlags = 0
		if float64(binary.BigEndian.Uint64(digest[24:])) < t.ratio*math.MaxUint64 {
			config.TraceFlags = trace.FlagsSampled
		}
	}
	copy(config.SpanID[:], digest[:8])
	o.root = trace.NewSpanContext(config)
	return o
}

// annotated is the trace context in the object's annotation; one that can't be read is none.
func annotated(object metav1.Object) trace.SpanContext {
	text := object.GetAnnotations()[v1alpha1.TraceparentAnnotation]
	if text == "" {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": text}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// Inherit joins an object that is about to be created to the trace of its maker.
func Inherit(object, maker metav1.Object) {
	t := current.Load()
	if t == nil {
		return
	}
	carrier := propagation.MapCarrier{}
	root := t.originOf(maker).root
	propagation.TraceContext{}.Inject(trace.ContextWithRemoteSpanContext(context.Background(), root), carrier)
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.TraceparentAnnotation] = carrier["traceparent"]
	object.SetAnnotations(annotations)
}

// derivedIDs gives a root span the IDs that were derived for it, and all others random ones.
type derivedIDs struct{}

type rootKey struct{}

// NewIDs implements the SDK's IDGenerator, for the first span of a trace.
func (derivedIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if root, ok := ctx.Value(rootKey{}).(trace.SpanContext); ok {
		return root.TraceID(), root.SpanID()
	}
	var id trace.TraceID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64()|1) //nolint:gosec // no secret
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())   //nolint:gosec // no secret
	return id, randomSpanID()
}

// NewSpanID implements the SDK's IDGenerator, for all others.
func (derivedIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if root, ok := ctx.Value(rootKey{}).(trace.SpanContext); ok {
		return root.SpanID()
	}
	return randomSpanID()
}

func randomSpanID() trace.SpanID {
	var id trace.SpanID
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) //nolint:gosec // no secret
	return id
}
