// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	// exitRunsc is runsc's exit code for its own errors; a command may end with it, too.
	exitRunsc = 128
	// drainTime is how long output is awaited after the command's end, when something that it started holds the streams.
	drainTime = 150 * time.Millisecond
	// killTime bounds the killing of a command's tree, and what is then still awaited.
	killTime = 10 * time.Second
)

// RunCommand implements backends.Backend.
//
// The command is started as it is, which is fastest. When it can't be started that way (no such program, a script without its
// interpreter's name), a shell in the sandbox is asked to do it, for the sake of the shell's words and exit code; the first
// try has then certainly started nothing.
func (b *backend) RunCommand(ctx context.Context, id string, command backends.Command) (backends.Result, error) {
	m, d, rec, err := b.running(ctx, operationRun, id)
	if err != nil {
		return backends.Result{}, err
	}
	if err := checkCommand(command); err != nil {
		return backends.Result{}, invalidCommand("%w", err)
	}
	s := session{machine: m, dir: d, record: rec}
	user, err := s.user(ctx, command.User)
	if err != nil {
		return backends.Result{}, err
	}
	c := call{
		process: newProcess(user, s.env(command.Env), s.workingDir(command.WorkingDir), command.Argv),
		stdin:   command.Stdin,
		limit:   command.OutputLimit,
		timeout: command.Timeout,
	}
	if c.process.Cwd != rec.WorkingDir {
		// gVisor starts a process in a directory that is none.
		return s.runByShell(ctx, c)
	}
	first, err := s.run(ctx, c)
	if err != nil || first.started {
		return first.result, err
	}
	return s.runByShell(ctx, c)
}

func checkCommand(command backends.Command) error {
	if len(command.Argv) == 0 || command.Argv[0] == "" {
		return errors.New("there is no command")
	}
	if command.WorkingDir != "" && !path.IsAbs(command.WorkingDir) {
		return errors.New("the working directory must be an absolute path")
	}
	if strings.Contains(strings.Join(command.Argv, "")+command.WorkingDir, "\x00") {
		return errors.New("a command can't contain a zero byte")
	}
	for key, value := range command.Env {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.Contains(value, "\x00") {
			return fmt.Errorf("%q is no name and value for an environment", backends.Bounded(key, 64))
		}
	}
	return nil
}

func invalidCommand(format string, args ...any) error {
	return backends.Errorf(backends.Invalid, Name, operationRun, format, args...)
}

// session runs commands in one remote.
type session struct {
	machine *machine
	dir     remoteDir
	record  record
}

func (s session) env(own map[string]string) []string {
	return mergeEnv(s.record.Env, pairs(own))
}

func (s session) workingDir(wished string) string {
	if wished != "" {
		return wished
	}
	return s.record.WorkingDir
}

// shellProcess is a short script of our own, as root, in the sandbox.
func shellProcess(script string, args ...string) *specs.Process {
	argv := append([]string{sandboxShell, "-c", script, "sh"}, args...)
	return newProcess(identity{}, []string{defaultPath}, "/", argv)
}

// user finds whom a command runs as. A name means what the sandbox's own accounts say now.
func (s session) user(ctx context.Context, spec string) (identity, error) {
	if spec == "" {
		return s.record.User, nil
	}
	if id, ok := numericIdentity(spec); ok {
		return id, nil
	}
	const script = `print() { while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done; }
[ -r /etc/passwd ] && print </etc/passwd
[ -r /etc/group ] && print </etc/group >&2`
	told, err := s.run(ctx, call{process: shellProcess(script)})
	if err != nil {
		return identity{}, err
	}
	id, err := accounts{passwd: told.result.Stdout, group: told.result.Stderr}.find(spec)
	if err != nil {
		return identity{}, invalidCommand("%w", err)
	}
	return id, nil
}

// exitNoDirectory, with the given word on standard error, says that wrapperScript could not enter the working directory.
const exitNoDirectory = 125

// wrapperScript starts a command by a shell. Its first argument is the working directory, the second that word.
const wrapperScript = `cd -- "$1" 2>/dev/null || { printf %s "$2" >&2; exit 125; }
shift 2
unset OLDPWD
exec "$@"`

func (s session) runByShell(ctx context.Context, c call) (backends.Result, error) {
	dir := c.process.Cwd
	word := newMarker()
	c.process.Cwd = "/"
	c.process.Args = append([]string{sandboxShell, "-c", wrapperScript, "sh", dir, word}, c.process.Args...)
	ended, err := s.run(ctx, c)
	switch {
	case err != nil:
		return backends.Result{}, err
	case !ended.started:
		return backends.Result{}, invalidCommand("the command can't be started: %s", s.dir.redact(ended.refusal))
	case ended.result.ExitCode == exitNoDirectory && string(ended.result.Stderr) == word:
		return backends.Result{}, invalidCommand("the working directory %q does not exist in the sandbox, or can't be entered",
			backends.Bounded(dir, 256))
	}
	return ended.result, nil
}

