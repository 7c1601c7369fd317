// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// What an object costs, as it goes on: writes divided by objects, and what passes add to the provider's own time.
var (
	writesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sandbox_operator_api_writes_total",
		Help: "Writes to the API server, by kind and verb (create, patch, patch_status, update or delete).",
	}, []string{"kind", "verb"})
	readyTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "sandbox_operator_sandboxes_ready_total",
		Help: "Sandboxes that became Ready.",
	})
	finishedTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sandbox_operator_execs_finished_total",
		Help: "SandboxExecs that ended, by outcome.",
	}, []string{"outcome"})
	overheadSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sandbox_operator_overhead_seconds",
		Help: "Duration of passes that called a provider, without the time of those calls, by kind and what was done.",
		// An undisturbed pass makes two writes of a few milliseconds each.
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"kind", "action"})
)

func init() {
	metrics.Registry.MustRegister(writesTotal, readyTotal, finishedTotal, overheadSeconds)
}

// timed measures a pass. The function that it returns is called at its end, with what was done.
func timed(ctx context.Context, kind string) (context.Context, func(action string)) {
	began := time.Now()
	ctx, calls := provider.Timed(ctx)
	return ctx, func(action string) {
		if spent := calls.Total(); spent > 0 {
			overheadSeconds.WithLabelValues(kind, action).Observe((time.Since(began) - spent).Seconds())
		}
	}
}

func countReady(before, after *v1alpha1.SandboxStatus) {
	if !meta.IsStatusConditionTrue(before.Conditions, v1alpha1.ConditionReady) &&
		meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionReady) {
		readyTotal.Inc()
	}
}

func countFinished(before, after *v1alpha1.SandboxExecStatus) {
	if before.Outcome == "" && after.Outcome != "" {
		finishedTotal.WithLabelValues(string(after.Outcome)).Inc()
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
	writesTotal.WithLabelValues(kind, verb).Inc()
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
