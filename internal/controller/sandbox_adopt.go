// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// adopt takes a remote that exists. No mark is put on it: the object names it from its first moment on, so that it can't be
// lost sight of, and its labels are those of whoever made it.
func (p *sandboxPass) adopt(ctx context.Context) (ctrl.Result, error) {
	door, err := p.open(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	files, err := p.files(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	remote, err := p.adoptable(ctx, door)
	if err != nil {
		return p.blocked(ctx, err)
	}
	if err := p.writeJournal(ctx, p.journal.next(p.clock.Now(), door.Identity(), p.sandbox)); err != nil {
		return ctrl.Result{}, err
	}
	if err := p.confirmProvider(ctx, door); err != nil {
		return p.blocked(ctx, err)
	}
	return p.bind(ctx, door, remote, files)
}

// adoptable returns the remote that the spec names, if it may be adopted.
func (p *sandboxPass) adoptable(ctx context.Context, door *provider.Door) (backends.Remote, error) {
	id := p.sandbox.Spec.SandboxID
	chosen, err := p.finder.ByIdentity(ctx, p.sandbox.Namespace, door.Identity())
	if err != nil {
		return backends.Remote{}, err
	}
	if chosen.Spec.Adoption != v1alpha1.AdoptionAllowed {
		return backends.Remote{}, specErrorf(v1alpha1.ReasonAdoptionForbidden,
			"%s %q does not allow adoption: its administrator can set spec.adoption to Allowed", chosen.Kind, chosen.Object.GetName())
	}
	if other, err := p.adoptedBy(ctx, door); err != nil || other != "" {
		if err == nil {
			err = specErrorf(v1alpha1.ReasonAdoptionFailed, "Sandbox %s has the remote %q: one remote can't have two", other, id)
		}
		return backends.Remote{}, err
	}
	remote, err := door.Get(ctx, id)
	switch {
	case errors.Is(err, backends.NotFound):
		return remote, specErrorf(v1alpha1.ReasonAdoptionFailed, "The provider knows no sandbox %q; delete this object, and create it "+
			"with the right sandboxID", id)
	case err != nil:
		return remote, err
	case remote.Mark != backends.Mark{}:
		return remote, specErrorf(v1alpha1.ReasonAdoptionFailed, "The sandbox %q was made by an operator (installation %s, "+
			"Sandbox %s/%s): it can't be adopted", id, remote.Mark.Installation, remote.Mark.Namespace, remote.Mark.Name)
	}
	return remote, nil
}

// adoptedBy returns the Sandbox that has the remote, or that asked for it first; "" = this one may have it.
func (p *sandboxPass) adoptedBy(ctx context.Context, door *provider.Door) (string, error) {
	var sandboxes v1alpha1.SandboxList
	if err := p.client.List(ctx, &sandboxes, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("listing sandboxes: %w", err)
	}
	others, err := p.ofOtherInstances(ctx)
	if err != nil {
		return "", err
	}
	all := slices.Concat(sandboxes.Items, others)
	for i := range all {
		other := &all[i]
		if other.UID == p.sandbox.UID || (other.Status.Provider != nil && other.Status.Provider.Backend != door.Identity().Backend) {
			continue
		}
		has := other.Status.SandboxID == p.sandbox.Spec.SandboxID && other.Status.State != v1alpha1.SandboxGone
		asks := other.Spec.SandboxID == p.sandbox.Spec.SandboxID && other.Status.SandboxID == "" && other.DeletionTimestamp == nil
		if has || (asks && olderThan(other, p.sandbox)) {
			return other.Namespace + "/" + other.Name, nil
		}
	}
	return "", nil
}

// ofOtherInstances reads, live, the Sandboxes that this instance's cache may not have. An operator for some namespaces reads no others.
func (p *sandboxPass) ofOtherInstances(ctx context.Context) ([]v1alpha1.Sandbox, error) {
	if !p.options.Shard.isOneOfSeveral() {
		return nil, nil
	}
	var where []client.ListOption
	if p.options.Namespaced {
		where = append(where, client.InNamespace(p.sandbox.Namespace))
	}
	var sandboxes v1alpha1.SandboxList
	if err := p.live.List(ctx, &sandboxes, where...); err != nil {
		return nil, fmt.Errorf("listing sandboxes: %w", err)
	}
	return sandboxes.Items, nil
}

// olderThan orders Sandboxes by creation, ties by namespace and name.
func olderThan(a, b *v1alpha1.Sandbox) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	if a.Namespace != b.Namespace {
		return a.Namespace < b.Namespace
	}
	return a.Name < b.Name
}

// disown leaves a remote alone that another installation made: this cluster is a clone of that one's, or was restored beside it.
func (p *sandboxPass) disown(ctx context.Context) (ctrl.Result, error) {
	made := readJournal(p.sandbox).Installation
	p.setProgress(v1alpha1.ConditionStalled, v1alpha1.ReasonOtherInstallation, fmt.Sprintf(
		"the sandbox %q was made by the installation %q, and this operator's is %q: it is left alone. Delete this Sandbox and create it "+
			"again; or, if the other cluster is gone for good, start this operator with --installation-id=%s",
		p.sandbox.Status.SandboxID, made, p.options.Installation, made))
	return ctrl.Result{}, p.record(ctx)
}
