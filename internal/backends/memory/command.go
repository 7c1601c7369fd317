// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// RunCommand implements backends.Backend.
func (c *connection) RunCommand(
	ctx context.Context, id string, command backends.Command,
) (result backends.Result, err error) {
	err = c.call(ctx, Call{Operation: OperationRunCommand, ID: id, Command: &command}, func() error {
		result, err = c.runCommand(ctx, id, command)
		return err
	})
	return result, err
}

func (c *connection) runCommand(
	ctx context.Context, id string, command backends.Command,
) (backends.Result, error) {
	r, described, err := c.running(OperationRunCommand, id)
	if err != nil {
		return backends.Result{}, err
	}
	if err := c.checkCommand(command); err != nil {
		return backends.Result{}, err
	}
	if simulate := c.provider.currentOptions().RunCommandFunc; simulate != nil {
		return simulate(ctx, described, command)
	}
	started, err := r.start(command)
	if err != nil {
		// The remote may have vanished meanwhile, with its directory.
		if _, _, gone := c.running(OperationRunCommand, id); gone != nil {
			return backends.Result{}, gone
		}
	}
	switch {
	case errors.Is(err, errWorkingDir):
		return backends.Result{}, c.errorf(backends.Invalid, OperationRunCommand, "%w", err)
	case err != nil:
		return shellResult(command.Argv[0], err), nil
	}
	select {
	case <-started.done:
	case <-ctx.Done():
		return backends.Result{}, c.errorf(backends.Ambiguous, OperationRunCommand, "the call ended first: %w", ctx.Err())
	}
	if started.abandoned.Load() {
		// How the command ended is the doing of the sandbox's end, and no result of its own.
		return backends.Result{}, c.errorf(backends.Ambiguous, OperationRunCommand, "the sandbox ended while the command ran")
	}
	return started.result, nil
}

func (c *connection) checkCommand(command backends.Command) error {
	if len(command.Argv) == 0 || command.Argv[0] == "" {
		return c.errorf(backends.Invalid, OperationRunCommand, "the command is empty")
	}
	if command.WorkingDir != "" && !filepath.IsAbs(command.WorkingDir) {
		return c.errorf(backends.Invalid, OperationRunCommand, "the working directory is not absolute")
	}
	if current, err := user.Current(); command.User != "" && (err != nil || current.Username != command.User) {
		return c.errorf(backends.Unsupported, OperationRunCommand, "commands run as the test's own user only")
	}
	return nil
}

// shellResult says that a program could not be started in the way of a shell.
func shellResult(program string, err error) backends.Result {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return backends.Result{ExitCode: 127, Stderr: fmt.Appendf(nil, "%s: not found\n", program)}
	}
	return backends.Result{ExitCode: 126, Stderr: fmt.Appendf(nil, "%s: %v\n", program, err)}
}

// commands are those of one remote that run, and the streams of what they left running.
type commands struct {
	// marker and dir tell the remote's processes.
	marker, dir string

	mu sync.Mutex
	// used is set by the first command, ended by the remote's end.
	used, ended bool
	running     map[*startedCommand]struct{}
	streams     map[*stream]struct{}
	owners      sync.WaitGroup
}

func newCommands(marker, dir string) *commands {
	return &commands{marker: marker, dir: dir, running: map[*startedCommand]struct{}{}, streams: map[*stream]struct{}{}}
}

// startedCommand is one that runs, or did.
type startedCommand struct {
	cmd    *exec.Cmd
	marker string
	// abandoned is set when the remote ended before the command.
	abandoned atomic.Bool
	// result may be read when done is closed.
	result backends.Result
	done   chan struct{}
}

var (
	errWorkingDir = errors.New("working directory")
	errEnded      = errors.New("the sandbox ended")
)

// The environment variables by which processes are found again.
const (
	remoteMarker  = "SANDBOXES_MEMORY_REMOTE"
	commandMarker = "SANDBOXES_MEMORY_COMMAND"
)

var commandCount atomic.Int64

// start starts the command and its keeper.
func (r *remote) start(command backends.Command) (*startedCommand, error) {
	dir := r.workingDir
	if command.WorkingDir != "" {
		dir = r.hostPath(command.WorkingDir)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w %q is no directory of the sandbox", errWorkingDir, command.WorkingDir)
	}
	started := &startedCommand{
		marker: fmt.Sprintf("%s=%s/%d", commandMarker, r.id, commandCount.Add(1)), done: make(chan struct{}),
	}
	env := r.environment(command, started.marker)
	program, err := lookPath(command.Argv[0], dir, env)
	if err != nil {
		return nil, err
	}
	started.cmd = &exec.Cmd{
		Path: program, Args: command.Argv, Dir: dir, Env: env, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	return started, r.commands.start(started, command, r.dir)
}

// environment is the command's own over the remote's over a minimal one. None of the test's reaches the command.
func (r *remote) environment(command backends.Command, marker string) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + filepath.Join(r.dir, "home"),
		"TMPDIR=" + filepath.Join(r.dir, "tmp"), remoteMarker + "=" + r.id, marker,
	}
	for _, given := range []map[string]string{r.env, command.Env} {
		for name, value := range given {
			env = slices.DeleteFunc(env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
			env = append(env, name+"="+value)
		}
	}
	return env
}

