// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
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

// file is one of spec.files with its content.
type file struct {
	// path in the remote; empty for the digest of the Secrets among the files, which is kept beside the spools.
	path    string
	content []byte
	mode    fs.FileMode
}

// files reads the content of spec.files.
func (p *sandboxPass) files(ctx context.Context) ([]file, error) {
	refs := p.references(p.sandbox.Namespace)
	var files []file
	for i := range p.sandbox.Spec.Files {
		f, err := readFile(ctx, refs, &p.sandbox.Spec.Files[i])
		if err != nil {
			return nil, fmt.Errorf("file %s: %w", p.sandbox.Spec.Files[i].Path, err)
		}
		files = append(files, f)
	}
	if digest := secretsDigest(refs.secretValues); digest != "" {
		files = append(files, file{content: []byte(digest + "\n"), mode: 0o600})
	}
	return files, nil
}

// readFile reads the content of one of them.
func readFile(ctx context.Context, refs *references, spec *v1alpha1.File) (file, error) {
	f := file{path: spec.Path, mode: 0o644}
	if spec.Mode != nil {
		f.mode = fs.FileMode(*spec.Mode) & fs.ModePerm
	}
	var err error
	f.content, err = refs.content(ctx, spec.Content)
	return f, err
}

func writeFiles(ctx context.Context, remote provider.Remote, files []file) error {
	for _, f := range files {
		if f.path == "" {
			f.path = path.Join(remote.SpoolRoot(), execution.FilesDigest)
		}
		if err := remote.WriteFile(ctx, f.path, f.content, f.mode); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return &fs.PathError{
					Op: "write file", Path: f.path, Err: errors.New("a directory, or a file in the place of a directory, is there"),
				}
			}
			return err
		}
	}
	return nil
}

func (p *sandboxPass) doorTo(ctx context.Context, identity *v1alpha1.ProviderIdentity) (*provider.Door, error) {
	chosen, err := p.finder.Recorded(ctx, p.sandbox.Namespace, identity)
	if err != nil {
		return nil, err
	}
	return p.doors.OpenExisting(ctx, chosen)
}

// probe asks the provider for the remote's state.
func (p *sandboxPass) probe(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return retryLater(err)
	}
	remote, err := door.Get(ctx, p.sandbox.Status.SandboxID)
	switch {
	case errors.Is(err, backends.NotFound) && p.recreates() && !p.doubts.confirmed(p.sandbox.UID, p.now, p.options.LossDelay):
		// One look may be wrong, and what is made in its place costs.
		return ctrl.Result{RequeueAfter: p.options.LossDelay}, nil
	case errors.Is(err, backends.NotFound):
		p.lost()
	case err != nil:
		return retryLater(err)
	default:
		p.observed(remote)
	}
	p.doubts.clear(p.sandbox.UID)
	p.wakes.clear(p.sandbox.UID)
	if err := p.record(ctx); err != nil {
		// What was seen is not written down yet.
		p.wakes.suspect(p.sandbox)
		return ctrl.Result{}, err
	}
	p.tellEnd()
	if p.sandbox.Status.State == v1alpha1.SandboxCreating {
		return ctrl.Result{RequeueAfter: creatingPoll}, nil
	}
	return p.goOn(), nil
}

// tellEnd makes an event of the end of a remote that this pass found.
func (p *sandboxPass) tellEnd() {
	ready := meta.FindStatusCondition(p.sandbox.Status.Conditions, v1alpha1.ConditionReady)
	state := p.sandbox.Status.State
	if ready == nil || p.observedState == state || (state != v1alpha1.SandboxGone && state != v1alpha1.SandboxStopped) {
		return
	}
	p.recorder.Eventf(p.sandbox, nil, corev1.EventTypeWarning, ready.Reason, "Observe", "%s", ready.Message)
}

// equip writes the files of a remote that runs, and makes its ports reachable.
func (p *sandboxPass) equip(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.blocked(ctx, err)
	}
	if !isEquipped(p.sandbox) {
		files, err := p.files(ctx)
		if err != nil {
			return p.blocked(ctx, err)
		}
		if err := writeFiles(ctx, door.Remote(p.sandbox.Status.SandboxID), files); err != nil {
			return p.changeFailed(ctx, err)
		}
		p.activity.note(client.ObjectKeyFromObject(p.sandbox), p.clock.Now())
		p.equipped()
	}
	p.observed(backends.Remote{State: backends.StateRunning})
	if err := p.reach(ctx, door); err != nil {
		return p.changeFailed(ctx, err)
	}
	if err := p.record(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return p.goOn(), nil
}
