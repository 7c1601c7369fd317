// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// figures are what the last pass over each provider found, for metrics.
type figures struct {
	mutex sync.Mutex
	// of has them by name, as metrics do: two that had it one after the other would be two series of the same labels.
	of map[metrics.Provider]figure
}

type figure struct {
	uid                                  types.UID
	backend                              string
	ready, changed                       bool
	listed                               bool
	listedAt                             time.Time
	remotes, orphans, abandoned, leasing int
}

func newFigures() *figures { return &figures{of: map[metrics.Provider]figure{}} }

// named is what metrics call a provider.
func named(object client.Object) metrics.Provider {
	return metrics.Provider{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// note takes over what a pass found. What this pass could not see stays as the last one saw it.
func (f *figures) note(p *providerPass) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	object, status := p.provider.Object, p.provider.Status
	now := f.of[named(object)]
	if now.uid != object.GetUID() {
		// What was found of another of this name says nothing of this one.
		now = figure{uid: object.GetUID()}
	}
	now.backend = p.provider.Spec.Backend
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	now.ready = ready != nil && ready.Status == conditionTrue
	now.changed = ready != nil && ready.Reason == v1alpha1.ReasonAccountChanged
	now.abandoned = len(status.Abandoned)
	if p.verdict != nil {
		now.listed, now.listedAt = true, p.snapshot.At
		now.remotes, now.orphans, now.leasing = p.verdict.Visible, len(p.verdict.Orphans), p.leasesDue
	}
	f.of[named(object)] = now
}

// forget drops what was found of a provider, and says which UID it had; empty = nothing was found.
func (f *figures) forget(gone metrics.Provider) types.UID {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	uid := f.of[gone].uid
	delete(f.of, gone)
	return uid
}

// forget drops all that is known of a provider that is gone. Its name is what leads there: one whose Secret never came has no door
// that would know its UID, and yet is shown as not Ready.
func (r *providerReconciler) forget(namespace, name string) {
	gone := metrics.Provider{Namespace: namespace, Name: name}
	uids := r.doors.ForgetName(provider.Of(r.empty()).Kind, namespace, name)
	for _, uid := range append(uids, r.figures.forget(gone)) {
		r.memories.forget(uid)
		r.looks.forget(uid)
		r.places.forgetProvider(uid)
	}
	metrics.ForgetProvider(gone)
}

func (f *figures) observe(say func(gauge *metrics.Gauge, value float64, labels ...string)) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for name, one := range f.of {
		labels, backend := name.Labels(nil), name.Labels([]string{one.backend})
		say(metrics.ProviderReady, number(one.ready), backend...)
		say(metrics.AccountChanged, number(one.changed), backend...)
		say(metrics.AbandonedRemotes, float64(one.abandoned), labels...)
		if !one.listed {
			continue
		}
		say(metrics.LastSync, float64(one.listedAt.UnixMilli())/1000, backend...)
		say(metrics.Remotes, float64(one.remotes), labels...)
		say(metrics.Orphans, float64(one.orphans), labels...)
		say(metrics.LeasesDue, float64(one.leasing), labels...)
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (p *providerPass) countRenewal(err error) {
	code := "OK"
	switch {
	case errors.Is(err, provider.ErrBusy):
		code = "Busy"
	case err != nil:
		code = string(backends.CodeOf(err))
	}
	metrics.LeaseRenewals.WithLabelValues(named(p.provider.Object).Labels([]string{p.provider.Spec.Backend}, code)...).Inc()
}
