// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// figures are what the last pass over each provider found, for metrics.
type figures struct {
	mutex sync.Mutex
	of    map[types.UID]figure
}

type figure struct {
	provider                             metrics.Provider
	backend                              string
	ready, changed                       bool
	listed                               bool
	listedAt                             time.Time
	remotes, orphans, abandoned, leasing int
}

func newFigures() *figures { return &figures{of: map[types.UID]figure{}} }

// note takes over what a pass found. What this pass could not see stays as the last one saw it.
func (f *figures) note(p *providerPass) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	object, status := p.provider.Object, p.provider.Status
	now := f.of[object.GetUID()]
	now.provider = metrics.Provider{Namespace: object.GetNamespace(), Name: object.GetName()}
	now.backend = p.provider.Spec.Backend
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	now.ready = ready != nil && ready.Status == conditionTrue
	now.changed = ready != nil && ready.Reason == v1alpha1.ReasonAccountChanged
	now.abandoned = len(status.Abandoned)
	if p.verdict != nil {
		now.listed, now.listedAt = true, p.snapshot.At
		now.remotes, now.orphans, now.leasing = p.verdict.Visible, len(p.verdict.Orphans), p.leasesDue
	}
	f.of[object.GetUID()] = now
}

// forgetFigures drops what is known of a provider that is gone.
func (s *shared) forgetFigures(uid types.UID) {
	s.figures.mutex.Lock()
	gone, known := s.figures.of[uid]
	delete(s.figures.of, uid)
	s.figures.mutex.Unlock()
	s.places.forgetProvider(uid)
	if known {
		metrics.ForgetProvider(gone.provider)
	}
}

func (f *figures) observe(say func(gauge *metrics.Gauge, value float64, labels ...string)) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, one := range f.of {
		labels, backend := one.provider.Labels(nil), one.provider.Labels([]string{one.backend})
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
	named := metrics.Provider{Namespace: p.provider.Object.GetNamespace(), Name: p.provider.Object.GetName()}
	metrics.LeaseRenewals.WithLabelValues(named.Labels([]string{p.provider.Spec.Backend}, code)...).Inc()
}
