// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/inventory"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// judge lists the account, unless a sibling did so within this period, and compares it with all Sandboxes of the cluster: those
// from before the list and those from after it, so that none which came or went meanwhile is missed.
func (p *providerPass) judge(ctx context.Context) error {
	p.sandboxes = map[string]*v1alpha1.Sandbox{}
	if err := p.readSandboxes(ctx); err != nil {
		return err
	}
	siblings := p.doors.Siblings(p.door)
	snapshot, err := p.lists.Get(ctx, p.door, p.anyAdopted(siblings))
	if err != nil {
		return err
	}
	p.snapshot = snapshot
	if err := p.readSandboxes(ctx); err != nil {
		return err
	}
	in := p.input(siblings)
	verdict := inventory.Judge(p.memories.of(p.provider.Object.GetUID(), p.door.Account()), in)
	p.verdict = &verdict
	p.due = p.dueLeases()
	p.leasesDue = len(p.due)
	if verdict.Changed {
		p.door.Distrust()
	} else {
		p.door.Verify()
	}
	return nil
}

// readSandboxes adds all Sandboxes as the caches have them: this instance's, and those of the others. They are not to be changed.
func (p *providerPass) readSandboxes(ctx context.Context) error {
	readers := []client.Reader{p.client}
	if others := p.options.Shard.Others; others != nil {
		readers = append(readers, others)
	}
	for _, reader := range readers {
		var sandboxes v1alpha1.SandboxList
		if err := reader.List(ctx, &sandboxes, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing sandboxes: %w", err)
		}
		for i := range sandboxes.Items {
			p.sandboxes[string(sandboxes.Items[i].UID)] = &sandboxes.Items[i]
		}
	}
	return nil
}

// anyAdopted says whether a remote of the account was adopted, so that it may have no mark to be listed by.
func (p *providerPass) anyAdopted(siblings []provider.Sibling) bool {
	for _, sandbox := range p.sandboxes {
		if sandbox.Spec.SandboxID != "" && sandbox.Status.Provider != nil && slices.ContainsFunc(siblings, func(s provider.Sibling) bool {
			return s.UID == sandbox.Status.Provider.UID
		}) {
			return true
		}
	}
	return false
}

func (p *providerPass) input(siblings []provider.Sibling) inventory.Input {
	status, annotations := p.provider.Status, p.provider.Object.GetAnnotations()
	in := inventory.Input{
		Provider: string(p.provider.Object.GetUID()), Installation: p.options.Installation, Snapshot: p.snapshot,
		Sandboxes: make(map[string]inventory.Sandbox, len(p.sandboxes)),
		Keeps: func(mark backends.Mark) bool {
			return keeper(siblings, mark.Namespace).UID == string(p.provider.Object.GetUID())
		},
		Forgiven: p.forgiven, Grace: p.options.OrphanGrace, Visibility: p.door.Registration().VisibilityDelay,
		AccountChanged: p.door.Changed(), LossesAccepted: annotations[v1alpha1.AcceptLossesAnnotation] == "true",
		LeasesLapsed: status.LastSyncTime != nil && p.door.Lease() > 0 &&
			p.clock.Since(status.LastSyncTime.Time) > p.door.Lease()+syncRounding,
	}
	for uid, sandbox := range p.sandboxes {
		if !p.isForeign(sandbox) {
			in.Sandboxes[uid] = inventoried(sandbox)
		}
	}
	for i := range status.Orphans {
		in.Reported = append(in.Reported, status.Orphans[i].SandboxID)
	}
	return in
}

// inventoried is what inventory needs of a Sandbox.
func inventoried(sandbox *v1alpha1.Sandbox) inventory.Sandbox {
	status, j := &sandbox.Status, readJournal(sandbox)
	s := inventory.Sandbox{
		UID: string(sandbox.UID), ID: status.SandboxID, Incarnation: status.Incarnation, Adopts: sandbox.Spec.SandboxID,
		JournalOpen: j != nil && j.Incarnation > status.Incarnation, State: backends.State(status.State),
		Leaving: sandbox.DeletionTimestamp != nil,
	}
	if released := s.Leaving && !controllerutil.ContainsFinalizer(sandbox, v1alpha1.SandboxFinalizer); released ||
		status.State == v1alpha1.SandboxGone {
		s.State = ""
	}
	if status.Provider != nil {
		s.Provider = status.Provider.UID
	}
	if status.CreatedAt != nil {
		s.CreatedAt = status.CreatedAt.Time
	}
	if status.ExpiresAt != nil {
		s.ExpiresAt = status.ExpiresAt.Time
	}
	return s
}

// keeper is the one of the providers with the same account that deals with what no Sandbox of a namespace has any more: one of
// that namespace before one of the cluster, and that before any other.
func keeper(siblings []provider.Sibling, namespace string) provider.Sibling {
	rank := func(s provider.Sibling) int {
		switch {
		case s.Namespace == namespace:
			return 0
		case s.Kind == v1alpha1.KindClusterSandboxProvider:
			return 1
		default:
			return 2
		}
	}
	return slices.MinFunc(siblings, func(a, b provider.Sibling) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.UID, b.UID))
	})
}

// forgiven says that a remote is no orphan: its Sandbox was told to leave it when it went, or it stands in status.abandoned.
func (p *providerPass) forgiven(remote backends.Remote) bool {
	return remote.Labels[retainedLabel] != "" || slices.Contains(p.provider.Status.Retained, remote.ID) ||
		slices.ContainsFunc(p.provider.Status.Abandoned, func(a v1alpha1.AbandonedRemote) bool {
			return a.SandboxID == remote.ID || (a.UID == remote.Mark.UID && a.Incarnation == remote.Mark.Incarnation)
		})
}

// follow does what follows from the comparison: Sandboxes look at their remotes, leases are renewed, and what is nobody's goes.
func (p *providerPass) follow(ctx context.Context) error {
	if p.provider.Object.GetAnnotations()[v1alpha1.AcceptLossesAnnotation] != "" {
		if err := p.removeAnnotation(ctx, v1alpha1.AcceptLossesAnnotation); err != nil {
			return err
		}
	}
	if err := p.destroyNamed(ctx); err != nil {
		return err
	}
	if p.verdict.Changed {
		return nil
	}
	p.looks.keep(p.provider.Object.GetUID(), p.verdict.Stirred)
	for _, uid := range p.verdict.Stirred {
		p.stir(ctx, p.sandboxes[uid])
	}
	if p.inUse() {
		if err := p.doors.SaveCredentials(ctx, p.provider, p.door); err != nil {
			return err
		}
	}
	p.renewLeases(ctx)
	p.sweep(ctx)
	return p.workOffAbandoned(ctx)
}

func (p *providerPass) removeAnnotation(ctx context.Context, key string) error {
	err := p.patchMetadata(ctx, p.provider.Object, func(o client.Object) {
		annotations := o.GetAnnotations()
		delete(annotations, key)
		o.SetAnnotations(annotations)
	})
	p.before, _ = p.provider.Object.DeepCopyObject().(client.Object)
	return err
}

// syncTime is what status.lastSyncTime says: changes of it are writes, so it is rounded to the hour.
func syncTime(now time.Time) time.Time { return now.Truncate(syncRounding) }

const syncRounding = time.Hour
