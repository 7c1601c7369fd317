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
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// cancelPoll is how soon to look again at a command that did not die at once.
const cancelPoll = 300 * time.Millisecond

// wait says what the run waits for, until its start deadline.
func (p *execPass) wait(ctx context.Context) (ctrl.Result, error) {
	name := p.exec.Spec.SandboxRef.Name
	message := fmt.Sprintf("Sandbox %q does not exist", name)
	if p.sandbox != nil {
		message = fmt.Sprintf("Sandbox %q is not Ready", name)
		if ready := meta.FindStatusCondition(p.sandbox.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			message += fmt.Sprintf(" (%s): %s", ready.Reason, ready.Message)
		}
	}
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonWaitingForSandbox, message)
	return ctrl.Result{RequeueAfter: p.untilStartDeadline()}, p.record(ctx)
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
	ctx, release, err := door.Reserve(ctx, "run")
	if err != nil {
		return p.blocked(ctx, err)
	}
	defer release()
	if err := p.writeJournal(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return p.launch(ctx, door, program, refs)
}

// writeJournal records where the command may run from now on.
func (p *execPass) writeJournal(ctx context.Context) error {
	status, sandbox := &p.exec.Status, p.sandbox
	status.Attempt = 1
	status.Provider = sandbox.Status.Provider.DeepCopy()
	status.SandboxUID = string(sandbox.UID)
	status.SandboxID = sandbox.Status.SandboxID
	status.Incarnation = sandbox.Status.Incarnation
	status.StartTime = new(metav1.NewTime(p.now))
	p.setEnd(v1alpha1.ConditionStarted, v1alpha1.ReasonStarting, "The command may have run from here on")
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonRunning, "The command was started")
	return p.record(ctx)
}

// startAgain repeats a start of which no answer came. Where the command runs already, the fence has it followed.
func (p *execPass) startAgain(ctx context.Context) (ctrl.Result, error) {
	door, err := p.doorTo(ctx, p.exec.Status.Provider)
	if err != nil {
		return retryLater(err)
	}
	program, refs, err := p.program(ctx)
	if err != nil {
		// What the spec refers to went away between journal and start. The command may run all the same: the start deadline
		// ends the waiting.
		return ctrl.Result{RequeueAfter: min(jittered(setupPoll), p.untilStartDeadline())}, client.IgnoreNotFound(asRetry(err))
	}
	return p.launch(ctx, door, program, refs)
}

func (p *execPass) launch(ctx context.Context, door *provider.Door, program execution.Program, refs *references) (ctrl.Result, error) {
	run := p.run(door)
	report, err := run.Start(ctx, program)
	if err != nil {
		return p.callFailed(ctx, door, err)
	}
	return p.handle(ctx, run, report, refs)
}

// program is what the spec says to run, with everything that it refers to.
func (p *execPass) program(ctx context.Context) (execution.Program, *references, error) {
	spec := &p.exec.Spec
	refs := p.references(p.exec.Namespace)
	program := execution.Program{
		Argv: spec.Command, WorkingDir: spec.WorkingDir, Env: map[string]string{}, Timeout: p.timeout(),
	}
	if err := refs.env(ctx, program.Env, p.sandbox.Spec.EnvFrom, p.sandbox.Spec.Env); err != nil {
		return program, refs, err
	}
	if err := refs.env(ctx, program.Env, spec.EnvFrom, spec.Env); err != nil {
		return program, refs, err
	}
	var err error
	if spec.Stdin != nil {
		if program.Stdin, err = refs.content(ctx, *spec.Stdin); err != nil {
			return program, refs, fmt.Errorf("stdin: %w", err)
		}
	}
	if spec.Code != nil {
		if program.Code, err = code(ctx, spec.Code, refs); err != nil {
			return program, refs, err
		}
	}
	if err := p.secretsOfFiles(ctx, refs); err != nil {
		return program, refs, err
	}
	program.SecretsDigest = secretsDigest(refs.secretValues)
	return program, refs, nil
}

// secretsOfFiles reads the Secrets that are files of the sandbox: a command may print them.
func (p *execPass) secretsOfFiles(ctx context.Context, refs *references) error {
	for i := range p.sandbox.Spec.Files {
		from := p.sandbox.Spec.Files[i].ContentFrom
		if from == nil || from.SecretKeyRef == nil {
			continue
		}
		// A Secret that went away after the file was written can't be redacted, but keeps no command from running.
		var missing *referenceError
		if _, err := refs.value(ctx, from); err != nil && !errors.As(err, &missing) {
			return err
		}
	}
	return nil
}

// languages are the programs that run code, the preferred first, and the extension of its file.
var languages = map[v1alpha1.CodeLanguage]execution.Code{
	v1alpha1.LanguagePython:     {Interpreters: []string{"python3", "python"}, Extension: "py"},
	v1alpha1.LanguageJavaScript: {Interpreters: []string{"node", "nodejs"}, Extension: "js"},
	v1alpha1.LanguageShell:      {Interpreters: []string{"sh"}, Extension: "sh"},
}

func code(ctx context.Context, spec *v1alpha1.ExecCode, refs *references) (*execution.Code, error) {
	c := languages[spec.Language]
	c.Source = spec.Source
	if spec.SourceFrom != nil {
		source, err := refs.value(ctx, spec.SourceFrom)
		if err != nil {
			return nil, fmt.Errorf("code: %w", err)
		}
		c.Source = string(source)
	}
	return &c, nil
}

