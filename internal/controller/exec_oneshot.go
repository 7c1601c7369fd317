// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/tracing"
)

// ownSandboxTime is how long a Sandbox that was made for a run may take to be Ready before the run says that it waits: what
// comes sooner costs no write.
const ownSandboxTime = 2 * time.Second

// attemptOf is the how-manieth attempt an exec is at, or ended with.
func attemptOf(exec *v1alpha1.SandboxExec) int32 { return int32(len(exec.Status.Attempts)) + 1 }

// sandboxNameOf is the name of the Sandbox in which an attempt of the exec runs.
func sandboxNameOf(exec *v1alpha1.SandboxExec, attempt int32) string {
	if exec.Spec.SandboxRef != nil {
		return exec.Spec.SandboxRef.Name
	}
	const most, hash = 52, 10
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", exec.UID, attempt))
	base := strings.TrimRight(exec.Name[:min(len(exec.Name), most)], "-.")
	return base + "-" + hex.EncodeToString(sum[:])[:hash]
}

// makeSandbox makes the run's own Sandbox, which is deleted with it.
func (p *execPass) makeSandbox(ctx context.Context) (ctrl.Result, error) {
	sandbox := &v1alpha1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.exec.Namespace, Name: sandboxNameOf(p.exec, attemptOf(p.exec))},
		Spec:       *p.exec.Spec.Sandbox.DeepCopy(),
	}
	if err := controllerutil.SetControllerReference(p.exec, sandbox, p.client.Scheme()); err != nil {
		return ctrl.Result{}, fmt.Errorf("owning the run's sandbox: %w", err)
	}
	copyShard(sandbox, p.exec)
	tracing.Inherit(sandbox, p.exec) //nolint:contextcheck // its trace is the object's, not the pass's
	err := p.client.Create(ctx, sandbox)
	switch {
	case apierrors.IsAlreadyExists(err):
		return p.metExisting(ctx)
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonSandboxFailed,
			message: "The command was not started: its Sandbox can't be made: " + err.Error()})
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("making the run's sandbox: %w", err)
	}
	return ctrl.Result{RequeueAfter: ownSandboxTime}, p.keepShard(ctx, sandbox)
}

// isNewlyMade says that the run's own Sandbox was made a moment ago.
func (p *execPass) isNewlyMade() bool {
	// Creation times are whole seconds.
	return p.exec.Spec.Sandbox != nil && p.sandbox != nil && p.now.Sub(p.sandbox.CreationTimestamp.Time) < ownSandboxTime
}

// nameTaken ends a run whose own Sandbox can't be made, as another has its name.
func (p *execPass) nameTaken(ctx context.Context) (ctrl.Result, error) {
	return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonNameConflict,
		message: fmt.Sprintf("The command was not started: Sandbox %q exists, and is not this run's; delete it, and create this "+
			"SandboxExec again", sandboxNameOf(p.exec, attemptOf(p.exec)))})
}

// discard deletes the Sandboxes that were made for attempts which are over.
func (p *execPass) discard(ctx context.Context) (ctrl.Result, error) {
	if err := p.discardSandboxes(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return p.goOn()
}

func (p *execPass) discardSandboxes(ctx context.Context) error {
	over := []*v1alpha1.Sandbox{p.leftover}
	if p.exec.Status.Outcome != "" && p.exec.Spec.Sandbox != nil {
		over = append(over, p.sandbox)
	}
	for _, sandbox := range over {
		if sandbox == nil || sandbox.DeletionTimestamp != nil {
			continue
		}
		p.spent.forget(sandbox.Status.SandboxID)
		err := p.client.Delete(ctx, sandbox, client.Preconditions{UID: &sandbox.UID, ResourceVersion: &sandbox.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the run's sandbox: %w", err)
		}
	}
	p.leftover = nil
	return nil
}

// ownSandbox reads a Sandbox that was made for an attempt of this run; nil where there is none, or not ours.
func (p *execPass) ownSandbox(ctx context.Context, attempt int32) (*v1alpha1.Sandbox, error) {
	sandbox, err := p.readSandbox(ctx, sandboxNameOf(p.exec, attempt))
	if sandbox == nil || !metav1.IsControlledBy(sandbox, p.exec) {
		return nil, err
	}
	return sandbox, nil
}

func (p *execPass) readSandbox(ctx context.Context, name string) (*v1alpha1.Sandbox, error) {
	var sandbox v1alpha1.Sandbox
	err := p.client.Get(ctx, types.NamespacedName{Namespace: p.exec.Namespace, Name: name}, &sandbox)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("reading Sandbox %q: %w", name, err)
	}
	return &sandbox, nil
}
