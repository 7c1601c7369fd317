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

const (
	// startingTime is how long a process that shall watch a command may take to come up.
	startingTime = 30 * time.Second
	// unreadableTime is how long answers that make no sense are borne.
	unreadableTime = time.Minute
	// pausedPoll is how often a run is looked at whose sandbox exists, and does not run now.
	pausedPoll = 10 * time.Second
)

// look sees how the command is, and writes nothing while nothing changed.
func (p *execPass) look(ctx context.Context) (ctrl.Result, error) {
	return p.call(ctx, execution.Run.Look)
}

// cancel kills the command.
func (p *execPass) cancel(ctx context.Context) (ctrl.Result, error) {
	seen := p.facts().seen
	return p.call(ctx, func(run execution.Run, ctx context.Context) (execution.Report, error) { return run.Cancel(ctx, seen) })
}

// prevent takes the fence: winning it proves that the command never ran and never will. Losing it proves that it was started.
func (p *execPass) prevent(ctx context.Context) (ctrl.Result, error) {
	return p.call(ctx, execution.Run.Prevent)
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
	p.spent.clear(p.exec.Status.SandboxID, run.Spent)
	return p.handle(ctx, run, report, nil)
}

// handle makes a report into the next step. refs are what the program was made from, where this pass made it.
func (p *execPass) handle(ctx context.Context, run execution.Run, report execution.Report, refs *references) (ctrl.Result, error) {
	if report.State != execution.StateLost && report.State != execution.StateStarting {
		p.doubts.clear(p.exec.UID)
	}
	switch report.State {
	case execution.StateExited:
		return p.exited(ctx, run, report.End, refs)
	case execution.StateRunning:
		return p.running(ctx, run, report.Progress, refs)
	case execution.StateStarting:
		return p.runnerLost(ctx, run, startingTime)
	case execution.StateLost:
		return p.runnerLost(ctx, run, doubtTime)
	case execution.StateRefused:
		return p.end(ctx, &run, ending{outcome: v1alpha1.OutcomeStartFailed, reason: report.Reason,
			message: "The command was not run: " + report.Message})
	case execution.StateUnavailable:
		return p.end(ctx, &run, spoolUnavailable(report.Message, !p.facts().seen))
	case execution.StateNoShell:
		return p.end(ctx, &run, spoolUnavailable(report.Message, p.first))
	case execution.StateNever:
		return p.prevented(ctx, run)
	case execution.StateAbsent:
		return p.fenceGone(ctx, run)
	default:
		return ctrl.Result{}, fmt.Errorf("the runner reports the unknown state %q", report.State)
	}
}

// fenceGone ends a run of which nothing is left in its sandbox, and kills what may still be running of it: nobody would see
// its end.
func (p *execPass) fenceGone(ctx context.Context, run execution.Run) (ctrl.Result, error) {
	if _, err := run.Cancel(ctx, true); err != nil {
		return retryLater(err)
	}
	return p.end(ctx, &run, fenceGone())
}

// spoolUnavailable is the end of a run that has no place in its sandbox. Where it may have been started before, it may have
// taken that place away itself.
func spoolUnavailable(why string, neverStarted bool) ending {
	if neverStarted {
		return ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonSpoolUnavailable,
			message: "The command was not run: " + why}
	}
	return ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonSpoolUnavailable,
		message: "The command was started, and can't be followed any more: " + why}
}

// running keeps the object from now on, and comes again to look. The first finalizer also means that the start was seen.
func (p *execPass) running(
	ctx context.Context, run execution.Run, progress *execution.Progress, refs *references,
) (ctrl.Result, error) {
	err := p.addFinalizer(ctx, p.exec, v1alpha1.ExecFinalizer)
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		// It was deleted, or is being deleted without us: nothing outlives its object.
		return ctrl.Result{}, insist(ctx, func() error { return p.killTree(ctx, run) })
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	p.before = p.exec.DeepCopy()
	if p.exec.Spec.DesiredState == v1alpha1.ExecCancelled {
		return ctrl.Result{RequeueAfter: cancelPoll}, nil
	}
	delay := lookDelay(p.clock.Now().Sub(p.exec.Status.StartTime.Time))
	if progress != nil {
		// Who watches the output waits for the end as well: a short command is not to look longer than it is.
		delay = min(delay, progressPeriod)
		if err := p.showProgress(ctx, progress, refs); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{RequeueAfter: delay}, nil
}

// runnerLost believes the second look, and kills what may be left of the command before it is given up.
func (p *execPass) runnerLost(ctx context.Context, run execution.Run, after time.Duration) (ctrl.Result, error) {
	if !p.doubts.confirmed(p.exec.UID, p.now, after) {
		return ctrl.Result{RequeueAfter: doubtTime}, nil
	}
	report, err := run.Cancel(ctx, true)
	switch {
	case err != nil:
		return retryLater(err)
	case report.State == execution.StateExited:
		return p.exited(ctx, run, report.End, nil)
	case report.State == execution.StateNever:
		return p.prevented(ctx, run)
	}
	p.doubts.clear(p.exec.UID)
	return p.end(ctx, &run, ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonRunnerLost,
		message: "What watched the command in the sandbox was killed, so that its end can't be known"})
}

// callFailed deals with a call that did not reach the runner. What happened to the sandbox is asked of its provider, and
// its Sandbox learns of it.
func (p *execPass) callFailed(ctx context.Context, door *provider.Door, err error) (ctrl.Result, error) {
	if errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) {
		ctrl.LoggerFrom(ctx).Info("The sandbox of a run can't be reached", "sandboxID", p.exec.Status.SandboxID, "cause", err.Error())
		if !p.elsewhere {
			p.wakes.suspect(p.sandbox)
		}
		return p.lostAtProvider(ctx, door)
	}
	if errors.Is(err, backends.Invalid) {
		// The runner can't be run there, now or later: the sandbox has no shell that works.
		return p.endUnstarted(ctx, spoolUnavailable(err.Error(), p.first))
	}
	if errors.Is(err, execution.ErrUnreadable) && p.doubts.confirmed(p.exec.UID, p.now, unreadableTime) {
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonRunnerLost,
			message: "What the operator keeps in the sandbox of this run can't be read any more: " + err.Error()})
	}
	return retryLater(err)
}

func (p *execPass) lostAtProvider(ctx context.Context, door *provider.Door) (ctrl.Result, error) {
	remote, err := door.Get(ctx, p.exec.Status.SandboxID)
	switch {
	case errors.Is(err, backends.NotFound):
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeSandboxLost, reason: v1alpha1.ReasonRemoteGone,
			message: goneMessage})
	case err != nil:
		return retryLater(err)
	case remote.State == backends.StateStopped:
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeSandboxLost, reason: v1alpha1.ReasonRemoteStopped,
			message: stoppedMessage(remote.Reason)})
	default:
		return ctrl.Result{RequeueAfter: jittered(pausedPoll)}, nil
	}
}
