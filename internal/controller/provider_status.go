// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// mostOrphans is how many orphans are listed in a status.
const mostOrphans = 100

// record writes the status where it changed.
func (p *providerPass) record(ctx context.Context, err error) error {
	if p.verdict != nil {
		p.recordInventory()
	}
	conditions, generation := &p.provider.Status.Conditions, p.provider.Object.GetGeneration()
	if p.leaving() {
		if p.recordLeaving(); p.verdict != nil && p.verdict.Changed {
			setProgress(conditions, generation, v1alpha1.ConditionStalled, v1alpha1.ReasonAccountChanged, p.changedMessage())
		}
		return p.writeStatus(ctx)
	}
	switch t, ok := troubleOf(err); {
	case err == nil && p.verdict.Changed:
		setProgress(conditions, generation, v1alpha1.ConditionStalled, v1alpha1.ReasonAccountChanged, p.changedMessage())
	case err == nil:
		setProgress(conditions, generation, v1alpha1.ConditionReady, v1alpha1.ReasonReady, "The provider answers")
		p.provider.Status.Capabilities = nil
		for _, capability := range p.door.Registration().Capabilities {
			p.provider.Status.Capabilities = append(p.provider.Status.Capabilities, string(capability))
		}
	case !ok:
		// Of this program or the API server: it says nothing about the provider.
		return nil
	case t.final, t.reason == v1alpha1.ReasonUnknownBackend, t.reason == v1alpha1.ReasonInvalidParameters,
		t.reason == v1alpha1.ReasonUnsupported, t.reason == v1alpha1.ReasonLifetimeOutOfBounds:
		setProgress(conditions, generation, v1alpha1.ConditionStalled, t.reason, t.message)
	default:
		setProgress(conditions, generation, v1alpha1.ConditionReconciling, t.reason, t.message)
	}
	return p.writeStatus(ctx)
}

// recordInventory says what the comparison found.
func (p *providerPass) recordInventory() {
	status, v := p.provider.Status, p.verdict
	status.SandboxCount, status.OrphanCount = new(int32(v.Visible)), new(int32(len(v.Orphans)))
	status.LastSyncTime = new(metav1.NewTime(syncTime(p.snapshot.At)))
	status.Orphans = nil
	for _, remote := range v.Orphans[:min(len(v.Orphans), mostOrphans)] {
		status.Orphans = append(status.Orphans, orphanStatus(remote))
	}
	p.pruneRetained()
	if v.Turned > 0 && !v.Changed {
		p.recorder.Eventf(p.provider.Object, nil, corev1.EventTypeWarning, "OrphansFound", "Compare",
			"%d sandboxes that this installation made are at the provider, and no Sandbox has them any more; see status.orphans",
			v.Turned)
	}
}

// pruneRetained forgets remotes that are gone.
func (p *providerPass) pruneRetained() {
	if p.verdict.Changed || len(p.provider.Status.Retained) == 0 {
		return
	}
	p.provider.Status.Retained = slices.DeleteFunc(slices.Clone(p.provider.Status.Retained), func(id string) bool {
		return !slices.ContainsFunc(p.snapshot.Remotes, func(r backends.Remote) bool { return r.ID == id })
	})
}

func orphanStatus(remote backends.Remote) v1alpha1.OrphanRemote {
	orphan := v1alpha1.OrphanRemote{
		SandboxID: backends.Bounded(remote.ID, 253), Namespace: backends.Bounded(remote.Mark.Namespace, 63),
		Name: backends.Bounded(remote.Mark.Name, 253), UID: backends.Bounded(remote.Mark.UID, 64),
		Incarnation: max(remote.Mark.Incarnation, 0),
	}
	if !remote.CreatedAt.IsZero() {
		orphan.CreatedAt = new(metav1.NewTime(remote.CreatedAt))
	}
	return orphan
}

// changedMessage says why the account is not believed to be the same, and what to do in either case.
func (p *providerPass) changedMessage() string {
	name := p.provider.Object.GetName()
	kind := "csbxp " + name
	if namespace := p.provider.Object.GetNamespace(); namespace != "" {
		kind = "sbxp " + name + " -n " + namespace
	}
	return fmt.Sprintf("The account does not show the sandboxes that it should, or many that no Sandbox has any more "+
		"(status.sandboxCount, status.orphanCount): these may be the credentials or the endpoint of another account. Nothing is "+
		"declared lost, destroyed or made until that is mended. If the account is the right one: kubectl annotate %s %s=true",
		kind, v1alpha1.AcceptLossesAnnotation)
}

// recordLeaving says why the deletion waits.
func (p *providerPass) recordLeaving() {
	message := "The provider is kept until no Sandbox has, or may have, a remote of it; see kubectl get sbx --all-namespaces"
	if len(p.provider.Status.Abandoned) > 0 {
		message += fmt.Sprintf(". Remotes that were given up (status.abandoned) keep it for %s at most; to let it go at once, annotate it "+
			"with %s=true", p.options.DeletionDeadline, v1alpha1.AbandonAnnotation)
	}
	setProgress(&p.provider.Status.Conditions, p.provider.Object.GetGeneration(), v1alpha1.ConditionReconciling,
		v1alpha1.ReasonInUse, message)
}

func (p *providerPass) writeStatus(ctx context.Context) error {
	status := p.provider.Status
	status.ObservedGeneration = p.provider.Object.GetGeneration()
	if equality.Semantic.DeepEqual(provider.Of(p.before).Status, status) {
		return nil
	}
	if err := p.client.Status().Patch(ctx, p.provider.Object, locked(p.before)); err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	p.before, _ = p.provider.Object.DeepCopyObject().(client.Object)
	return nil
}