func (p *execPass) timeout() time.Duration {
	seconds := int32(defaultTimeoutSeconds)
	if p.exec.Spec.TimeoutSeconds != nil {
		seconds = *p.exec.Spec.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}

// run is the run in the sandbox that the journal names.
func (p *execPass) run(door *provider.Door) execution.Run {
	run := execution.Run{
		Sandbox: door.Remote(p.exec.Status.SandboxID),
		Name:    fmt.Sprintf("%s-%d", p.exec.UID, p.exec.Status.Attempt),
	}
	streams := p.exec.Spec.Streams
	if streams == nil {
		streams = &v1alpha1.ExecStreams{}
	}
	run.Stdout, run.Stderr = keep(streams.Stdout), keep(streams.Stderr)
	return run
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
	chosen, err := p.finder.ByIdentity(ctx, p.exec.Namespace, *identity)
	if err != nil {
		return nil, err
	}
	return p.doors.Open(ctx, chosen)
}

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

func (p *execPass) exited(ctx context.Context, run execution.Run, end *execution.End, refs *references) (ctrl.Result, error) {
	e := endingOf(end, p.timeout())
	if end.SecretsDigest != "" {
		if refs == nil {
			var err error
			if _, refs, err = p.program(ctx); err != nil && asRetry(err) != nil {
				return ctrl.Result{}, err
			}
		}
		e.redaction = p.knownSecrets(refs)
		if e.withheld = secretsDigest(refs.secretValues) != end.SecretsDigest; e.withheld {
			e.message += "; its output was withheld, as the Secrets that it was given have changed since"
		}
	}
	return p.end(ctx, run, e)
}

func (p *execPass) knownSecrets(refs *references) redaction {
	if refs == nil {
		return redaction{}
	}
	return newRedaction(refs.secretValues)
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

// prevented is the end of a run whose fence was taken before it could start.
func (p *execPass) prevented(ctx context.Context, run execution.Run) (ctrl.Result, error) {
	if p.exec.Spec.DesiredState == v1alpha1.ExecCancelled {
		return p.end(ctx, run, ending{outcome: v1alpha1.OutcomeCancelled, reason: v1alpha1.ReasonCancelRequested,
			message: "The command was cancelled before it started"})
	}
	return p.end(ctx, run, p.startDeadlineExceeded())
}

// neverStarted ends a cancelled run for which nothing was done yet.
func (p *execPass) neverStarted(ctx context.Context) (ctrl.Result, error) {
	return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeCancelled, reason: v1alpha1.ReasonCancelRequested,
		message: "The command was cancelled before it started"})
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
	}
	return ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonStartDeadlineExceeded, message: message}
}

// sandboxLost ends a run whose sandbox is not there any more.
func (p *execPass) sandboxLost(ctx context.Context) (ctrl.Result, error) {
	e := ending{outcome: v1alpha1.OutcomeSandboxLost, reason: v1alpha1.ReasonSandboxDeleted,
		message: "The Sandbox was deleted, or another has its name, before the command's end was known"}
	if p.sandbox != nil && string(p.sandbox.UID) == p.exec.Status.SandboxUID && p.sandbox.DeletionTimestamp == nil {
		e.reason = v1alpha1.ReasonRemoteGone
		e.message = "The sandbox at the provider ended before the command's end was known"
		if p.sandbox.Status.State == v1alpha1.SandboxStopped {
			e.reason = v1alpha1.ReasonRemoteStopped
		}
	}
	return p.endUnstarted(ctx, e)
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

// end records how the run ended, and lets the object go. Where the object is gone, the command is killed.
func (p *execPass) end(ctx context.Context, run execution.Run, e ending) (ctrl.Result, error) {
	p.finish(e)
	err := p.recordEnd(ctx)
	if apierrors.IsNotFound(err) {
		return ctrl.Result{}, p.killTree(ctx, run)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return p.letGo(ctx)
}

// endUnstarted records the end of a run that has nothing in its sandbox, or whose sandbox can't be reached any more.
func (p *execPass) endUnstarted(ctx context.Context, e ending) (ctrl.Result, error) {
	p.finish(e)
	if err := p.recordEnd(ctx); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return p.letGo(ctx)
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
		if live.UID != p.exec.UID || live.Status.Outcome != "" {
			return nil
		}
		status := p.exec.Status.DeepCopy()
		p.before, p.exec = live.DeepCopy(), &live
		p.exec.Status = *status
		err = p.record(ctx)
	}
	return err
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
	report, err := run.Cancel(ctx)
	if errors.Is(err, backends.NotFound) || errors.Is(err, backends.NotRunning) {
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

// letGo takes our finalizer off, and has a finished run deleted when its time has come.
func (p *execPass) letGo(ctx context.Context) (ctrl.Result, error) {
	p.doubts.clear(p.exec.UID)
	if err := p.removeFinalizer(ctx, p.exec, v1alpha1.ExecFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	if p.exec.Spec.TTLSecondsAfterFinished == nil || p.exec.Status.CompletionTime == nil || p.exec.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	return p.expire(ctx)
}

// expire deletes a finished run when its time has come.
func (p *execPass) expire(ctx context.Context) (ctrl.Result, error) {
	expiresAt := p.facts().expiresAt
	if wait := expiresAt.Sub(p.clock.Now()); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	err := p.client.Delete(ctx, p.exec, client.Preconditions{UID: &p.exec.UID, ResourceVersion: &p.exec.ResourceVersion})
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// blocked records why the command was not started yet, and tries again until the start deadline.
func (p *execPass) blocked(ctx context.Context, err error) (ctrl.Result, error) {
	t, ok := troubleOf(err)
	if !ok {
		return retryLater(err)
	}
	p.setProgress(v1alpha1.ConditionReconciling, t.reason, "The command was not started yet: "+t.message)
	if err := p.record(ctx); err != nil {
		return ctrl.Result{}, err
	}
	result, err := retryLater(err)
	if result.RequeueAfter > 0 {
		result.RequeueAfter = min(result.RequeueAfter, p.untilStartDeadline())
	}
	return result, err
}
