// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/wrapper"
)

// RunCommand implements backends.Backend, in one exec.
//
// An exec has no environment, working directory, user or time limit of its own; when the connection breaks the process goes on; and it
// ends only when all that the command left running has let go of the streams. So a shell runs the command (package wrapper). Its text,
// with environment and arguments, travels on standard input: what an exec is called with is part of a URL, which servers log.
func (b *backend) RunCommand(ctx context.Context, id string, command backends.Command) (backends.Result, error) {
	who, err := b.identify(operationRun, id)
	if err != nil {
		return backends.Result{}, err
	}
	if err := wrapper.Check(command); err != nil {
		return backends.Result{}, invalid(operationRun, "%w", err)
	}
	c := newCall(command, who.uid)
	err = b.carry(ctx, who.name, c)
	switch {
	case c.Reported():
		return b.reported(ctx, id, c)
	case ctx.Err() != nil:
		return backends.Result{}, ambiguous("the call ended before the command: %w", ctx.Err())
	case !c.began && b.hasNoShell(ctx, who.name, err):
		return b.withoutShell(ctx, id, command)
	}
	return backends.Result{}, b.cutOff(ctx, id, c, err)
}

// hasNoShell says whether the shell was missing, by the error with which it was started. A server that can't start what it is asked to
// start ends a connection on which input is still coming, which may reset it: then the reason is lost on its way, and looks like
// success. So a shell that does nothing is asked for, to which no input comes.
func (b *backend) hasNoShell(ctx context.Context, pod string, err error) bool {
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		err = b.stream(ctx, pod, []string{"/bin/sh", "-c", ":"}, streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	}
	return err != nil && isShellMissing(err.Error())
}

// call is one command on its way.
type call struct {
	*wrapper.Wrapped
	sentinel string
	text     []byte
	// mutex guards what the two streams bring; whole is closed once both have brought all, and nothing is taken when it is over.
	mutex sync.Mutex
	whole chan struct{}
	over  bool
	// began says that the shell has the whole text; ready is closed then.
	began bool
	ready chan struct{}
}

// newCall returns the call of a command in the pod with this UID; "" = in whichever it is.
func newCall(command backends.Command, uid string) *call {
	c := &call{Wrapped: wrapper.New(command), sentinel: rand.Text(), ready: make(chan struct{}), whole: make(chan struct{})}
	c.Guard = guard(command, uid)
	c.text = []byte(c.Text() + "\n#" + c.sentinel)
	return c
}

// The reports of a command that was not started.
const (
	reportStranger  = "stranger"
	reportUser      = "user"
	reportDirectory = "cwd"
)

// guard refuses a command that has come to another pod, or that asks for what an exec does not have.
func guard(command backends.Command, uid string) string {
	var text strings.Builder
	text.WriteString(drain)
	if uid != "" {
		fmt.Fprintf(&text, "[ \"${%s-}\" = %s ] || finish %s\n", uidVariable, backends.Quote(uid), reportStranger)
	}
	fmt.Fprintf(&text, "unset %s\n", uidVariable)
	if command.User != "" {
		name, _, _ := strings.Cut(command.User, ":")
		fmt.Fprintf(&text, "[ \"$(id -un)\" = %[1]s ] || [ \"$(id -u)\" = %[1]s ] || finish %[2]s\n", backends.Quote(name), reportUser)
	}
	if command.WorkingDir != "" {
		fmt.Fprintf(&text, "cd -- %s || finish %s\n", backends.Quote(command.WorkingDir), reportDirectory)
	}
	return text.String()
}

// drain reads what the command left of its input, when all is said: a server that ends a connection on which something is still coming
// resets it, and what the command printed may be lost on its way.
const drain = "trap 'cat <&6 >/dev/null 2>&1 || while read -r _ <&6; do :; done' EXIT\n"

// The exit codes of the boot script.
const (
	exitNotWhole = 93
	exitNoHead   = 94
)

// bootScript reads so many bytes of text, and says with one byte that it has them: only then does the command's input come, as head may
// read ahead. Text that was cut on its way is not evaluated.
const bootScript = `command -v head >/dev/null 2>&1 || exit 94
t=$(head -c "$1")
case $t in *"#$2") printf + && eval "$t" ;; *) exit 93 ;; esac`

func (c *call) argv() []string {
	return []string{"/bin/sh", "-c", bootScript, "sh", strconv.Itoa(len(c.text)), c.sentinel}
}

