// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// wait says what the run waits for, until its start deadline.
func (p *execPass) wait(ctx context.Context) (ctrl.Result, error) {
	if p.isNewlyMade() {
		return ctrl.Result{RequeueAfter: ownSandboxTime}, nil
	}
	reason := v1alpha1.ReasonWaitingForSandbox
	if p.elsewhere {
		reason = v1alpha1.ReasonOtherShard
	}
	p.setProgress(v1alpha1.ConditionReconciling, reason, p.waitingFor())
	return ctrl.Result{RequeueAfter: p.untilStartDeadline()}, p.record(ctx)
}

// waitingFor says what is the matter with the Sandbox that the run waits for.
func (p *execPass) waitingFor() string {
	name := sandboxNameOf(p.exec, attemptOf(p.exec))
	if p.sandbox == nil {
		return fmt.Sprintf("Sandbox %q does not exist", name)
	}
	if p.elsewhere {
		return p.elsewhereMessage()
	}
	message := fmt.Sprintf("Sandbox %q is not Ready", name)
	if ready := meta.FindStatusCondition(p.sandbox.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		message += fmt.Sprintf(" (%s): %s", ready.Reason, ready.Message)
	}
	return message
}

// untilStartDeadline is a little more than the time that is left, so that the next pass finds it over.
func (p *execPass) untilStartDeadline() time.Duration {
	return max(p.startDeadline().Sub(p.now), 0) + 10*time.Millisecond
}

// start writes the journal (from here on it may have run) and starts the command.
func (p *execPass) start(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.sandbox.Status.Provider)
	if err != nil {
		return p.blocked(ctx, err)
	}
	program, refs, err := p.program(ctx)
	if err != nil {
		return p.blocked(ctx, err)
	}
	var leaving *leavingError
	if refusal, err := p.refusal(ctx, door, program); errors.As(err, &leaving) {
		p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonNameConflict, "The command was not started yet: "+leaving.message)
		return ctrl.Result{RequeueAfter: min(jittered(leavingPoll), p.untilStartDeadline())}, p.record(ctx)
	} else if err != nil {
		return ctrl.Result{}, err
	} else if refusal != nil {
		return p.endUnstarted(ctx, *refusal)
	}
	done, ok, err := p.holdTurn(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !ok {
		return p.waitForTurn(ctx)
	}
	defer done()
	if isNative(p.exec) {
		p.journal()
		return p.startWithin(ctx, door, program, refs)
	}
	reserved, release, err := door.Reserve(ctx, "run")
	if err != nil {
		return p.blocked(ctx, err)
	}
	defer release()
	p.journal()
	p.setEnd(v1alpha1.ConditionStarted, v1alpha1.ReasonStarting, "The command may have run from here on")
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonRunning, "The command was started")
	if err := p.record(ctx); err != nil {
		return ctrl.Result{}, err
	}
	// From here on others see that this one has started.
	done()
	p.first = true
	return p.launch(reserved, door, program, refs)
}

// leavingPoll is how often an object is looked for that is being deleted.
const leavingPoll = 300 * time.Millisecond

// refusal is the end of a run that can never work as its spec stands; nil where nothing is known to be wrong.
func (p *execPass) refusal(ctx context.Context, door *provider.Door, program execution.Program) (*ending, error) {
	refused := func(reason, why string) *ending {
		return &ending{outcome: v1alpha1.OutcomeStartFailed, reason: reason, message: "The command was not run: " + why}
	}
	if err := program.Check(); err != nil {
		return refused(v1alpha1.ReasonInvalid, err.Error()), nil
	}
	if err := p.sameDestination(); err != nil {
		return refused(v1alpha1.ReasonInvalid, err.Error()), nil
	}
	if registration := door.Registration(); isNative(p.exec) && !slices.Contains(registration.Capabilities, backends.CapabilityCode) {
		return refused(v1alpha1.ReasonUnsupported, fmt.Sprintf("backend %s has no interpreter of its own; leave out code.engine to "+
			"run the code with a program of the sandbox", registration.Name)), nil
	}
	taken, err := p.takenDestination(ctx)
	if err != nil || taken == "" {
		return nil, err
	}
	return refused(v1alpha1.ReasonNameConflict, taken), nil
}

// journal has the status say that the command may have run from here on, and in which sandbox.
func (p *execPass) journal() {
	status, sandbox := &p.exec.Status, p.sandbox
	status.Attempt = attemptOf(p.exec)
	status.NextAttemptTime = nil
	status.SandboxName = sandbox.Name
	status.Provider = sandbox.Status.Provider.DeepCopy()
	status.SandboxUID = string(sandbox.UID)
	status.SandboxID = sandbox.Status.SandboxID
	status.Incarnation = sandbox.Status.Incarnation
	status.StartTime = new(metav1.NewTime(p.now))
}

