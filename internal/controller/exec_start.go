// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

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
	if err := program.Check(); err != nil {
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeStartFailed, reason: v1alpha1.ReasonInvalid,
			message: "The command was not run: " + err.Error()})
	}
	ctx, release, err := door.Reserve(ctx, "run")
	if err != nil {
		return p.blocked(ctx, err)
	}
	defer release()
	if err := p.writeJournal(ctx); err != nil {
		return ctrl.Result{}, err
	}
	p.first = true
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
	program.SecretsDigest = secretsDigest(refs.secretValues)
	return program, refs, nil
}

// givenSecrets are the values of Secrets that a run may print.
type givenSecrets struct {
	// given to the command by the operator; files were put into the sandbox when it was made.
	given, files []string
}

// secrets reads, as they are now, the Secrets that the run and its sandbox were given; refs, where set, has the run's own.
// What is missing by now is left out, so that the digest tells.
func (p *execPass) secrets(ctx context.Context, refs *references) (givenSecrets, error) {
	var s givenSecrets
	var err error
	if refs != nil {
		s.given = refs.secretValues
	} else if s.given, err = p.references(p.exec.Namespace).valuesOf(ctx, p.secretSources()); err != nil {
		return s, err
	}
	s.files, err = p.references(p.exec.Namespace).valuesOf(ctx, secretSources{values: fileSources(p.sandbox)})
	return s, err
}

// secretSources are what the program was made from.
func (p *execPass) secretSources() secretSources {
	spec := &p.exec.Spec
	s := secretSources{all: slices.Concat(p.sandbox.Spec.EnvFrom, spec.EnvFrom)}
	for _, variable := range slices.Concat(p.sandbox.Spec.Env, spec.Env) {
		s.values = append(s.values, variable.ValueFrom)
	}
	if spec.Stdin != nil {
		s.values = append(s.values, spec.Stdin.ContentFrom)
	}
	if spec.Code != nil {
		s.values = append(s.values, spec.Code.SourceFrom)
	}
	return s
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
	return p.doors.OpenExisting(ctx, chosen)
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
