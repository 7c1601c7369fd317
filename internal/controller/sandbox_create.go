// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// create makes the remote: what can be known to be wrong first, then the journal, then the effect, then the status.
func (p *sandboxPass) create(ctx context.Context) (ctrl.Result, error) {
	door, err := p.open(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	if p.contested > 0 && door.Identity() != p.journal.Provider {
		return p.searching(ctx, p.contested)
	}
	files, err := p.files(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	version := fmt.Sprintf("%d %s", p.sandbox.Generation, door.Version())
	if p.refusals.has(p.sandbox.UID, version) {
		return ctrl.Result{}, nil
	}
	takenPlace, err := p.takePlace(ctx, door.Identity())
	if errors.Is(err, errUnheard) {
		return ctrl.Result{RequeueAfter: jittered(conflictDelay)}, nil
	}
	if err != nil {
		return p.blocked(ctx, err)
	}
	defer takenPlace()
	// Waiting for a place comes before the journal, as an attempt that was only written down costs a search.
	ctx, release, err := door.Reserve(ctx, "create")
	if err != nil {
		return p.blocked(ctx, err)
	}
	defer release()
	request := p.request(door)
	if err := p.writeJournal(ctx, p.journal.next(p.clock.Now(), door.Identity(), p.sandbox)); err != nil {
		// One that is gone needs nothing.
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	request.Name, request.Mark = p.journal.remoteName(), p.mark(p.sandbox, p.journal.Incarnation)
	if err := p.confirmProvider(ctx, door); err != nil {
		p.settled.add(p.journal)
		return p.blocked(ctx, err)
	}
	p.begun()
	return p.createRemote(ctx, door, request, files, version)
}

// createRemote is the effect, once the journal stands.
func (p *sandboxPass) createRemote(
	ctx context.Context, door *provider.Door, request backends.CreateRequest, files []file, version string,
) (ctrl.Result, error) {
	// The deadline counts from the journal, as whoever finds the journal counts.
	creating, cancel := context.WithDeadline(ctx, p.journal.Time.Add(door.Registration().CreateDeadline))
	defer cancel()
	remote, err := door.Create(creating, request)
	if err != nil {
		if certainlyNoEffect(err) {
			p.settled.add(p.journal)
		}
		if errors.Is(err, backends.Invalid) || errors.Is(err, backends.Unsupported) {
			p.refusals.add(p.sandbox.UID, version)
		}
		return p.blocked(ctx, err)
	}
	return p.bind(ctx, door, remote, files)
}

// confirmProvider reads the provider live, after the journal was written: either its deletion sees the journal and waits, or
// this sees the deletion and makes nothing. So it is with what the provider's owner says of the account, where that is another instance.
func (p *sandboxPass) confirmProvider(ctx context.Context, door *provider.Door) error {
	if !p.options.Shard.Follows {
		return p.confirmer.Confirm(ctx, p.sandbox.Namespace, p.journal.Provider)
	}
	live := p.liveFinder()
	chosen, err := live.ByIdentity(ctx, p.sandbox.Namespace, p.journal.Provider)
	if err != nil {
		return err
	}
	if saysOf(chosen, true, p.now, p.options.Period) == accountChanged {
		door.Distrust()
		return door.ErrChanged()
	}
	if err := chosen.Usable(); err != nil {
		return err
	}
	return provider.ConfirmKept(chosen.Object, p.journal.Provider)
}

// open finds the provider and checks the spec against what its backend can do.
func (p *sandboxPass) open(ctx context.Context) (*provider.Door, error) {
	chosen, err := p.finder.ForSandbox(ctx, p.sandbox)
	if err != nil {
		return nil, err
	}
	door, err := p.doors.Open(ctx, chosen)
	if err != nil {
		return nil, ofProvider(chosen, err)
	}
	if door.Changed() {
		return nil, door.ErrChanged()
	}
	p.defaults, p.life = chosen.Spec.Defaults, effectiveLifetime(p.sandbox, chosen)
	if err := p.check(door); err != nil {
		return nil, err
	}
	// Who may have remotes at a provider keeps it.
	if !controllerutil.ContainsFinalizer(chosen.Object, v1alpha1.InUseFinalizer) {
		err := door.Keep(chosen.Object.GetResourceVersion(), func() error {
			kept, _ := chosen.Object.DeepCopyObject().(client.Object)
			return p.addFinalizer(ctx, kept, v1alpha1.InUseFinalizer)
		})
		if err != nil {
			return nil, err
		}
	}
	return door, p.doors.SaveCredentials(ctx, chosen, door)
}

// ofProvider says which provider is to be mended.
func ofProvider(p provider.Provider, err error) error {
	if setup, ok := provider.IsSetup(err); ok {
		return &provider.SetupError{
			Reason: setup.Reason, Message: fmt.Sprintf("%s %q: %s", p.Kind, p.Object.GetName(), setup.Message),
		}
	}
	return err
}

// writeJournal is the one metadata patch before the effect: finalizer and journal together. A stale pass, or a deposed
// leader, fails here.
func (p *sandboxPass) writeJournal(ctx context.Context, j *journal) error {
	j.Installation = p.options.Installation
	err := p.patchMetadata(ctx, p.sandbox, func(o client.Object) {
		controllerutil.AddFinalizer(o, v1alpha1.SandboxFinalizer)
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[v1alpha1.JournalAnnotation] = j.text()
		o.SetAnnotations(annotations)
	})
	if err != nil {
		return err
	}
	p.before = p.sandbox.DeepCopy()
	p.journal = j
	return nil
}

// bind records the remote. Where it runs already, its files are written before, so that Ready costs one write.
func (p *sandboxPass) bind(ctx context.Context, door *provider.Door, remote backends.Remote, files []file) (ctrl.Result, error) {
	var writing error
	if remote.State == backends.StateRunning {
		if writing = writeFiles(ctx, door.Remote(remote.ID), files); writing == nil {
			p.equipped()
		}
	}
	p.bound(remote)
	if remote.State == backends.StateRunning && writing == nil {
		writing = p.reach(ctx, door)
	}
	if err := p.recordBinding(ctx, door); err != nil {
		return ctrl.Result{}, err
	}
	p.settled.clear(p.sandbox.UID)
	if writing != nil {
		return p.blocked(ctx, writing)
	}
	if remote.State == backends.StateCreating {
		return ctrl.Result{RequeueAfter: creatingPoll}, nil
	}
	return p.goOn(), nil
}

// goOn has the next pass come at once where something is left to be done.
func (p *sandboxPass) goOn() ctrl.Result {
	switch decideSandbox(p.facts()) {
	case sandboxRest, sandboxProbe:
		return ctrl.Result{}
	default:
		return ctrl.Result{RequeueAfter: time.Millisecond}
	}
}

// recordBinding writes the status that names the remote. Where somebody wrote in between, the live object decides: if it
// is gone, or names another remote, ours is destroyed.
func (p *sandboxPass) recordBinding(ctx context.Context, door *provider.Door) error {
	err := p.record(ctx)
	for range 3 {
		if !apierrors.IsConflict(err) {
			break
		}
		var live v1alpha1.Sandbox
		if getErr := p.live.Get(ctx, client.ObjectKeyFromObject(p.sandbox), &live); getErr != nil {
			err = getErr
			break
		}
		if live.UID != p.sandbox.UID || (live.Status.SandboxID != "" && live.Status.SandboxID != p.sandbox.Status.SandboxID) {
			return p.destroyOwn(ctx, door, "the object names another remote")
		}
		status := p.sandbox.Status.DeepCopy()
		p.before, p.sandbox = live.DeepCopy(), &live
		p.sandbox.Status = *status
		err = p.record(ctx)
	}
	if apierrors.IsNotFound(err) {
		return p.destroyOwn(ctx, door, "the object is gone")
	}
	return err
}

// destroyOwn destroys the remote that this pass has just made or found, as no object may name it.
func (p *sandboxPass) destroyOwn(ctx context.Context, door *provider.Door, why string) error {
	id := p.sandbox.Status.SandboxID
	ctrl.LoggerFrom(ctx).Info("Destroying the remote of this pass", "sandboxID", id, "why", why)
	err := insist(ctx, func() error {
		err := door.Destroy(ctx, id)
		if errors.Is(err, backends.NotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("destroying the remote of this pass: %w", err)
	}
	return nil
}

// find looks for the remote that the journal may have left, in the journal's provider.
func (p *sandboxPass) find(ctx context.Context) (ctrl.Result, error) {
	door, err := p.journalDoor(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	found, err := door.Find(ctx, p.journal.remoteName(), p.mark(p.sandbox, p.journal.Incarnation))
	if err != nil {
		return p.blocked(ctx, err)
	}
	if keep, ok := oldest(found, p.overdue(door)); ok {
		for _, remote := range found {
			if remote.ID == keep.ID {
				continue
			}
			if err := door.Destroy(ctx, remote.ID); err != nil && !errors.Is(err, backends.NotFound) {
				return p.blocked(ctx, err)
			}
		}
		ctrl.LoggerFrom(ctx).Info("Found the remote of an earlier attempt", "sandboxID", keep.ID)
		files, err := p.files(ctx)
		if err != nil {
			return p.blocked(ctx, err)
		}
		return p.bind(ctx, door, keep, files)
	}
	for _, remote := range found {
		if err := door.Destroy(ctx, remote.ID); err != nil && !errors.Is(err, backends.NotFound) {
			return p.blocked(ctx, err)
		}
	}
	if wait := p.mayAppear(door); wait > 0 {
		if !door.HasUniqueNames() {
			return p.searching(ctx, wait)
		}
		// A create of the same name makes no second remote, but only where the first would be.
		p.contested = wait
	}
	return p.create(ctx)
}

// searching waits for what an earlier attempt may have made.
func (p *sandboxPass) searching(ctx context.Context, wait time.Duration) (ctrl.Result, error) {
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonSearching,
		"An earlier attempt to create the sandbox was cut off; it is looked for before another is made")
	return ctrl.Result{RequeueAfter: min(wait, 5*time.Second)}, p.record(ctx)
}

// oldest returns the usable remote that was made first. One that stopped is none, nor one that is still being made long
// after its maker must have given up.
func oldest(remotes []backends.Remote, overdue bool) (backends.Remote, bool) {
	var best backends.Remote
	ok := false
	for _, remote := range remotes {
		usable := remote.State == backends.StateRunning || remote.State == backends.StatePaused ||
			(remote.State == backends.StateCreating && !overdue)
		if usable && (!ok || remote.CreatedAt.Before(best.CreatedAt)) {
			best, ok = remote, true
		}
	}
	return best, ok
}

// overdue says that the journal's create call must be over by now.
func (p *sandboxPass) overdue(door *provider.Door) bool {
	return p.now.Sub(p.journal.Time) > door.Registration().CreateDeadline
}

// mayAppear returns how long a remote of the journal's attempt may still appear.
func (p *sandboxPass) mayAppear(door *provider.Door) time.Duration {
	registration := door.Registration()
	// Where there are several instances, a changed label may have brought the Sandbox here, and the other is alive.
	callerIsGone := registration.CreateEndsWithCaller && !p.options.Shard.isOneOfSeveral()
	if p.settled.has(p.journal) || callerIsGone {
		return 0
	}
	return registration.CreateDeadline + registration.VisibilityDelay - p.now.Sub(p.journal.Time)
}

func (p *sandboxPass) journalDoor(ctx context.Context) (*provider.Door, error) {
	return p.doorTo(ctx, &p.journal.Provider)
}
