// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/tracing"
)

// traceSandbox begins the span of a pass over a Sandbox that does something.
func traceSandbox(ctx context.Context, sandbox *v1alpha1.Sandbox, action sandboxAction) (context.Context, func(error)) {
	switch action {
	case sandboxRest, sandboxRecord:
		return ctx, func(error) {}
	default:
		return tracing.Pass(ctx, sandbox, "Sandbox "+string(action))
	}
}

// traceExec begins the span of a pass over a SandboxExec that does something. To wait is none: what a run waited for shows between
// its begin and its first pass.
func traceExec(ctx context.Context, exec *v1alpha1.SandboxExec, action execAction) (context.Context, func(error)) {
	switch action {
	case execRest, execRecord, execExpire, execWait, execWaitForTurn, execBackOff:
		return ctx, func(error) {}
	default:
		return tracing.Pass(ctx, exec, "SandboxExec "+string(action))
	}
}

// tellMade sends the span of a Sandbox, from its creation until its first remote ran with its files. What is done later is under the
// same span.
func tellMade(before *v1alpha1.SandboxStatus, sandbox *v1alpha1.Sandbox, now time.Time) {
	after := &sandbox.Status
	if !isFirstMade(before, sandbox) {
		return
	}
	whole := tracing.Whole{Name: "Sandbox", Begin: sandbox.CreationTimestamp.Time, End: now, Attributes: []attribute.KeyValue{
		attribute.String(tracing.AttributeSandboxID, after.SandboxID),
	}}
	if after.Provider != nil {
		whole.Attributes = append(whole.Attributes, attribute.String(tracing.AttributeBackend, after.Provider.Backend),
			attribute.String(tracing.AttributeProvider, after.Provider.Name))
	}
	tracing.Tell(sandbox, whole)
}

// isFirstMade says that the first remote of a Sandbox runs and has its files, and that it was not so before. Ready would not do: it
// comes and goes with the provider, and the span would be sent each time that it comes.
func isFirstMade(before *v1alpha1.SandboxStatus, sandbox *v1alpha1.Sandbox) bool {
	if sandbox.Status.Incarnation > 1 || sandbox.Status.State != v1alpha1.SandboxRunning || !isEquipped(sandbox) {
		return false
	}
	wasBound := before.SandboxID != "" && before.State != v1alpha1.SandboxCreating
	return !wasBound || !isEquipped(&v1alpha1.Sandbox{Spec: sandbox.Spec, Status: *before})
}

// tellFinished sends the span of a SandboxExec, from its creation to its end.
func tellFinished(before *v1alpha1.SandboxExecStatus, exec *v1alpha1.SandboxExec, sandbox *v1alpha1.Sandbox, now time.Time) {
	after := &exec.Status
	if before.Outcome != "" || after.Outcome == "" {
		return
	}
	whole := tracing.Whole{
		Name: "SandboxExec", Begin: exec.CreationTimestamp.Time, End: now, Failed: after.Outcome != v1alpha1.OutcomeSucceeded,
		Attributes: []attribute.KeyValue{
			attribute.String(tracing.AttributeOutcome, string(after.Outcome)), attribute.String(tracing.AttributeReason, after.Reason),
			attribute.Int(tracing.AttributeAttempt, int(after.Attempt)),
		},
	}
	if after.ExitCode != nil {
		whole.Attributes = append(whole.Attributes, attribute.Int(tracing.AttributeExitCode, int(*after.ExitCode)))
	}
	if sandbox != nil {
		whole.Uses = sandbox
	}
	tracing.Tell(exec, whole)
}
