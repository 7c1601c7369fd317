// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// placePoll is how often a Sandbox that waits for a place asks, beside being woken when one becomes free.
const placePoll = 30 * time.Second

// places give out what this instance's part of limits.maxSandboxes leaves, in the order in which the Sandboxes were created.
type places struct {
	// mutex makes deciding and taking one step.
	mutex sync.Mutex
	// taken are Sandboxes that were given a place and have not written their journal yet, by provider.
	taken map[string]map[types.UID]bool
	// waiting are those that were sent away, by provider.
	waiting map[string]map[types.UID]*v1alpha1.Sandbox
	// limited are the providers with a limit that were asked for a place.
	limited map[string]limitedProvider
}

// limitedProvider is one, and how many places this instance may give out.
type limitedProvider struct {
	metrics.Provider
	part int
}

func newPlaces() *places {
	return &places{
		taken: map[string]map[types.UID]bool{}, waiting: map[string]map[types.UID]*v1alpha1.Sandbox{},
		limited: map[string]limitedProvider{},
	}
}

// placeError says that there is no place now.
type placeError struct {
	most int32
	// part is this instance's, where several share the provider.
	part int
}

func (e *placeError) Error() string {
	if e.part == int(e.most) {
		return fmt.Sprintf("The provider may have %d sandboxes (limits.maxSandboxes): this one waits for its turn", e.most)
	}
	return fmt.Sprintf("The provider may have %d sandboxes (limits.maxSandboxes), %d of them made by the instance of the operator that "+
		"this one belongs to: it waits for its turn", e.most, e.part)
}

// take takes a place for the Sandbox of the pass, or fails with a placeError. The function that it returns is called when the
// journal, which holds the place from then on, is written.
func (l *places) take(ctx context.Context, p *sandboxPass, identity v1alpha1.ProviderIdentity) (func(), error) {
	chosen, err := p.finder.ByIdentity(ctx, p.sandbox.Namespace, identity)
	if err != nil {
		return nil, err
	}
	if chosen.Spec.Limits == nil || chosen.Spec.Limits.MaxSandboxes == nil {
		l.forget(identity, p.sandbox.UID)
		return func() {}, nil
	}
	most := *chosen.Spec.Limits.MaxSandboxes
	part := p.options.share().Of(int(most))
	var sandboxes v1alpha1.SandboxList
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.limited[identity.UID] = limitedProvider{
		metrics.Provider{Namespace: chosen.Object.GetNamespace(), Name: chosen.Object.GetName()}, part,
	}
	err = p.client.List(ctx, &sandboxes, client.InNamespace(chosen.Object.GetNamespace()), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing sandboxes: %w", err)
	}
	before := 0
	for i := range sandboxes.Items {
		other := &sandboxes.Items[i]
		switch {
		case other.UID == p.sandbox.UID:
		case l.taken[identity.UID][other.UID], holdsPlace(other, identity.UID):
			before++
		case olderThan(other, p.sandbox) && awaitsPlace(other, chosen):
			before++
		}
	}
	if before >= part {
		set(l.waiting, identity.UID, p.sandbox.UID, p.sandbox.DeepCopy())
		return nil, &placeError{most, part}
	}
	set(l.taken, identity.UID, p.sandbox.UID, true)
	delete(l.waiting[identity.UID], p.sandbox.UID)
	return func() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		delete(l.taken[identity.UID], p.sandbox.UID)
	}, nil
}

func set[V any](all map[string]map[types.UID]V, provider string, uid types.UID, value V) {
	if all[provider] == nil {
		all[provider] = map[types.UID]V{}
	}
	all[provider][uid] = value
}

// holdsPlace says that a Sandbox has, or may have, a remote of the provider.
func holdsPlace(sandbox *v1alpha1.Sandbox, provider string) bool {
	identity := providerIdentity(sandbox)
	if identity == nil || identity.UID != provider || !controllerutil.ContainsFinalizer(sandbox, v1alpha1.SandboxFinalizer) {
		return false
	}
	j := readJournal(sandbox)
	open := j != nil && j.Incarnation > sandbox.Status.Incarnation
	return open || (sandbox.Status.SandboxID != "" && sandbox.Status.State != v1alpha1.SandboxGone)
}

// ownTroubles keep one Sandbox from being made, and no other of the provider.
var ownTroubles = []string{
	v1alpha1.ReasonReferenceNotFound, v1alpha1.ReasonFileFailed, v1alpha1.ReasonNamespaceNotAllowed,
	v1alpha1.ReasonSeveralDefaultProviders, v1alpha1.ReasonNoDefaultProvider,
}

// awaitsPlace says that a Sandbox waits for a place of the provider, or was not looked at yet and will. One that waits for
// something else does not hold up those behind it.
func awaitsPlace(sandbox *v1alpha1.Sandbox, chosen provider.Provider) bool {
	if sandbox.Status.SandboxID != "" || sandbox.DeletionTimestamp != nil || sandbox.Spec.SandboxID != "" {
		return false
	}
	if meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionStalled) {
		return false
	}
	if ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady); ready != nil &&
		slices.Contains(ownTroubles, ready.Reason) {
		return false
	}
	if ref := sandbox.Spec.ProviderRef; ref != nil {
		return ref.Kind == chosen.Kind && ref.Name == chosen.Object.GetName()
	}
	return chosen.Object.GetAnnotations()[v1alpha1.DefaultProviderAnnotation] == "true"
}

// wokenAtOnce is how many of those that wait are woken when a place becomes free: several may do so in one moment.
const wokenAtOnce = 8

// freed wakes the Sandboxes that waited longest for a place of the provider, as there may be one now.
func (l *places) freed(identity *v1alpha1.ProviderIdentity, w *wakes) {
	if identity == nil {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	inOrder := slices.SortedFunc(maps.Values(l.waiting[identity.UID]), func(a, b *v1alpha1.Sandbox) int {
		if olderThan(a, b) {
			return -1
		}
		return 1
	})
	for _, sandbox := range inOrder[:min(len(inOrder), wokenAtOnce)] {
		w.wake(sandbox)
	}
}

// forget drops a Sandbox that waits no more, as its provider has no limit.
func (l *places) forget(identity v1alpha1.ProviderIdentity, uid types.UID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.waiting[identity.UID], uid)
	delete(l.limited, identity.UID)
}

// forgetProvider drops a provider that is gone.
func (l *places) forgetProvider(uid types.UID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.limited, string(uid))
}

// forgetAll drops a Sandbox that is gone.
func (l *places) forgetAll(uid types.UID) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, waiting := range l.waiting {
		delete(waiting, uid)
	}
}

// left drops a Sandbox that is not in this instance's cache any more (it is gone, or its label has changed), and wakes those that
// wait for its place at a provider of this kind.
func (s *shared) left(sandbox *v1alpha1.Sandbox, kind v1alpha1.ProviderKind) {
	s.wakes.clear(sandbox.UID)
	s.places.forgetAll(sandbox.UID)
	if identity := providerIdentity(sandbox); identity != nil && identity.Kind == kind {
		s.places.freed(identity, s.wakes)
	}
}

// observe tells how many wait. How many wait before one of them is no condition, which would be written again with each that goes.
func (l *places) observe(say func(gauge *metrics.Gauge, value float64, labels ...string)) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for uid, limited := range l.limited {
		say(metrics.WaitingSandboxes, float64(len(l.waiting[uid])), limited.Labels(nil)...)
		say(metrics.Places, float64(limited.part), limited.Labels(nil)...)
	}
}