// call is one start of a process in a sandbox.
type call struct {
	process *specs.Process
	stdin   []byte
	limit   int64
	timeout time.Duration
}

// outcome is how a call ended: with a result, or refused by the sandbox's kernel before anything ran.
type outcome struct {
	result  backends.Result
	started bool
	refusal string
}

// run makes one call. An error of code NotRunning means that nothing was started, Ambiguous that it is not known.
func (s session) run(ctx context.Context, c call) (outcome, error) {
	marker := ""
	if c.timeout > 0 {
		marker = newMarker()
		marked := *c.process
		marked.Env = append([]string{markerVariable + "=" + marker}, c.process.Env...)
		c.process = &marked
	}
	e, err := s.newExec(ctx, c)
	if err != nil {
		return outcome{}, backends.Errorf(backends.Unavailable, Name, operationRun, "the command can't be started: %w", err)
	}
	timedOut, err := s.wait(ctx, e, c.timeout, marker)
	exit := e.close()
	if err != nil {
		return outcome{}, backends.Errorf(backends.Ambiguous, Name, operationRun, "%w", err)
	}
	result := e.result()
	result.ExitCode, result.TimedOut = exit.code, timedOut
	return s.judge(exit, result)
}

// wait returns when the command has ended. When its time is over it kills the command's tree; when ctx ends it leaves the
// command alone, and returns an error.
func (s session) wait(ctx context.Context, e *execution, timeout time.Duration, marker string) (timedOut bool, err error) {
	var deadline <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	select {
	case <-e.ended:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("the call ended before the command: %w", ctx.Err())
	case <-deadline:
	}
	ctx, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	killErr := s.killTree(ctx, marker)
	select {
	case <-e.ended:
		return true, killErr
	case <-ctx.Done():
		return true, errors.Join(errors.New("the command outlived its timeout, and could not be killed"), killErr)
	}
}

// judge tells a command's end from runsc's own errors.
func (s session) judge(exit exitStatus, result backends.Result) (outcome, error) {
	switch {
	case exit.started && exit.logged == "" && exit.code >= 0:
		return outcome{result: result, started: true}, nil
	case exit.started || exit.code != exitRunsc:
		return outcome{}, s.cutOff("the sandbox, or gVisor's client for it, ended while the command ran")
	}
	if now := s.machine.observe(s.dir, s.record); now.state != backends.StateRunning {
		if neverReached(exit.logged) {
			return outcome{}, notRunning(operationRun, now)
		}
		return outcome{}, s.cutOff("the sandbox ended while the command was started")
	}
	return outcome{refusal: exit.logged}, nil
}

// cutOff is a call that its own sandbox's end cut off, which says nothing about other sandboxes.
func (s session) cutOff(message string) error {
	e := backends.Errorf(backends.Ambiguous, Name, operationRun, "%s%s", message, s.now())
	e.OfRequest = true
	return e
}

// now tells, as the end of a sentence, why the sandbox does not run.
func (s session) now() string {
	if _, err := os.Lstat(string(s.dir)); errors.Is(err, fs.ErrNotExist) {
		return ": it was destroyed"
	}
	if now := s.machine.observe(s.dir, s.record); now.reason != "" {
		return ": " + now.reason
	}
	return ""
}

// neverReached says whether runsc's message means that it never spoke with the sandbox's kernel.
func neverReached(message string) bool {
	for _, sign := range []string{"loading container", "cannot execute in container", "connecting to control server", "not running"} {
		if strings.Contains(message, sign) {
			return true
		}
	}
	return false
}

// execution is a running client of runsc, with its streams.
type execution struct {
	cmd            *exec.Cmd
	stdout, stderr *capture
	started        *os.File
	log            *os.File
	// ended is closed when the client has ended; waitErr is set by then.
	ended   chan struct{}
	waitErr error
}

// exitStatus is what is known about an execution after its end.
type exitStatus struct {
	// code is the client's exit code, -1 when a signal killed the client itself.
	code int
	// started says that the sandbox's kernel has started the process.
	started bool
	// logged is runsc's own error message.
	logged string
}

// newExec starts the client. The process's description and its input travel in nameless memory files, so that neither its
// arguments nor its environment show in the machine's process list, and so that input needs nobody who keeps writing.
func (s session) newExec(ctx context.Context, c call) (*execution, error) {
	spec, err := json.Marshal(c.process)
	if err != nil {
		return nil, err
	}
	var files fileSet
	defer files.close()
	description := files.memory("process", spec)
	input := files.memory("stdin", c.stdin)
	log := files.memory("log", nil)
	started, startedWriter := files.pipe()
	stdout, stdoutWriter := files.pipe()
	stderr, stderrWriter := files.pipe()
	stdin := files.reopen(input)
	if files.err != nil {
		return nil, files.err
	}
	// Its end is for wait and close to decide. The files are its numbers 3, 4 and 5.
	cmd := newCommand(context.WithoutCancel(ctx), s.machine.runsc.program,
		stateFlag(s.dir), "--log=/proc/self/fd/5", "--log-format=json", "exec",
		"-process", "/proc/self/fd/3", "-internal-pid-file", "/proc/self/fd/4", s.dir.id())
	cmd.ExtraFiles = []*os.File{description, startedWriter, log}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdoutWriter, stderrWriter
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	files.keep(started, stdout, stderr, log)
	e := &execution{
		cmd: cmd, started: started, log: log, ended: make(chan struct{}),
		stdout: newCapture(stdout, c.limit), stderr: newCapture(stderr, c.limit),
	}
	go func() {
		e.waitErr = cmd.Wait()
		close(e.ended)
	}()
	return e, nil
}

