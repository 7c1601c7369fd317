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

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// cancelPoll is how soon to look again at a command that did not die at once.
const cancelPoll = 300 * time.Millisecond

// look sees how the command is, and writes nothing while nothing changed.
func (p *execPass) look(ctx context.Context) (ctrl.Result, error) {
	return p.call(ctx, execution.Run.Look)
}

// cancel kills the command.
func (p *execPass) cancel(ctx context.Context) (ctrl.Result, error) {
	return p.call(ctx, execution.Run.Cancel)
}

// prevent takes the fence: winning it proves that the command never ran and never will.
func (p *execPass) prevent(ctx context.Context) (ctrl.Result, error) {
	return p.call(ctx, execution.Run.Cancel)
}

func (p *execPass) call(ctx context.Context, verb func(execution.Run, context.Context) (execution.Report, error)) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.exec.Status.Provider)
	if err != nil {
		return retryLater(err)
	}
	run := p.run(door)
	report, err := verb(run, ctx)
	if err != nil {
		return p.callFailed(ctx, door, err)
	}
	return p.handle(ctx, run, report, nil)
}

// handle makes a report into the next step. refs are what the program was made from, where this pass made it.
func (p *execPass) handle(ctx context.Context, run execution.Run, report execution.Report, refs *references) (ctrl.Result, error) {
	if report.State != execution.StateLost {
		p.doubts.clear(p.exec.UID)
	}
	switch report.State {
	case execution.StateExited:
		return p.exited(ctx, run, report.End, refs)
	case execution.StateRunning:
		return p.running(ctx, run)
	case execution.StateLost:
		return p.runnerLost(ctx, run)
	case execution.StateRefused:
		return p.end(ctx, run, ending{outcome: v1alpha1.OutcomeStartFailed, reason: report.Reason,
			message: "The command was not run: " + report.Message, redaction: p.knownSecrets(refs)})
	case execution.StateUnavailable:
		return p.end(ctx, run, ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonSpoolUnavailable,
			message: "The command was not run: " + report.Message})
	case execution.StateNever:
		return p.prevented(ctx, run)
	case execution.StateAbsent:
		return p.end(ctx, run, ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonFenceGone,
			message: "What the operator keeps in the sandbox of this run was removed while it ran, so that its end can't be known"})
	default:
		return ctrl.Result{}, fmt.Errorf("the runner reports the unknown state %q", report.State)
	}
}

// running keeps the object from now on, and comes again to look. The first finalizer also means that the start was seen.
func (p *execPass) running(ctx context.Context, run execution.Run) (ctrl.Result, error) {
	err := p.addFinalizer(ctx, p.exec, v1alpha1.ExecFinalizer)
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		// It was deleted, or is being deleted without us: nothing outlives its object.
		return ctrl.Result{}, p.killTree(ctx, run)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if p.exec.Spec.DesiredState == v1alpha1.ExecCancelled {
		return ctrl.Result{RequeueAfter: cancelPoll}, nil
	}
	return ctrl.Result{RequeueAfter: lookDelay(p.clock.Now().Sub(p.exec.Status.StartTime.Time))}, nil
}

func (p *execPass) runnerLost(ctx context.Context, run execution.Run) (ctrl.Result, error) {
	if !p.doubts.confirmed(p.exec.UID, p.now) {
		return ctrl.Result{RequeueAfter: doubtTime}, nil
	}
	p.doubts.clear(p.exec.UID)
	return p.end(ctx, run, ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonRunnerLost,
		message: "What watched the command in the sandbox was killed, so that its end can't be known"})
}

// callFailed deals with a call that did not reach the runner. What happened to the sandbox is asked of its provider, and
// its Sandbox learns of it.
func (p *execPass) callFailed(ctx context.Context, door *provider.Door, err error) (ctrl.Result, error) {
	if errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) {
		ctrl.LoggerFrom(ctx).Info("The sandbox of a run can't be reached", "sandboxID", p.exec.Status.SandboxID, "cause", err.Error())
		p.wakes.suspect(p.sandbox)
		return p.lostAtProvider(ctx, door)
	}
	return retryLater(err)
}

func (p *execPass) lostAtProvider(ctx context.Context, door *provider.Door) (ctrl.Result, error) {
	remote, err := door.Get(ctx, p.exec.Status.SandboxID)
	switch {
	case errors.Is(err, backends.NotFound):
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeSandboxLost, reason: v1alpha1.ReasonRemoteGone,
			message: "The sandbox at the provider is gone"})
	case err != nil:
		return retryLater(err)
	case remote.State == backends.StateStopped:
		message := "The sandbox at the provider ended by itself"
		if remote.Reason != "" {
			message += ": " + remote.Reason
		}
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeSandboxLost, reason: v1alpha1.ReasonRemoteStopped, message: message})
	default:
		return ctrl.Result{RequeueAfter: jittered(time.Second)}, nil
	}
}