// input is what goes to the shell.
func (c *call) input(ctx context.Context) io.Reader {
	return io.MultiReader(bytes.NewReader(c.text), &delayed{ctx: ctx, after: c.ready, reader: bytes.NewReader(c.Command.Stdin)})
}

// delayed reads nothing before it may.
type delayed struct {
	ctx    context.Context //nolint:containedctx // a reader has no other place for it
	after  <-chan struct{}
	reader io.Reader
}

func (d *delayed) Read(p []byte) (int, error) {
	select {
	case <-d.after:
		return d.reader.Read(p)
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

// drainTime is how long the end of the connection is awaited after the end of the command: then client-go is done with it at once. What the
// command left running may hold it open for ever.
const drainTime = 100 * time.Millisecond

// sink is one of the two streams.
type sink struct {
	call    *call
	capture *wrapper.Capture
	first   bool
}

// Write implements io.Writer. The first byte of standard output is the boot script's.
func (s *sink) Write(data []byte) (int, error) {
	size := len(data)
	s.call.mutex.Lock()
	defer s.call.mutex.Unlock()
	if s.call.over {
		return size, nil
	}
	if s.first && size > 0 {
		s.first, s.call.began = false, true
		close(s.call.ready)
		data = data[1:]
	}
	s.capture.Take(data)
	if s.call.Reported() {
		s.call.over = true
		close(s.call.whole)
	}
	return size, nil
}

// close has nothing more be written: the call's results are read from now on.
func (c *call) close() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.over = true
}

// carry runs the call, and returns when both streams have ended, or the connection has. A connection whose command has ended is left to
// end by itself for a moment: the result does not wait for that.
func (b *backend) carry(ctx context.Context, pod string, c *call) error {
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		defer disconnect()
		ended <- b.stream(connected, pod, c.argv(), streams{
			in: c.input(connected), out: &sink{call: c, capture: c.Stdout, first: true}, err: &sink{call: c, capture: c.Stderr},
		})
	}()
	select {
	case <-c.whole:
		time.AfterFunc(drainTime, disconnect)
		return nil
	case err := <-ended:
		c.close()
		return err
	case <-ctx.Done():
		c.close()
		disconnect()
		return ctx.Err()
	}
}

// reported reads what the script said.
func (b *backend) reported(ctx context.Context, id string, c *call) (backends.Result, error) {
	if result, ok := c.Result(); ok {
		return result, nil
	}
	switch c.Stdout.Report() {
	case reportStranger:
		return b.runAdopted(ctx, id, c.Command)
	case reportUser:
		return backends.Result{}, aboutOne(backends.Errorf(backends.Unsupported, Name, operationRun,
			"a pod runs commands as its own user only: set user in the Sandbox's spec"))
	case reportDirectory:
		return backends.Result{}, invalid(operationRun, "the working directory %q does not exist in the sandbox, or can't be entered",
			backends.Bounded(c.Command.WorkingDir, 256))
	}
	return backends.Result{}, ambiguous("the command's shell said something unreadable")
}

// runAdopted runs a command in a pod that was not made here, and does not know its UID, after a look at it.
func (b *backend) runAdopted(ctx context.Context, id string, command backends.Command) (backends.Result, error) {
	pod, err := b.read(ctx, operationRun, id)
	if err != nil {
		return backends.Result{}, err
	}
	c := newCall(command, "")
	err = b.carry(ctx, pod.Name, c)
	switch {
	case c.Reported():
		return b.reported(ctx, id, c)
	case ctx.Err() != nil:
		return backends.Result{}, ambiguous("the call ended before the command: %w", ctx.Err())
	}
	return backends.Result{}, b.cutOff(ctx, id, c, err)
}

func ambiguous(format string, args ...any) *backends.Error {
	return aboutOne(backends.Errorf(backends.Ambiguous, Name, operationRun, format, args...))
}

// lookTime bounds the look at a pod after something went wrong.
const lookTime = 10 * time.Second

