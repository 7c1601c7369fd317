// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
)

// sweepSize bounds what one sweep destroys: the rest follows in the next period.
const sweepSize = 50

// sweep destroys orphans, where the policy says so, and surplus, whatever it says. The first comparison only reports.
func (p *providerPass) sweep(ctx context.Context) {
	if p.verdict.First {
		return
	}
	if p.provider.Spec.OrphanPolicy != v1alpha1.OrphanReport {
		p.destroyAll(ctx, "OrphanDestroyed", "no Sandbox has it any more", bounded(p.verdict.Orphans), p.isOrphan)
	}
	p.destroyAll(ctx, "SurplusDestroyed", "its Sandbox has another", bounded(p.verdict.Surplus), p.isSurplus)
}

func bounded(remotes []backends.Remote) []backends.Remote {
	return remotes[:min(len(remotes), sweepSize)]
}

// destroyNamed destroys the orphans that the annotation names, whatever the policy says.
func (p *providerPass) destroyNamed(ctx context.Context) error {
	text := p.provider.Object.GetAnnotations()[v1alpha1.DestroyOrphanAnnotation]
	if text == "" {
		return nil
	}
	var named []backends.Remote
	for id := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(p.verdict.Orphans, func(r backends.Remote) bool { return r.ID == strings.TrimSpace(id) })
		if i < 0 {
			p.recorder.Eventf(p.provider.Object, nil, corev1.EventTypeWarning, "NoSuchOrphan", "Destroy",
				"%q is no orphan: nothing was destroyed. See status.orphans", backends.Bounded(id, 100))
			continue
		}
		named = append(named, p.verdict.Orphans[i])
	}
	p.destroyAll(ctx, "OrphanDestroyed", "the annotation "+v1alpha1.DestroyOrphanAnnotation+" names it", named, p.isOrphan)
	return p.removeAnnotation(ctx, v1alpha1.DestroyOrphanAnnotation)
}

// destroyAll destroys those of the remotes of which the API server, asked live, says that they are nobody's.
func (p *providerPass) destroyAll(
	ctx context.Context, reason, why string, remotes []backends.Remote, confirm func(context.Context, backends.Remote) (bool, error),
) {
	log := ctrl.LoggerFrom(ctx)
	var destroyed []string
	for i := range remotes {
		sure, err := confirm(ctx, remotes[i])
		if err == nil && sure {
			err = p.door.Destroy(ctx, remotes[i].ID)
		}
		switch {
		case errors.Is(err, backends.NotFound), err == nil && !sure:
		case err != nil:
			log.Info("Could not destroy a remote that is nobody's", "sandboxID", remotes[i].ID, "cause", err.Error())
			if errors.Is(err, backends.RateLimited) || errors.Is(err, backends.Unavailable) {
				// So would the rest fail.
				remotes = nil
			}
		default:
			log.Info("Destroyed a remote that is nobody's", "sandboxID", remotes[i].ID, "why", why)
			destroyed = append(destroyed, remotes[i].ID)
		}
		if remotes == nil {
			break
		}
	}
	if len(destroyed) == 0 {
		return
	}
	metrics.Swept.WithLabelValues(p.provider.Spec.Backend, reason).Add(float64(len(destroyed)))
	p.recorder.Eventf(p.provider.Object, nil, corev1.EventTypeNormal, reason, "Destroy", "Destroyed %d: %s (%s)", len(destroyed),
		backends.Bounded(strings.Join(destroyed, ", "), 600), why)
}

// isOrphan asks the API server whether the Sandbox of the remote's mark is gone. A refusal or a timeout is no answer.
func (p *providerPass) isOrphan(ctx context.Context, remote backends.Remote) (bool, error) {
	sandbox, err := p.owner(ctx, remote.Mark)
	return err == nil && sandbox == nil, err
}

// isSurplus asks the API server whether the Sandbox of the remote's mark has another remote.
func (p *providerPass) isSurplus(ctx context.Context, remote backends.Remote) (bool, error) {
	sandbox, err := p.owner(ctx, remote.Mark)
	if err != nil || sandbox == nil {
		return false, err
	}
	s := inventoried(sandbox)
	return s.ID != "" && s.ID != remote.ID && (remote.Mark.Incarnation < s.Incarnation || !s.JournalOpen), nil
}

// owner returns the Sandbox of the mark, read live, or nil where it certainly does not exist.
func (p *providerPass) owner(ctx context.Context, mark backends.Mark) (*v1alpha1.Sandbox, error) {
	var sandbox v1alpha1.Sandbox
	err := p.live.Get(ctx, types.NamespacedName{Namespace: mark.Namespace, Name: mark.Name}, &sandbox)
	if apierrors.IsNotFound(err) || (err == nil && string(sandbox.UID) != mark.UID) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Sandbox %s/%s: %w", mark.Namespace, mark.Name, err)
	}
	return &sandbox, nil
}

// workOffAbandoned destroys remotes that were given up, and takes those off the list that are gone.
func (p *providerPass) workOffAbandoned(ctx context.Context) error {
	var left []v1alpha1.AbandonedRemote
	for i := range p.provider.Status.Abandoned {
		remote := p.provider.Status.Abandoned[i]
		gone, err := p.workOff(ctx, remote)
		if err != nil {
			ctrl.LoggerFrom(ctx).Info("Could not destroy a remote that was given up", "name", remote.Name, "cause", err.Error())
		}
		if !gone {
			left = append(left, remote)
		}
	}
	p.provider.Status.Abandoned = left
	return p.writeStatus(ctx)
}

// workOff destroys one remote that was given up; true = it is gone for certain.
func (p *providerPass) workOff(ctx context.Context, remote v1alpha1.AbandonedRemote) (bool, error) {
	if remote.SandboxID != "" {
		return ensureGone(ctx, p.door, remote.SandboxID)
	}
	found := false
	for i := range p.snapshot.Remotes {
		mark := p.snapshot.Remotes[i].Mark
		if mark.UID != remote.UID || mark.Incarnation != remote.Incarnation || mark.Installation != p.options.Installation {
			continue
		}
		found = true
		if _, err := ensureGone(ctx, p.door, p.snapshot.Remotes[i].ID); err != nil {
			return false, err
		}
	}
	r := p.door.Registration()
	mayAppear := p.snapshot.At.Before(timeOf(remote.AbandonedAt).Add(r.CreateDeadline + r.VisibilityDelay))
	return !found && !mayAppear, nil
}