// startAgain repeats a start of which no answer came. Where the command runs already, the fence has it followed.
func (p *execPass) startAgain(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.exec.Status.Provider)
	if err != nil {
		return retryLater(err)
	}
	program, refs, err := p.program(ctx)
	if err == nil {
		err = program.Check()
	}
	if err == nil {
		return p.launch(ctx, door, program, refs)
	}
	// What the spec refers to went away, or changed, between journal and start. The command may run all the same.
	run := p.run(door)
	report, lookErr := run.Look(ctx)
	switch {
	case lookErr != nil:
		return p.callFailed(ctx, door, lookErr)
	case report.State == execution.StateAbsent:
		return ctrl.Result{RequeueAfter: min(jittered(setupPoll), p.untilStartDeadline())}, asRetry(err)
	default:
		return p.handle(ctx, run, report, nil)
	}
}

func (p *execPass) launch(ctx context.Context, door *provider.Door, program execution.Program, refs *references) (ctrl.Result, error) {
	run := p.run(door)
	report, err := run.Start(ctx, program)
	if err != nil {
		return p.callFailed(ctx, door, err)
	}
	p.spent.clear(p.exec.Status.SandboxID, run.Spent)
	if report.State == execution.StateNoShell && p.first && program.Code == nil {
		return p.startWithin(ctx, door, program, refs)
	}
	return p.handle(ctx, run, report, refs)
}

func (p *execPass) timeout() time.Duration {
	seconds := int32(defaultTimeoutSeconds)
	if p.exec.Spec.TimeoutSeconds != nil {
		seconds = *p.exec.Spec.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}

// run is the attempt in its sandbox. Streams that are stored as a whole come back as far as that goes.
func (p *execPass) run(door *provider.Door) execution.Run {
	p.remote = door.Remote(p.exec.Status.SandboxID)
	run := execution.Run{
		Sandbox: p.remote, Name: fmt.Sprintf("%s-%d", p.exec.UID, p.exec.Status.Attempt), Spent: p.spent.of(p.exec.Status.SandboxID),
	}
	run.Stdout, run.Stderr = p.keeps()
	if streams := p.exec.Spec.Streams; streams != nil {
		whole := execution.Keep{Head: mostStored / 2, Tail: mostStored / 2}
		if streams.Stdout != nil && streams.Stdout.To != nil {
			run.Stdout = whole
		}
		if streams.Stderr != nil && streams.Stderr.To != nil {
			run.Stderr = whole
		}
		if streams.Progress == v1alpha1.ProgressEnabled {
			run.Progress = progressBytes
		}
	}
	return run
}

// keeps are how much of stdout and stderr goes into status.
func (p *execPass) keeps() (stdout, stderr execution.Keep) {
	streams := p.exec.Spec.Streams
	if streams == nil {
		streams = &v1alpha1.ExecStreams{}
	}
	return keep(streams.Stdout), keep(streams.Stderr)
}

func keep(limits *v1alpha1.StreamLimits) execution.Keep {
	const half = 8192
	k := execution.Keep{Head: half, Tail: half}
	if limits != nil && limits.HeadBytes != nil {
		k.Head = int64(*limits.HeadBytes)
	}
	if limits != nil && limits.TailBytes != nil {
		k.Tail = int64(*limits.TailBytes)
	}
	return k
}

func (p *execPass) doorTo(ctx context.Context, identity *v1alpha1.ProviderIdentity) (*provider.Door, error) {
	chosen, err := p.finder.Recorded(ctx, p.exec.Namespace, identity)
	if err != nil {
		return nil, err
	}
	return p.doors.OpenExisting(ctx, chosen)
}

// blocked records why the command was not started yet, and tries again until the start deadline.
func (p *execPass) blocked(ctx context.Context, err error) (ctrl.Result, error) {
	t, ok := troubleOf(err)
	if !ok {
		return retryLater(err)
	}
	if !isPassing(err) {
		p.setProgress(v1alpha1.ConditionReconciling, t.reason, "The command was not started yet: "+t.message)
		if err := p.record(ctx); err != nil {
			return ctrl.Result{}, err
		}
	}
	result, err := retryLater(err)
	if result.RequeueAfter > 0 {
		result.RequeueAfter = min(result.RequeueAfter, p.untilStartDeadline())
	}
	return result, err
}