// lookPath finds a program as the command's own shell would: by its PATH, and relative to its directory.
func lookPath(program, dir string, env []string) (string, error) {
	if strings.Contains(program, "/") {
		if !filepath.IsAbs(program) {
			return filepath.Join(dir, program), nil
		}
		return program, nil
	}
	var search string
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			search = value
		}
	}
	for _, candidate := range filepath.SplitList(search) {
		candidate = filepath.Join(candidate, program)
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", exec.ErrNotFound
}

func (c *commands) start(started *startedCommand, command backends.Command, dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return errEnded
	}
	stdin, err := stdinFile(dir, command.Stdin)
	if err != nil {
		return err
	}
	defer func() { _ = stdin.Close() }()
	stdout, stdoutEnd, err := newStream(command.OutputLimit)
	if err != nil {
		return err
	}
	defer func() { _ = stdoutEnd.Close() }()
	stderr, stderrEnd, err := newStream(command.OutputLimit)
	if err != nil {
		stdout.close()
		return err
	}
	defer func() { _ = stderrEnd.Close() }()
	started.cmd.Stdin, started.cmd.Stdout, started.cmd.Stderr = stdin, stdoutEnd, stderrEnd
	if err := started.cmd.Start(); err != nil {
		stdout.close()
		stderr.close()
		return err
	}
	c.used = true
	c.running[started] = struct{}{}
	c.streams[stdout], c.streams[stderr] = struct{}{}, struct{}{}
	c.owners.Go(func() { c.keep(started, command.Timeout, stdout, stderr) })
	for _, s := range []*stream{stdout, stderr} {
		c.owners.Go(func() { s.read(); c.forget(s) })
	}
	return nil
}

// stdinFile returns the input as a file without name: its end is the end of the input, and nobody waits for a reader.
func stdinFile(dir string, content []byte) (*os.File, error) {
	if len(content) == 0 {
		return os.Open(os.DevNull)
	}
	file, err := os.CreateTemp(dir, "stdin-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Write(content); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(0, 0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// keep waits for the command's first process, kills its tree at the deadline, and makes the result.
func (c *commands) keep(started *startedCommand, timeout time.Duration, stdout, stderr *stream) {
	exited := make(chan struct{})
	go func() {
		_ = started.cmd.Wait() // the state tells all
		close(exited)
	}()
	var deadline <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	result := backends.Result{}
	select {
	case <-exited:
	case <-deadline:
		result.TimedOut = true
		killProcesses(started.marker, "", started.cmd.Process.Pid)
		<-exited
	}
	result.ExitCode = exitCode(started.cmd.ProcessState)
	result.Stdout, result.StdoutTruncated = stdout.settle()
	result.Stderr, result.StderrTruncated = stderr.settle()
	started.result = result
	c.mu.Lock()
	delete(c.running, started)
	c.mu.Unlock()
	close(started.done)
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

func (c *commands) forget(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s)
}

// kill kills all processes of the remote.
func (c *commands) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.used {
		return
	}
	for started := range c.running {
		started.abandoned.Store(true)
	}
	killProcesses(c.marker, c.dir, c.sessions()...)
}

// freeze has all processes of the remote stand still. Its commands go on counting towards their deadlines.
func (c *commands) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used {
		stopProcesses(c.marker, c.dir, c.sessions()...)
	}
}

// thaw has them go on.
func (c *commands) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used {
		signalOnce(syscall.SIGCONT, "ZX", c.marker, c.dir, c.sessions())
	}
}

// sessions returns those of commands that still run: the number of another may by now belong to somebody else. The mutex is held.
func (c *commands) sessions() []int {
	var sessions []int
	for started := range c.running {
		sessions = append(sessions, started.cmd.Process.Pid)
	}
	return sessions
}

// close kills all processes of the remote, for good, and waits for what belongs to them.
func (c *commands) close() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.kill()
	c.mu.Lock()
	for s := range c.streams {
		s.close() // a process that got away would hold its other end
	}
	c.mu.Unlock()
	c.owners.Wait()
}
