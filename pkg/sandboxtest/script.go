// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
	"github.com/sandbox-operator/sandbox-operator/internal/execution/simulated"
)

// Command is a command or code that a SandboxExec was to run, as the sandbox got it: its environment has the values of Secrets and
// ConfigMaps.
type Command struct {
	// Namespace of the SandboxExec and its Sandbox, and their names. Exec is empty where the object was deleted meanwhile.
	Namespace, Exec, Sandbox string
	// SandboxID is the provider's identifier of the sandbox in which it runs.
	SandboxID string
	// Argv is the program and its arguments; empty where Code is set.
	Argv []string
	// Code is source text with its language; nil where Argv is set.
	Code *Code
	// WorkingDir is that of the SandboxExec, else of the Sandbox.
	WorkingDir string
	// Env has the variables of the Sandbox and, over them, those of the SandboxExec.
	Env map[string]string
	// Stdin is what it reads.
	Stdin []byte
	// Timeout is when it is killed; 0 = never.
	Timeout time.Duration

	operator       *Operator
	stdout, stderr io.Writer
}

// Code is source text.
type Code struct {
	// Language as in spec.code.language.
	Language string
	// Source is the text.
	Source string
	// Arguments stand after the file.
	Arguments []string
}

// Stdout takes what a function prints that stands for the command (OnFunc), as it prints it: spec.streams.progress shows it.
func (c *Command) Stdout() io.Writer { return c.stdout }

// Stderr likewise.
func (c *Command) Stderr() io.Writer { return c.stderr }

// ReadFile reads a file of the sandbox, such as one of spec.inputs or of spec.files of the Sandbox. The error is that of package os.
func (c *Command) ReadFile(path string) ([]byte, error) {
	return c.operator.readFile(c.SandboxID, path)
}

// WriteFile makes a file in the sandbox, and the directories that it needs; spec.outputs may name it.
func (c *Command) WriteFile(path string, content []byte) error {
	return c.operator.writeFile(c.SandboxID, path, content, 0o644)
}

// Result is what a command does, and how it ends. The zero value succeeds at once and prints nothing.
type Result struct {
	// ExitCode is 0 to 255; other than 0 makes the outcome Failed.
	ExitCode int
	// Stdout and Stderr are what it prints, at its start.
	Stdout, Stderr string
	// Files are files that it leaves in the sandbox, by their absolute path.
	Files map[string]string
	// Delay is how long it runs.
	Delay time.Duration
	// Hang has it run until it is cancelled, its time is over, or its sandbox ends.
	Hang bool
	// LoseSandbox has its sandbox vanish at its end, as at a provider that lost it: the outcome is SandboxLost.
	LoseSandbox bool
}

// Func stands for a command. The context ends when the command is killed; what it returns then does not matter.
type Func func(ctx context.Context, command *Command) Result

// rule says what the commands do that match.
type rule struct {
	match Match
	do    Func
}

// On says what commands do that match, from now on: the first the first result, the second the second, and all further ones the last.
// Where several rules match, the youngest decides, so that a test overrides what its suite said. The function that it returns takes the
// rule back.
func (o *Operator) On(match Match, results ...Result) (remove func()) {
	next := 0
	return o.OnFunc(match, func(context.Context, *Command) Result {
		o.mutex.Lock()
		defer o.mutex.Unlock()
		if len(results) == 0 {
			return Result{}
		}
		result := results[min(next, len(results)-1)]
		next++
		return result
	})
}

// OnFunc has a function stand for the commands that match. It may be called for several commands at once.
func (o *Operator) OnFunc(match Match, do Func) (remove func()) {
	added := &rule{match, do}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.rules = append(o.rules, added)
	return func() {
		o.mutex.Lock()
		defer o.mutex.Unlock()
		o.rules = slices.DeleteFunc(o.rules, func(other *rule) bool { return other == added })
	}
}

// find returns what stands for a command.
func (o *Operator) find(command *Command) Func {
	o.mutex.Lock()
	rules := slices.Clone(o.rules)
	o.mutex.Unlock()
	for _, r := range slices.Backward(rules) {
		if r.match(command) {
			return r.do
		}
	}
	return func(context.Context, *Command) Result { return Result{} }
}

// run stands for all commands but code of engine Native.
func (o *Operator) run(ctx context.Context, run simulated.Run) int {
	command := o.command(ctx, run.Remote, run.Program)
	command.Exec = o.execOf(ctx, run.Remote.Mark.Namespace, run.Name)
	command.stdout, command.stderr = run.Stdout, run.Stderr
	for _, input := range run.Program.Inputs {
		if err := o.writeFile(run.Remote.ID, input.Path, input.Content, input.Mode); err != nil {
			_, _ = fmt.Fprintln(run.Stderr, "sandboxtest: the input can't be written:", err)
			return 126
		}
	}
	return o.do(ctx, command)
}

// languages are those of spec.code.language, for engine Native.
var languages = []string{"python", "javascript", "typescript", "shell", "ruby", "perl", "go"}

// runCode stands for code of engine Native.
func (o *Operator) runCode(ctx context.Context, remote backends.Remote, code backends.SourceCode) (backends.CodeResult, error) {
	command := o.command(ctx, remote, execution.Program{
		Code:       &execution.Code{Language: code.Language, Source: code.Source, Arguments: code.Arguments},
		WorkingDir: code.WorkingDir, Env: code.Env, Timeout: code.Timeout,
	})
	command.Exec = o.execOf(ctx, remote.Mark.Namespace, execution.NameOf(ctx))
	var stdout, stderr bytes.Buffer
	command.stdout, command.stderr = &stdout, &stderr
	if code.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, code.Timeout)
		defer cancel()
	}
	exitCode := o.do(ctx, command)
	return backends.CodeResult{Result: backends.Result{
		ExitCode: min(exitCode, 1), Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), TimedOut: ctx.Err() == context.DeadlineExceeded,
	}}, nil
}

// command is a program as tests see it.
func (o *Operator) command(_ context.Context, remote backends.Remote, program execution.Program) *Command {
	request, _ := o.provider.Request(remote.ID)
	command := &Command{
		Namespace: remote.Mark.Namespace, Sandbox: remote.Mark.Name, SandboxID: remote.ID, Argv: program.Argv,
		WorkingDir: program.WorkingDir, Env: maps.Clone(request.Env), Stdin: program.Stdin, Timeout: program.Timeout, operator: o,
	}
	if command.Env == nil {
		command.Env = map[string]string{}
	}
	maps.Copy(command.Env, program.Env)
	if command.WorkingDir == "" {
		command.WorkingDir = request.WorkingDir
	}
	if code := program.Code; code != nil {
		command.Code = &Code{Language: code.Language, Source: code.Source, Arguments: code.Arguments}
	}
	return command
}

// do notes the command, does what its rule says, and returns its exit code.
func (o *Operator) do(ctx context.Context, command *Command) int {
	o.record(*command)
	result := o.find(command)(ctx, command)
	_, _ = io.WriteString(command.stdout, result.Stdout)
	_, _ = io.WriteString(command.stderr, result.Stderr)
	for path, content := range result.Files {
		if err := command.WriteFile(path, []byte(content)); err != nil {
			_, _ = fmt.Fprintln(command.stderr, "sandboxtest: the file can't be written:", err)
			return 126
		}
	}
	var over <-chan time.Time
	if !result.Hang {
		timer := time.NewTimer(result.Delay)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-ctx.Done():
		return result.ExitCode
	}
	if result.LoseSandbox {
		o.provider.Kill(command.SandboxID)
	}
	return result.ExitCode
}
