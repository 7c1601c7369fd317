// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

func (p *execPass) exited(ctx context.Context, run execution.Run, end *execution.End, refs *references) (ctrl.Result, error) {
	e := endingOf(end, p.timeout())
	secrets, err := p.secrets(ctx, refs)
	if err != nil {
		return ctrl.Result{}, err
	}
	e.redaction, e.withheld = secrets.redaction(), !secrets.are(end.SecretsDigest, end.FilesDigest)
	if e.withheld {
		e.message += "; its output was withheld, as the Secrets that it or its sandbox was given have changed since"
	}
	return p.endWithOutputs(ctx, &run, e)
}

// prevented is the end of a run whose fence was taken before it could start.
func (p *execPass) prevented(ctx context.Context, run execution.Run) (ctrl.Result, error) {
	if p.facts().seen {
		return p.end(ctx, &run, fenceGone())
	}
	if p.exec.Spec.DesiredState == v1alpha1.ExecCancelled {
		return p.end(ctx, &run, p.cancelledBefore())
	}
	return p.end(ctx, &run, p.startDeadlineExceeded())
}

// fenceGone is the end of a run that was seen to start, and of which nothing is left in its sandbox.
func fenceGone() ending {
	return ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonFenceGone,
		message: "What the operator keeps in the sandbox of this run was removed while it ran, so that its end can't be known"}
}

// neverStarted ends a cancelled run for which nothing was done yet.
func (p *execPass) neverStarted(ctx context.Context) (ctrl.Result, error) {
	return p.endUnstarted(ctx, p.cancelledBefore())
}

// cancelledBefore is the end of a run that was cancelled before this attempt of it started.
func (p *execPass) cancelledBefore() ending {
	e := ending{outcome: v1alpha1.OutcomeCancelled, reason: v1alpha1.ReasonCancelRequested,
		message: "The command was cancelled before it started"}
	if attempts := p.exec.Status.Attempts; len(attempts) > 0 {
		last := attempts[len(attempts)-1]
		e.message = fmt.Sprintf("The command was cancelled before attempt %d started; attempt %d ended %s", last.Attempt+1, last.Attempt,
			last.Outcome)
	}
	return e
}

// refuseSandbox ends a run whose Sandbox will not become Ready.
func (p *execPass) refuseSandbox(ctx context.Context) (ctrl.Result, error) {
	stalled := meta.FindStatusCondition(p.sandbox.Status.Conditions, v1alpha1.ConditionStalled)
	return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonSandboxFailed,
		message: fmt.Sprintf("The command was not started: Sandbox %q will not become Ready (%s): %s",
			p.sandbox.Name, stalled.Reason, stalled.Message)})
}

// giveUp ends a run whose Sandbox did not become Ready in time.
func (p *execPass) giveUp(ctx context.Context) (ctrl.Result, error) {
	return p.endUnstarted(ctx, p.startDeadlineExceeded())
}

func (p *execPass) startDeadlineExceeded() ending {
	message := fmt.Sprintf("The command was not started within its start deadline (%s)",
		p.startDeadline().Sub(p.exec.CreationTimestamp.Time))
	if ready := meta.FindStatusCondition(p.exec.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		message += ": " + ready.Message
	} else if !p.sandboxReady() {
		// It was not said before: a sandbox of one run is given a moment without a word.
		message += ": " + p.waitingFor()
	}
	return ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonStartDeadlineExceeded, message: message}
}

// sandboxLost ends a run whose sandbox is not there any more.
func (p *execPass) sandboxLost(ctx context.Context) (ctrl.Result, error) {
	e := ending{outcome: v1alpha1.OutcomeSandboxLost, reason: v1alpha1.ReasonSandboxDeleted,
		message: "The Sandbox was deleted, or another has its name, before the command's end was known"}
	if p.sandbox != nil && string(p.sandbox.UID) == p.exec.Status.SandboxUID && p.sandbox.DeletionTimestamp == nil {
		e.reason, e.message = remoteLost(p.sandbox)
	}
	return p.endUnstarted(ctx, e)
}

// remoteLost says of a run what its Sandbox knows of the end of its remote, in the words that the run has where it finds that out itself.
// What the Sandbox says while another is being made is not about that end.
func remoteLost(sandbox *v1alpha1.Sandbox) (reason, message string) {
	var says metav1.Condition
	if ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		says = *ready
	}
	switch sandbox.Status.State {
	case v1alpha1.SandboxStopped:
		if says.Reason == v1alpha1.ReasonRemoteStopped || says.Reason == v1alpha1.ReasonRecreating {
			return v1alpha1.ReasonRemoteStopped, says.Message
		}
		return v1alpha1.ReasonRemoteStopped, stoppedMessage("")
	case v1alpha1.SandboxGone:
		if says.Reason == v1alpha1.ReasonExpired || says.Reason == v1alpha1.ReasonIdleTimeout {
			return v1alpha1.ReasonRemoteGone, says.Message
		}
		return v1alpha1.ReasonRemoteGone, goneMessage
	default:
		// Another was made in its place since.
		return v1alpha1.ReasonRemoteGone, "The sandbox at the provider ended before the command's end was known"
	}
}

// end records how the run ended, or how an attempt ended that is followed by another, and lets the object go. Where the object
// is gone, the command is killed. run is nil where it has nothing in its sandbox, or that can't be reached any more.
func (p *execPass) end(ctx context.Context, run *execution.Run, e ending) (ctrl.Result, error) {
	sandboxID := p.exec.Status.SandboxID
	if p.isRetried(e) {
		p.fold(e)
	} else {
		p.finish(e)
	}
	err := p.recordEnd(ctx)
	switch {
	case apierrors.IsNotFound(err) && run != nil:
		return ctrl.Result{}, insist(ctx, func() error { return p.killTree(ctx, *run) })
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err)
	case run != nil:
		p.spent.add(sandboxID, run.Name)
	}
	return p.letGo(ctx)
}

