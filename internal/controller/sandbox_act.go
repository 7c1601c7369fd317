// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

const (
	// creatingPoll is how often a remote that its provider is making is looked at.
	creatingPoll = time.Second
	// destroyPoll is how often a remote that its provider is destroying is looked at.
	destroyPoll = time.Second
	// setupPoll is how often an object that waits for somebody's mending is tried again, beside the events that wake it.
	setupPoll = 5 * time.Second
)

// create makes the remote: what can be known to be wrong first, then the journal, then the effect, then the status.
func (p *sandboxPass) create(ctx context.Context) (ctrl.Result, error) {
	door, err := p.open(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	files, err := p.files(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	version := fmt.Sprintf("%d %s", p.sandbox.Generation, door.Version())
	if p.refusals.has(p.sandbox.UID, version) {
		return ctrl.Result{}, nil
	}
	// Waiting for a place comes before the journal, as an attempt that was only written down costs a search.
	ctx, release, err := door.Reserve(ctx, "create")
	if err != nil {
		return p.blocked(ctx, err)
	}
	defer release()
	if err := p.writeJournal(ctx, p.journal.next(p.now, door.Identity(), p.sandbox)); err != nil {
		return ctrl.Result{}, err
	}
	remote, err := door.Create(ctx, p.request())
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

// open finds the provider and checks the spec against what its backend can do.
func (p *sandboxPass) open(ctx context.Context) (*provider.Door, error) {
	chosen, err := p.finder.ForSandbox(ctx, p.sandbox)
	if err != nil {
		return nil, err
	}
	door, err := p.doors.Open(ctx, chosen)
	if err != nil {
		return nil, err
	}
	if err := unsupported(p.sandbox, door.Registration()); err != nil {
		return nil, err
	}
	// Who may have remotes at a provider keeps it.
	kept, _ := chosen.Object.DeepCopyObject().(client.Object)
	if err := p.addFinalizer(ctx, kept, v1alpha1.InUseFinalizer); err != nil {
		return nil, err
	}
	return door, nil
}

// unsupported tells what of the spec this backend can't do, before anything is made.
func unsupported(sandbox *v1alpha1.Sandbox, registration backends.Registration) error {
	spec := &sandbox.Spec
	wants := map[backends.Capability]bool{
		backends.CapabilityImage:     spec.Source != nil && spec.Source.Image != "",
		backends.CapabilityTemplate:  spec.Source != nil && spec.Source.Template != "",
		backends.CapabilityResources: spec.Resources != nil,
	}
	names := map[backends.Capability]string{
		backends.CapabilityImage: "source.image", backends.CapabilityTemplate: "source.template",
		backends.CapabilityResources: "resources",
	}
	for _, capability := range []backends.Capability{
		backends.CapabilityImage, backends.CapabilityTemplate, backends.CapabilityResources,
	} {
		if wants[capability] && !slices.Contains(registration.Capabilities, capability) {
			return backends.Errorf(backends.Unsupported, registration.Name, "create",
				"this backend does not support spec.%s; see %s", names[capability], registration.Setup.Docs)
		}
	}
	return nil
}

// file is one of spec.files with its content.
type file struct {
	path    string
	content []byte
	mode    fs.FileMode
}

// files reads the content of spec.files.
func (p *sandboxPass) files(ctx context.Context) ([]file, error) {
	refs := p.references(p.sandbox.Namespace)
	var files []file
	for i := range p.sandbox.Spec.Files {
		f := &p.sandbox.Spec.Files[i]
		content, err := refs.content(ctx, f.Content)
		if err != nil {
			return nil, fmt.Errorf("file %s: %w", f.Path, err)
		}
		mode := fs.FileMode(0o644)
		if f.Mode != nil {
			mode = fs.FileMode(*f.Mode) & fs.ModePerm
		}
		files = append(files, file{path: f.Path, content: content, mode: mode})
	}
	return files, nil
}

// writeJournal is the one metadata patch before the effect: finalizer and journal together. A stale pass, or a deposed
// leader, fails here.
func (p *sandboxPass) writeJournal(ctx context.Context, j *journal) error {
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

func (p *sandboxPass) request() backends.CreateRequest {
	spec := &p.sandbox.Spec
	request := backends.CreateRequest{
		Name: p.journal.remoteName(), Mark: p.mark(p.sandbox, p.journal.Incarnation),
		Env: plainEnv(spec.Env), WorkingDir: spec.WorkingDir,
	}
	if spec.Source != nil {
		request.Source = backends.Source{Image: spec.Source.Image, Template: spec.Source.Template}
	}
	if r := spec.Resources; r != nil {
		if r.CPU != nil {
			request.Resources.MilliCPU = r.CPU.MilliValue()
		}
		if r.Memory != nil {
			request.Resources.MemoryBytes = r.Memory.Value()
		}
		if r.Disk != nil {
			request.Resources.DiskBytes = r.Disk.Value()
		}
	}
	return request
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
	return ctrl.Result{}, nil
}

func writeFiles(ctx context.Context, remote provider.Remote, files []file) error {
	for _, f := range files {
		if err := remote.WriteFile(ctx, f.path, f.content, f.mode); err != nil {
			return fmt.Errorf("writing file %s: %w", f.path, err)
		}
	}
	return nil
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
	if err := door.Destroy(ctx, id); err != nil && !errors.Is(err, backends.NotFound) {
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
		p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonSearching,
			"An earlier attempt to create the sandbox was cut off; it is looked for before another is made")
		return ctrl.Result{RequeueAfter: min(wait, 5*time.Second)}, p.record(ctx)
	}
	return p.create(ctx)
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

// mayAppear returns how long a remote of the journal's attempt may still appear. Where names are unique, a further create
// can make no second one, so nothing needs to be waited for.
func (p *sandboxPass) mayAppear(door *provider.Door) time.Duration {
	if door.HasUniqueNames() || p.settled.has(p.journal) {
		return 0
	}
	registration := door.Registration()
	return registration.CreateDeadline + registration.VisibilityDelay - p.now.Sub(p.journal.Time)
}

func (p *sandboxPass) journalDoor(ctx context.Context) (*provider.Door, error) {
	return p.doorTo(ctx, p.journal.Provider)
}

func (p *sandboxPass) doorTo(ctx context.Context, identity v1alpha1.ProviderIdentity) (*provider.Door, error) {
	chosen, err := p.finder.ByIdentity(ctx, p.sandbox.Namespace, identity)
	if err != nil {
		return nil, err
	}
	return p.doors.Open(ctx, chosen)
}

// probe asks the provider for the remote's state.
func (p *sandboxPass) probe(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, *p.sandbox.Status.Provider)
	if err != nil {
		return retryLater(err)
	}
	remote, err := door.Get(ctx, p.sandbox.Status.SandboxID)
	switch {
	case errors.Is(err, backends.NotFound):
		p.lost()
		p.recorder.Eventf(p.sandbox, nil, corev1.EventTypeWarning, v1alpha1.ReasonRemoteGone, "Observe",
			"The provider does not know the sandbox any more")
	case err != nil:
		return retryLater(err)
	case remote.State == backends.StateRunning && !isEquipped(p.sandbox):
		p.observed(remote)
		return p.equip(ctx)
	default:
		p.observed(remote)
	}
	p.wakes.clear(p.sandbox.UID)
	if p.sandbox.Status.State == v1alpha1.SandboxCreating {
		return ctrl.Result{RequeueAfter: creatingPoll}, p.record(ctx)
	}
	return ctrl.Result{}, p.record(ctx)
}

// equip writes the files of a remote that runs.
func (p *sandboxPass) equip(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, *p.sandbox.Status.Provider)
	if err != nil {
		return p.blocked(ctx, err)
	}
	files, err := p.files(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	if err := writeFiles(ctx, door.Remote(p.sandbox.Status.SandboxID), files); err != nil {
		if errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) {
			p.wakes.suspect(p.sandbox)
		}
		return p.blocked(ctx, err)
	}
	p.equipped()
	p.observed(backends.Remote{State: backends.StateRunning})
	return ctrl.Result{}, p.record(ctx)
}

// destroy destroys the remote. It is done when the provider does not know it any more.
func (p *sandboxPass) destroy(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, *p.sandbox.Status.Provider)
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	gone, err := ensureGone(ctx, door, p.sandbox.Status.SandboxID)
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	if !gone {
		return p.destroying(ctx)
	}
	return p.release(ctx)
}

// destroyFound looks for remotes that an open journal may have left, before it lets the object go.
func (p *sandboxPass) destroyFound(ctx context.Context) (ctrl.Result, error) {
	door, err := p.journalDoor(ctx)
	if err != nil {
		return p.notDestroyed(ctx, err)
	}
	found, err := door.Find(ctx, p.journal.remoteName(), p.mark(p.sandbox, p.journal.Incarnation))
	if err != nil && !errors.Is(err, backends.AlreadyExists) {
		return p.notDestroyed(ctx, err)
	}
	allGone := true
	for _, remote := range found {
		gone, err := ensureGone(ctx, door, remote.ID)
		if err != nil {
			return p.notDestroyed(ctx, err)
		}
		allGone = allGone && gone
	}
	if !allGone {
		return p.destroying(ctx)
	}
	if wait := p.mayAppear(door); wait > 0 {
		return ctrl.Result{RequeueAfter: min(wait, 5*time.Second)}, nil
	}
	return p.release(ctx)
}

func ensureGone(ctx context.Context, door *provider.Door, id string) (bool, error) {
	err := door.Destroy(ctx, id)
	if errors.Is(err, backends.NotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, err = door.Get(ctx, id)
	if errors.Is(err, backends.NotFound) {
		return true, nil
	}
	return false, err
}

func (p *sandboxPass) destroying(ctx context.Context) (ctrl.Result, error) {
	setCondition(&p.sandbox.Status.Conditions, p.sandbox.Generation, v1alpha1.ConditionDeleting, conditionTrue,
		v1alpha1.ReasonDestroying, "The provider was asked to destroy the sandbox")
	return ctrl.Result{RequeueAfter: destroyPoll}, p.record(ctx)
}

// notDestroyed says why deletion has not ended, and tries again.
func (p *sandboxPass) notDestroyed(ctx context.Context, err error) (ctrl.Result, error) {
	if errors.Is(err, provider.ErrBusy) {
		return retryLater(err)
	}
	setCondition(&p.sandbox.Status.Conditions, p.sandbox.Generation, v1alpha1.ConditionDeleting, conditionTrue,
		v1alpha1.ReasonDestroyFailed, fmt.Sprintf("The sandbox could not be destroyed: %v. It is tried again until %s after the "+
			"deletion; to give the remote up at once: kubectl annotate sbx %s -n %s %s=true", err, p.options.DeletionDeadline,
			p.sandbox.Name, p.sandbox.Namespace, v1alpha1.AbandonAnnotation))
	if recordErr := p.record(ctx); recordErr != nil {
		return ctrl.Result{}, client.IgnoreNotFound(recordErr)
	}
	return retryLater(err)
}

// release lets the object go.
func (p *sandboxPass) release(ctx context.Context) (ctrl.Result, error) {
	p.settled.clear(p.sandbox.UID)
	p.refusals.clear(p.sandbox.UID)
	p.wakes.clear(p.sandbox.UID)
	return ctrl.Result{}, p.removeFinalizer(ctx, p.sandbox, v1alpha1.SandboxFinalizer)
}

// abandon lets the object go though its remote may still exist.
func (p *sandboxPass) abandon(ctx context.Context) (ctrl.Result, error) {
	abandonedTotal.Inc()
	p.recorder.Eventf(p.sandbox, nil, corev1.EventTypeWarning, "RemoteAbandoned", "Delete",
		"The sandbox %q may still exist at the provider: it could not be destroyed, and was given up", p.sandbox.Status.SandboxID)
	ctrl.LoggerFrom(ctx).Info("Gave up a remote that could not be destroyed", "sandboxID", p.sandbox.Status.SandboxID)
	return p.release(ctx)
}