// close ends the client, where it still runs, and returns when nothing of the call is left but, perhaps, the command.
func (e *execution) close() exitStatus {
	deadline := time.Now()
	select {
	case <-e.ended:
		deadline = deadline.Add(drainTime)
	default:
		_ = e.cmd.Process.Kill()
		<-e.ended
	}
	e.stdout.expire(deadline)
	e.stderr.expire(deadline)
	e.stdout.finish()
	e.stderr.finish()
	exit := exitStatus{code: e.cmd.ProcessState.ExitCode(), started: hasByte(e.started)}
	if log, err := io.ReadAll(io.NewSectionReader(e.log, 0, 1<<20)); err == nil {
		exit.logged = lastLogged(log)
	}
	_, _ = e.log.Close(), e.started.Close()
	return exit
}

// hasByte says whether something was written to a pipe whose writers are gone.
func hasByte(pipe *os.File) bool {
	n, _ := pipe.Read(make([]byte, 1))
	return n == 1
}

func (e *execution) result() backends.Result {
	return backends.Result{
		Stdout: e.stdout.kept.Bytes(), StdoutTruncated: e.stdout.truncated,
		Stderr: e.stderr.kept.Bytes(), StderrTruncated: e.stderr.truncated,
	}
}

// capture reads a stream to its end, keeps what fits, and drops the rest.
type capture struct {
	pipe      *os.File
	kept      bytes.Buffer
	room      int64
	truncated bool
	done      chan struct{}
}

func newCapture(pipe *os.File, limit int64) *capture {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	c := &capture{pipe: pipe, room: limit, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_, err := io.Copy(c, pipe)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.drain()
		}
	}()
	return c
}

// Write implements io.Writer, and never fails.
func (c *capture) Write(data []byte) (int, error) {
	fits := min(int64(len(data)), c.room)
	c.kept.Write(data[:fits])
	c.room -= fits
	c.truncated = c.truncated || fits < int64(len(data))
	return len(data), nil
}

// drain takes what is in the pipe, without waiting for more: on a busy machine the deadline may have passed before all that
// the command itself wrote was read.
func (c *capture) drain() {
	const pipeCapacity = 1 << 20
	raw, err := c.pipe.SyscallConn()
	if err != nil || c.pipe.SetReadDeadline(time.Time{}) != nil {
		return
	}
	data := make([]byte, pipeCapacity)
	_ = raw.Read(func(fd uintptr) bool {
		for read := 0; read < pipeCapacity; {
			n, err := unix.Read(int(fd), data)
			if n <= 0 || err != nil {
				break
			}
			_, _ = c.Write(data[:n])
			read += n
		}
		return true
	})
}

// expire sets when the reading ends at the latest. The command's own output is all in the pipe when the command has ended;
// only what it left running can still write, and would otherwise be waited for without end.
func (c *capture) expire(deadline time.Time) { _ = c.pipe.SetReadDeadline(deadline) }

func (c *capture) finish() {
	<-c.done
	_ = c.pipe.Close()
}

// fileSet opens several files, of which all are closed but those that are kept.
type fileSet struct {
	files []*os.File
	err   error
}

func (s *fileSet) add(file *os.File, err error) *os.File {
	if err != nil {
		s.err = errors.Join(s.err, err)
		return nil
	}
	s.files = append(s.files, file)
	return file
}

func (s *fileSet) memory(name string, content []byte) *os.File {
	return s.add(memoryFile(name, content))
}

func (s *fileSet) pipe() (reader, writer *os.File) {
	reader, writer, err := os.Pipe()
	if err != nil {
		s.err = errors.Join(s.err, err)
		return nil, nil
	}
	return s.add(reader, nil), s.add(writer, nil)
}

// reopen opens a file once more, for reading only.
func (s *fileSet) reopen(file *os.File) *os.File {
	if file == nil {
		return nil
	}
	return s.add(os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd())))
}

func (s *fileSet) keep(files ...*os.File) {
	for i, file := range s.files {
		for _, kept := range files {
			if file == kept {
				s.files[i] = nil
			}
		}
	}
}

func (s *fileSet) close() {
	for _, file := range s.files {
		if file != nil {
			_ = file.Close()
		}
	}
}