// cutOff says what it means that the connection ended without a report. What the API server says of an exec has no type, so the pod is
// asked.
func (b *backend) cutOff(ctx context.Context, id string, c *call, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	pod, lookErr := b.read(ctx, operationRun, id)
	if c.began {
		return ambiguous("%s", whyCut(pod, lookErr))
	}
	exit, exited := errors.AsType[utilexec.CodeExitError](err)
	switch {
	case errors.Is(lookErr, backends.NotFound), errors.Is(lookErr, backends.Invalid):
		return lookErr
	case exited && exit.Code == exitNoHead:
		return aboutOne(backends.Errorf(backends.Unsupported, Name, operationRun,
			"commands need head in the sandbox: use an image with coreutils or BusyBox"))
	case exited && exit.Code == exitNotWhole:
		return aboutOne(backends.Errorf(backends.Unavailable, Name, operationRun, "the command did not arrive whole; nothing was started"))
	}
	if lookErr == nil {
		if state, why := observe(pod, time.Now(), b.options.startDeadline()); state != backends.StateRunning {
			if why == "" {
				why = "its pod has not started yet"
			}
			if err != nil && !neverBegan(err) && pod.Status.StartTime != nil && state == backends.StateStopped {
				return ambiguous("the sandbox ended while the command was started: %s", why)
			}
			return notRunning(operationRun, why)
		}
	}
	return b.execTrouble(err)
}

// whyCut says what became of a pod whose connection was cut.
func whyCut(pod *corev1.Pod, err error) string {
	switch {
	case errors.Is(err, backends.NotFound):
		return "the sandbox was destroyed while the command ran"
	case err != nil:
		return "the connection to the sandbox was lost while the command ran"
	}
	if state, why := observe(pod, time.Now(), 0); state == backends.StateStopped {
		return "the sandbox ended while the command ran: " + why
	}
	return "the connection to the sandbox was lost while the command ran, or the shell that watches it was killed"
}

// withoutShell runs a command in an image that has no shell, where nothing else is asked than to run it.
func (b *backend) withoutShell(ctx context.Context, id string, command backends.Command) (backends.Result, error) {
	if program := command.Argv[0]; program == "/bin/sh" || program == "sh" {
		return backends.Result{ExitCode: exitMissing, Stderr: []byte(program + ": not found\n")}, nil
	}
	if len(command.Env) > 0 || command.WorkingDir != "" || command.User != "" || command.Timeout > 0 {
		return backends.Result{}, aboutOne(backends.Errorf(backends.Unsupported, Name, operationRun,
			"the sandbox's image has no /bin/sh, so a command can have no environment, working directory, user or time limit of its own: "+
				"leave them out (timeoutSeconds: 0), or use another image"))
	}
	pod, err := b.read(ctx, operationRun, id)
	if err != nil {
		return backends.Result{}, err
	}
	return b.runBare(ctx, pod, command)
}

// The exit codes of shells for programs that can't be run.
const (
	exitMissing       = 127
	exitNotExecutable = 126
)

// runBare runs a command by an exec as it is.
func (b *backend) runBare(ctx context.Context, pod *corev1.Pod, command backends.Command) (backends.Result, error) {
	out, errs := &bounded{Kept: wrapper.NewKept(command.OutputLimit)}, &bounded{Kept: wrapper.NewKept(command.OutputLimit)}
	err := b.stream(ctx, pod.Name, command.Argv, streams{in: bytes.NewReader(command.Stdin), out: out, err: errs})
	result := backends.Result{}
	exit, exited := errors.AsType[utilexec.CodeExitError](err)
	switch {
	case ctx.Err() != nil:
		return result, ambiguous("the call ended before the command: %w", ctx.Err())
	case exited:
		result.ExitCode = exit.Code
	case err != nil && neverBegan(err) && isMissing(err.Error(), command.Argv[0]):
		return backends.Result{ExitCode: exitMissing, Stderr: []byte(command.Argv[0] + ": not found\n")}, nil
	case err != nil && neverBegan(err) && strings.Contains(err.Error(), "permission denied"):
		return backends.Result{ExitCode: exitNotExecutable, Stderr: []byte(command.Argv[0] + ": permission denied\n")}, nil
	case err != nil:
		return result, b.execTrouble(err)
	}
	result.Stdout, result.StdoutTruncated = out.Bytes, out.Truncated
	result.Stderr, result.StderrTruncated = errs.Bytes, errs.Truncated
	if exited && exit.Code == exitKilled {
		// So it looks as well when the pod is being ended.
		if now, err := b.read(ctx, operationRun, identityOf(pod).String()); err != nil || now.DeletionTimestamp != nil {
			return backends.Result{}, ambiguous("%s", whyCut(now, err))
		}
	}
	return result, nil
}

const exitKilled = 137

// bounded keeps what fits of a stream that ends by itself.
type bounded struct{ wrapper.Kept }

// Write implements io.Writer.
func (k *bounded) Write(data []byte) (int, error) {
	k.Keep(data)
	return len(data), nil
}
