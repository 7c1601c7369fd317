// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

func init() {
	// An outcome that never came is 0, so that its first one is an increase.
	for _, outcome := range []v1alpha1.ExecOutcome{
		v1alpha1.OutcomeSucceeded, v1alpha1.OutcomeFailed, v1alpha1.OutcomeTimedOut, v1alpha1.OutcomeCancelled,
		v1alpha1.OutcomeSandboxLost, v1alpha1.OutcomeStartFailed, v1alpha1.OutcomeUnknown,
	} {
		metrics.ExecsFinished.WithLabelValues(string(outcome))
	}
}

// timed measures a pass. The function that it returns is called at its end, with what was done.
func timed(ctx context.Context, kind string) (context.Context, func(action string)) {
	began := time.Now()
	ctx, calls := provider.Timed(ctx)
	return ctx, func(action string) {
		if spent := calls.Total(); spent > 0 {
			metrics.OverheadSeconds.WithLabelValues(kind, action).Observe((time.Since(began) - spent).Seconds())
		}
	}
}

func countReady(before, after *v1alpha1.SandboxStatus) {
	if !meta.IsStatusConditionTrue(before.Conditions, v1alpha1.ConditionReady) &&
		meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionReady) {
		metrics.SandboxesReady.WithLabelValues().Inc()
	}
}

func countFinished(before, after *v1alpha1.SandboxExecStatus) {
	if before.Outcome == "" && after.Outcome != "" {
		metrics.ExecsFinished.WithLabelValues(string(after.Outcome)).Inc()
		if after.DurationMilliseconds != nil {
			took := time.Duration(*after.DurationMilliseconds) * time.Millisecond
			metrics.ExecSeconds.WithLabelValues(string(after.Outcome)).Observe(took.Seconds())
		}
	}
}

// counted is a client whose writes are counted where the API server took them.
type counted struct{ client.Client }

func (c counted) count(object client.Object, verb string, err error) error {
	if err != nil {
		return err
	}
	kind := "unknown"
	if gvk, lookup := apiutil.GVKForObject(object, c.Scheme()); lookup == nil {
		kind = gvk.Kind
	}
	metrics.APIWrites.WithLabelValues(kind, verb).Inc()
	return nil
}

func (c counted) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	return c.count(object, "create", c.Client.Create(ctx, object, options...))
}

func (c counted) Update(ctx context.Context, object client.Object, options ...client.UpdateOption) error {
	return c.count(object, "update", c.Client.Update(ctx, object, options...))
}

func (c counted) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	return c.count(object, "patch", c.Client.Patch(ctx, object, patch, options...))
}

func (c counted) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	return c.count(object, "delete", c.Client.Delete(ctx, object, options...))
}

func (c counted) Status() client.SubResourceWriter { return countedStatus{c.Client.Status(), c} }

type countedStatus struct {
	client.SubResourceWriter
	counted counted
}

func (c countedStatus) Patch(
	ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption,
) error {
	return c.counted.count(object, "patch_status", c.SubResourceWriter.Patch(ctx, object, patch, options...))
}
