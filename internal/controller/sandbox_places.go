// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// placePoll is how often a Sandbox that waits for a place asks, beside being woken when one becomes free.
const placePoll = 30 * time.Second

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

// takePlace takes a place for the Sandbox of the pass, or fails with a placeError. The function that it returns is called at the end
// of the pass, when the journal holds the place, or nothing does.
func (p *sandboxPass) takePlace(ctx context.Context, identity v1alpha1.ProviderIdentity) (func(), error) {
	chosen, err := p.finder.ByIdentity(ctx, p.sandbox.Namespace, identity)
	if err != nil {
		return nil, err
	}
	if chosen.Spec.Limits == nil || chosen.Spec.Limits.MaxSandboxes == nil {
		p.places.unlimited(p.sandbox.UID, identity)
		return func() {}, nil
	}
	most := *chosen.Spec.Limits.MaxSandboxes
	part := p.options.share().Of(int(most))
	p.places.limit(chosen, part)
	given, err := p.places.take(p.sandbox, identity, queuesOf(chosen), part)
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, &placeError{most, part}
	}
	return func() { p.places.settle(p.sandbox) }, nil
}

// queue is where Sandboxes wait that ask for the same provider: by its kind, namespace and name, or for the default of a namespace
// or of all.
type queue struct {
	kind            v1alpha1.ProviderKind
	namespace, name string
}

// queuesOf are those whose Sandboxes get the places of a provider.
func queuesOf(chosen provider.Provider) []queue {
	own := queue{kind: chosen.Kind, namespace: chosen.Object.GetNamespace(), name: chosen.Object.GetName()}
	if chosen.Object.GetAnnotations()[v1alpha1.DefaultProviderAnnotation] != "true" {
		return []queue{own}
	}
	return []queue{own, {namespace: chosen.Object.GetNamespace()}}
}

// queuesFor are those in which a Sandbox waits for a place, or will when it is looked at. One that waits for something else is in none,
// so that it does not hold up those behind it.
func queuesFor(sandbox *v1alpha1.Sandbox) []queue {
	if !awaitsPlace(sandbox) {
		return nil
	}
	ref := sandbox.Spec.ProviderRef
	switch {
	case ref == nil:
		return []queue{{namespace: sandbox.Namespace}, {}}
	case ref.Kind == v1alpha1.KindSandboxProvider:
		return []queue{{kind: ref.Kind, namespace: sandbox.Namespace, name: ref.Name}}
	default:
		return []queue{{kind: ref.Kind, name: ref.Name}}
	}
}

// holdsPlace is the UID of the provider at which a Sandbox has, or may have, a remote; "" = at none.
func holdsPlace(sandbox *v1alpha1.Sandbox) string {
	identity := providerIdentity(sandbox)
	if identity == nil || !controllerutil.ContainsFinalizer(sandbox, v1alpha1.SandboxFinalizer) {
		return ""
	}
	j := readJournal(sandbox)
	open := j != nil && j.Incarnation > sandbox.Status.Incarnation
	if open || (sandbox.Status.SandboxID != "" && sandbox.Status.State != v1alpha1.SandboxGone) {
		return identity.UID
	}
	return ""
}

// ownTroubles keep one Sandbox from being made, and no other of the provider.
var ownTroubles = []string{
	v1alpha1.ReasonReferenceNotFound, v1alpha1.ReasonFileFailed, v1alpha1.ReasonNamespaceNotAllowed,
	v1alpha1.ReasonSeveralDefaultProviders, v1alpha1.ReasonNoDefaultProvider,
}

// awaitsPlace says that a Sandbox waits for a place, or was not looked at yet and will.
func awaitsPlace(sandbox *v1alpha1.Sandbox) bool {
	if sandbox.Status.SandboxID != "" || sandbox.DeletionTimestamp != nil || sandbox.Spec.SandboxID != "" {
		return false
	}
	if meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionStalled) {
		return false
	}
	ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady)
	return ready == nil || !slices.Contains(ownTroubles, ready.Reason)
}
