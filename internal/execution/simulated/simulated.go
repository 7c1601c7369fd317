// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package simulated is the runner of package execution in Go: it answers the runner's calls for sandboxes in which nothing runs, and
// has a function say what each command prints and how it ends. The operator can't tell the difference: a command is started once by
// its fence, is followed, cancelled, runs out of time and is collected as in a sandbox. pkg/sandboxtest is made of it.
//
// simulated.go has the runs, answer.go words the answers.
package simulated

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

// Run is a program that a sandbox was told to run.
type Run struct {
	// Remote in which it runs.
	Remote backends.Remote
	// Name of the fence.
	Name string
	// Program is what to run.
	Program execution.Program
	// Stdout and Stderr take what it prints.
	Stdout, Stderr io.Writer
}

// Func is the program: it returns its exit code. The context ends when it is killed: cancelled, out of time, or with its sandbox.
type Func func(ctx context.Context, run Run) int

// Runner answers for any number of sandboxes. It is safe for concurrent use. Close it.
type Runner struct {
	program Func
	mutex   sync.Mutex
	runs    map[key]*run
	group   sync.WaitGroup
}

// key is a fence in a sandbox.
type key struct{ remote, name string }

// run is one fence. What follows ended may be read once that is closed.
type run struct {
	// kill ends the program, for that cause; nil where the fence was taken to keep it from running.
	kill           context.CancelCauseFunc
	stdout, stderr stream
	digest         string
	began          time.Time
	ended          chan struct{}

	exitCode int
	cause    execution.Cause
	at       time.Time
}

// New returns a runner whose programs the function stands for.
func New(program Func) *Runner {
	return &Runner{program: program, runs: map[key]*run{}}
}

// The words of a call to the runner: sh -c 'eval "$1"' sh TEXT VERB ROOT NAME ARGUMENTS KEEP.
const (
	wordVerb = 5 + iota
	wordRoot
	wordName
	wordArguments
)

// RunCommand answers a call of the runner in a remote, as backends.Backend has it. Other programs do not exist.
func (r *Runner) RunCommand(ctx context.Context, remote backends.Remote, command backends.Command) (backends.Result, error) {
	argv := command.Argv
	if len(argv) <= wordArguments || argv[2] != `eval "$1"` {
		return backends.Result{ExitCode: 127, Stderr: []byte("nothing runs in this sandbox\n")}, nil
	}
	fence := key{remote.ID, argv[wordName]}
	var arguments int
	switch argv[wordVerb] {
	case "start":
		arguments = 4
		r.start(ctx, fence, remote, argv[wordArguments:])
	case "prevent":
		r.take(fence, &run{})
	case "cancel":
		arguments = 1
		r.cancel(ctx, fence)
	}
	answer, err := r.answer(fence, argv[wordRoot], argv[wordArguments+arguments:])
	return backends.Result{Stdout: answer}, err
}

// take takes the fence, and says whether it was free.
func (r *Runner) take(fence key, taken *run) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if _, exists := r.runs[fence]; exists {
		return false
	}
	r.runs[fence] = taken
	return true
}

func (r *Runner) find(fence key) *run {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.runs[fence]
}

// start runs the program where the fence is free, and waits a while for its end: BYTES TIMEOUT DIGEST PATIENCE are the words.
func (r *Runner) start(call context.Context, fence key, remote backends.Remote, words []string) {
	program, ok := execution.ProgramOf(call)
	if !ok {
		return
	}
	ctx, kill := context.WithCancelCause(context.WithoutCancel(call))
	started := &run{kill: kill, digest: words[2], began: time.Now(), ended: make(chan struct{})}
	if !r.take(fence, started) {
		kill(nil)
		return
	}
	r.group.Go(func() {
		defer kill(nil)
		started.keep(ctx, program.Timeout, func(ctx context.Context) int {
			return r.program(ctx, Run{
				Remote: remote, Name: fence.name, Program: program, Stdout: &started.stdout, Stderr: &started.stderr,
			})
		})
	})
	patience, err := strconv.Atoi(words[3])
	if err != nil {
		patience = 1
	}
	started.await(call, time.Duration(patience)*time.Second)
}

// killed is the exit code of what SIGTERM ended.
const killed = 128 + 15

// keep runs the program until its end or its deadline, and notes how it ended.
func (r *run) keep(ctx context.Context, timeout time.Duration, program func(context.Context) int) {
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { r.kill(cause(execution.CauseTimedOut)) })
		defer timer.Stop()
	}
	r.exitCode, r.cause = program(ctx), execution.CauseExited
	if why, ok := errors.AsType[cause](context.Cause(ctx)); ok {
		r.exitCode, r.cause = killed, execution.Cause(why)
	}
	r.at = time.Now()
	close(r.ended)
}

// cause is why a program is killed, as an error.
type cause execution.Cause

func (c cause) Error() string { return string(c) }

// await waits for the end, at most that long.
func (r *run) await(ctx context.Context, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// cancel keeps the program from ever starting, or kills it.
func (r *Runner) cancel(ctx context.Context, fence key) {
	if r.take(fence, &run{}) {
		return
	}
	if found := r.find(fence); found != nil && found.kill != nil {
		found.kill(cause(execution.CauseCancelled))
		found.await(ctx, time.Second)
	}
}

// Forget ends what runs in a remote, which is gone. It does not wait for it.
func (r *Runner) Forget(remote string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for fence, found := range r.runs {
		if fence.remote == remote {
			found.end()
			delete(r.runs, fence)
		}
	}
}

func (r *run) end() {
	if r.kill != nil {
		r.kill(nil)
	}
}

// Close ends everything that runs, and waits for it.
func (r *Runner) Close() {
	r.mutex.Lock()
	for _, found := range r.runs {
		found.end()
	}
	r.mutex.Unlock()
	r.group.Wait()
}