// endUnstarted records the end of a run that has nothing in its sandbox, or whose sandbox can't be reached any more.
func (p *execPass) endUnstarted(ctx context.Context, e ending) (ctrl.Result, error) {
	return p.end(ctx, nil, e)
}

// recordEnd writes the result. A result is never lost to its size, nor to somebody who wrote to the object meanwhile.
func (p *execPass) recordEnd(ctx context.Context) error {
	err := p.record(ctx)
	if tooLarge(err) {
		ctrl.LoggerFrom(ctx).Info("The API server refused a result, storing it without its output", "cause", err.Error())
		p.dropOutput()
		err = p.record(ctx)
	}
	for range 3 {
		if !apierrors.IsConflict(err) {
			break
		}
		var live v1alpha1.SandboxExec
		if err := p.live.Get(ctx, client.ObjectKeyFromObject(p.exec), &live); err != nil {
			return fmt.Errorf("reading the run again: %w", err)
		}
		if live.UID != p.exec.UID {
			// Ours is gone, and another has its name.
			return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "sandboxexecs"}, p.exec.Name)
		}
		if live.Status.Outcome != "" {
			return nil
		}
		if !sameRun(&live.Status, &p.before.Status) {
			// Somebody else, such as a new leader, has started it meanwhile: what this pass believes is out of date.
			return err
		}
		status := p.exec.Status.DeepCopy()
		p.before, p.exec = live.DeepCopy(), &live
		p.exec.Status = *status
		err = p.record(ctx)
	}
	return err
}

// sameRun says that two statuses have the same journal.
func sameRun(a, b *v1alpha1.SandboxExecStatus) bool {
	return a.StartTime.Equal(b.StartTime) && a.Attempt == b.Attempt && a.SandboxUID == b.SandboxUID && a.SandboxID == b.SandboxID &&
		a.Incarnation == b.Incarnation
}

// kill kills the command of an object that is being deleted. It always ends: what can't be reached for the deletion
// deadline is left to the sandbox's own end.
func (p *execPass) kill(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.exec.Status.Provider)
	if err == nil {
		err = p.killTree(ctx, p.run(door))
	}
	if err == nil || p.now.Sub(p.exec.DeletionTimestamp.Time) > p.options.DeletionDeadline {
		return p.letGo(ctx)
	}
	return retryLater(err)
}

func (p *execPass) killTree(ctx context.Context, run execution.Run) error {
	report, err := run.Cancel(ctx, true)
	if errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) || errors.Is(err, backends.Invalid) {
		// There is no sandbox, or no shell in it, to kill anything with.
		return nil
	}
	if err != nil {
		return fmt.Errorf("killing the command of a run that was deleted: %w", err)
	}
	if report.State == execution.StateRunning {
		return errors.New("the command of a run that was deleted does not die at once")
	}
	ctrl.LoggerFrom(ctx).Info("Killed the command of a run that was deleted", "state", report.State)
	return nil
}

// letGo takes our finalizer off, deletes the Sandbox that was made for the run, and goes on with what comes next.
func (p *execPass) letGo(ctx context.Context) (ctrl.Result, error) {
	p.doubts.clear(p.exec.UID)
	p.shows.clear(p.exec.UID)
	if err := p.removeFinalizer(ctx, p.exec, v1alpha1.ExecFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	if p.exec.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	if p.exec.Status.Outcome == "" && p.exec.Spec.Sandbox != nil && p.leftover == nil {
		// An attempt is over; the sandbox of this pass was made for it.
		p.leftover = p.sandbox
	}
	if err := p.discardSandboxes(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return p.goOn()
}

// goOn has a run come again when its next attempt may start, or, where it is finished, when something is to be done with it.
func (p *execPass) goOn() (ctrl.Result, error) {
	f := p.facts()
	if !f.finished {
		return ctrl.Result{RequeueAfter: max(f.startAt.Sub(p.clock.Now()), 0) + time.Millisecond}, nil
	}
	return ctrl.Result{RequeueAfter: untilFirst(p.clock.Now(), f.expiresAt, f.compactAt)}, nil
}

// untilFirst is the time until the first of the times that are not zero; 0 = there is none.
func untilFirst(now time.Time, times ...time.Time) time.Duration {
	var least time.Duration
	for _, t := range times {
		if wait := max(t.Sub(now), time.Millisecond); !t.IsZero() && (least == 0 || wait < least) {
			least = wait
		}
	}
	return least
}

// expire deletes a finished run when its time has come, and before that drops its output when that is old.
func (p *execPass) expire(ctx context.Context) (ctrl.Result, error) {
	f, now := p.facts(), p.clock.Now()
	switch {
	case !f.expiresAt.IsZero() && !now.Before(f.expiresAt):
		err := p.client.Delete(ctx, p.exec, client.Preconditions{UID: &p.exec.UID, ResourceVersion: &p.exec.ResourceVersion})
		return ctrl.Result{}, client.IgnoreNotFound(err)
	case !f.compactAt.IsZero() && !now.Before(f.compactAt):
		if err := p.compact(ctx); err != nil {
			return ctrl.Result{}, err
		}
		return p.goOn()
	default:
		return p.goOn()
	}
}
