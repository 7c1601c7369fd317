// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

const (
	// retainedLabel on a remote says that its Sandbox left it to the provider, where its mark says otherwise.
	retainedLabel = "sandboxes-run-retained"
	// mostRemembered is how many remotes of a kind a provider's status remembers.
	mostRemembered = 500
)

// retain leaves the remote to the provider: nothing ends it by itself any more, and it will be no orphan.
func (p *sandboxPass) retain(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	id := p.sandbox.Status.SandboxID
	remote, err := door.Get(ctx, id)
	if errors.Is(err, backends.NotFound) {
		return p.release(ctx)
	}
	if err == nil && !remote.ExpiresAt.IsZero() && door.Can(backends.CapabilityLifetime) {
		err = door.SetLifetime(ctx, id, 0)
	}
	if err == nil {
		err = p.markRetained(ctx, door, remote)
	}
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	return p.release(ctx)
}

// markRetained writes down that the remote was left on purpose, where its mark, which is from its creation, says otherwise: on
// the remote itself, or where that can't be done in its provider's status.
func (p *sandboxPass) markRetained(ctx context.Context, door *provider.Door, remote backends.Remote) error {
	if remote.Mark.UID == "" || remote.Mark.DeletionPolicy == string(v1alpha1.DeletionPolicyRetain) {
		return nil
	}
	if door.Can(backends.CapabilityLabels) {
		labels := map[string]string{retainedLabel: "true"}
		maps.Copy(labels, remote.Labels)
		return door.SetLabels(ctx, remote.ID, labels)
	}
	return p.remember(ctx, door.Identity(), func(status *v1alpha1.ProviderStatus) bool {
		if slices.Contains(status.Retained, remote.ID) || len(status.Retained) >= mostRemembered {
			return false
		}
		status.Retained = append(status.Retained, remote.ID)
		return true
	})
}

// recordAbandoned writes what is given up into its provider's status.
func (p *sandboxPass) recordAbandoned(ctx context.Context) error {
	identity := providerIdentity(p.sandbox)
	if identity == nil {
		return nil
	}
	status := &p.sandbox.Status
	given := v1alpha1.AbandonedRemote{
		SandboxID: status.SandboxID, Incarnation: status.Incarnation, UID: string(p.sandbox.UID),
		Sandbox: p.sandbox.Namespace + "/" + p.sandbox.Name, AbandonedAt: new(metav1.NewTime(p.now)),
	}
	if j := p.journal; j != nil && j.Incarnation > status.Incarnation {
		// The remote that a cut-off creation may have left; an older one was destroyed before it.
		given.SandboxID, given.Incarnation = "", j.Incarnation
	}
	given.Name = remoteName(p.sandbox.UID, given.Incarnation)
	return p.remember(ctx, *identity, func(status *v1alpha1.ProviderStatus) bool {
		known := slices.ContainsFunc(status.Abandoned, func(a v1alpha1.AbandonedRemote) bool { return a.Name == given.Name })
		if known || len(status.Abandoned) >= mostRemembered {
			return false
		}
		status.Abandoned = append(status.Abandoned, given)
		return true
	})
}

// remember changes the status of a provider, whoever writes to it meanwhile. One that is gone remembers nothing.
func (p *sandboxPass) remember(
	ctx context.Context, identity v1alpha1.ProviderIdentity, change func(status *v1alpha1.ProviderStatus) bool,
) error {
	live := p.liveFinder()
	return insist(ctx, func() error {
		chosen, err := live.ByIdentity(ctx, p.sandbox.Namespace, identity)
		if _, gone := provider.IsSetup(err); gone {
			return nil
		}
		if err != nil {
			return err
		}
		before, _ := chosen.Object.DeepCopyObject().(client.Object)
		if !change(chosen.Status) {
			return nil
		}
		if err := p.client.Status().Patch(ctx, chosen.Object, locked(before)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("writing down a remote in the status of its provider: %w", err)
		}
		return nil
	})
}
