// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/e2b/envd"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/wrapper"
)

const (
	operationRun = "run command"

	procedureStart  = "/process.Process/Start"
	procedureInput  = "/process.Process/StreamInput"
	procedureSignal = "/process.Process/SendSignal"

	// superuser is in every template.
	superuser = "root"

	// inputChunk is the most of the input that one message has, in bytes.
	inputChunk = 256 << 10
	// drainTime is how long the end of the call is awaited after the end of the command, so that its connection can be used
	// again. What the command left running may hold it open for ever.
	drainTime = 100 * time.Millisecond
	// inputGrace is how long a command may take to end after it stopped to take input.
	inputGrace = 5 * time.Second
	// killTime bounds the killing of a command.
	killTime = 10 * time.Second
	// spare is how much longer than its command envd lets the script live that watches it.
	spare = time.Minute
	// keepalive is how often envd says on a silent stream that it lives, in seconds.
	keepalive = "30"
)

// RunCommand implements backends.Backend.
//
// envd itself kills the first process alone when time is over, ends the streams only when all that the command left running has
// let go of them, and sends the arguments, environment and input that it is given to E2B's logs (the input of StreamInput excepted).
// So a script runs the command, to which environment and input come by StreamInput; see package wrapper.
func (b *backend) RunCommand(ctx context.Context, id string, command backends.Command) (backends.Result, error) {
	if err := wrapper.Check(command); err != nil {
		return backends.Result{}, invalid(operationRun, "%w", err)
	}
	return enter(ctx, b, operationRun, id, func(p place) (backends.Result, error) {
		user := command.User
		if user == "" {
			user = p.user
		}
		return b.runAs(ctx, p, operationRun, user, command)
	})
}

// runAs runs a command as a user; empty = the template's own.
func (b *backend) runAs(
	ctx context.Context, p place, operation, user string, command backends.Command,
) (backends.Result, error) {
	r := newRun(b, p, operation, user, command)
	result, err := r.run(ctx)
	if errors.Is(err, errNoDirectory) {
		if err := b.makeWorkingDir(ctx, p, operation); err != nil {
			return backends.Result{}, err
		}
		r = newRun(b, p, operation, user, command)
		result, err = r.run(ctx)
	}
	if err == nil && result.TimedOut && user != superuser {
		// The script kills what its own user may. What became another's, as by sudo, is left to root.
		_ = r.killTree(ctx)
	}
	return result, err
}

// makeWorkingDir makes the sandbox's own. Envd does so as root, and gives it to the user.
func (b *backend) makeWorkingDir(ctx context.Context, p place, operation string) error {
	_, err := fileCall[envd.MakeDirRequest, envd.MakeDirResponse](
		ctx, b, p, operation, "MakeDir", false, &envd.MakeDirRequest{Path: p.workingDir})
	e, ok := errors.AsType[*connect.Error](err)
	switch {
	case !ok:
		return err
	case e.Code() == connect.CodeAlreadyExists:
		return nil
	}
	return invalid(operation, "the sandbox's working directory %q can't be made: %s", backends.Bounded(p.workingDir, 256), e.Message())
}

// errNoDirectory: the sandbox's own working directory is missing, and the command's user may not make it. Nothing has run.
var errNoDirectory = errors.New("no working directory")

// run is one command in one sandbox.
type run struct {
	*wrapper.Wrapped
	backend         *backend
	place           place
	operation, user string
	// started is set when envd said that the script runs.
	started bool
	// inputErr is why the input did not arrive.
	inputErr atomic.Pointer[error]
}

func newRun(b *backend, p place, operation, user string, command backends.Command) *run {
	r := &run{Wrapped: wrapper.New(command), backend: b, place: p, operation: operation, user: user}
	if command.WorkingDir == "" {
		// The sandbox's own is made where it is missing, unlike one that the command names.
		r.Directory = p.workingDir
	}
	return r
}

// input is all that goes to the script's standard input.
func (r *run) input() []byte {
	settings := r.Settings()
	if len(settings)+len(r.Command.Stdin) == 0 {
		return nil
	}
	return slices.Concat(settings, []byte(r.Word()+"\n"), r.Command.Stdin)
}

func (r *run) request(hasInput bool) *connect.Request[envd.StartRequest] {
	config := &envd.ProcessConfig{Cmd: "/bin/sh", Args: slices.Concat([]string{"-c", r.Script(), "sh"}, r.Parameters(hasInput))}
	switch {
	case r.Command.WorkingDir != "":
		config.Cwd = &r.Command.WorkingDir
	case r.place.workingDir != "":
		// A home that is missing is no matter then.
		config.Cwd = new("/")
	}
	request := connect.NewRequest(&envd.StartRequest{Process: config, Stdin: new(hasInput)})
	r.setHeader(request.Header())
	if r.Command.Timeout > 0 {
		request.Header().Set("Connect-Timeout-Ms", strconv.FormatInt((r.Command.Timeout+spare).Milliseconds(), 10))
	}
	request.Header().Set("Keepalive-Ping-Interval", keepalive)
	return request
}

func (r *run) setHeader(header http.Header) {
	maps.Copy(header, r.place.header(daemonPort, r.user))
}

func (r *run) url(procedure string) string {
	return r.backend.options.daemon(r.place.id, r.place.domain) + procedure
}

// run starts the script, and listens until it has said how the command ended.
func (r *run) run(ctx context.Context) (backends.Result, error) {
	free, cancel := withoutDeadline(ctx)
	defer cancel()
	input := r.input()
	client := connect.NewClient[envd.StartRequest, envd.StartResponse](
		gate{r.backend.client, r.operation, true}, r.url(procedureStart), connect.WithProtoJSON())
	stream, err := client.CallServerStream(free, r.request(input != nil))
	if err != nil {
		return backends.Result{}, r.failed(ctx, err)
	}
	defer func() { _ = stream.Close() }()
	inputDone := r.listen(free, stream, input, cancel)
	result, ok := r.result()
	if !ok {
		err := r.failed(ctx, stream.Err())
		cancel()
		<-inputDone
		return backends.Result{}, err
	}
	// The rest of the stream is read, so that the connection can be used again; but not for long.
	drained := time.AfterFunc(drainTime, cancel)
	for stream.Receive() {
	}
	drained.Stop()
	cancel()
	<-inputDone
	if r.Stdout.Report() == "nodir" {
		e := backends.Errorf(backends.Invalid, Name, r.operation, "the sandbox's working directory %q can't be made or entered",
			backends.Bounded(r.place.workingDir, 256))
		e.Err = errNoDirectory
		return backends.Result{}, e
	}
	return result, nil
}

// listen reads the stream until both of the command's have ended, or it ends itself. The input is sent meanwhile; the channel that
// it returns is closed when nobody sends it any more.
func (r *run) listen(
	ctx context.Context, stream *connect.ServerStreamForClient[envd.StartResponse], input []byte, give context.CancelFunc,
) <-chan struct{} {
	done := make(chan struct{})
	sending := false
	for !r.Reported() && stream.Receive() {
		event := stream.Msg().GetEvent()
		r.Stdout.Take(event.GetData().GetStdout())
		r.Stderr.Take(event.GetData().GetStderr())
		if start := event.GetStart(); start != nil && !r.started {
			r.started = true
			if input != nil {
				sending = true
				go func() {
					defer close(done)
					r.feed(ctx, start.GetPid(), input, give)
				}()
			}
		}
	}
	if !sending {
		close(done)
	}
	return done
}

// feed sends the input. Where it can't be sent whole and the command does not end all the same, the call is given up: nobody must
// take a part for the whole.
func (r *run) feed(ctx context.Context, pid uint32, input []byte, giveUp context.CancelFunc) {
	client := connect.NewClient[envd.StreamInputRequest, envd.StreamInputResponse](
		gate{r.backend.client, r.operation, true}, r.url(procedureInput), connect.WithProtoJSON())
	err := sendInput(ctx, client, r, pid, input)
	if err == nil || ctx.Err() != nil {
		return
	}
	// Most often the command has ended, and only its last words are still on their way.
	select {
	case <-ctx.Done():
		return
	case <-time.After(inputGrace):
	}
	r.inputErr.Store(&err)
	_ = r.killTree(ctx)
	_, _ = invoke[envd.SendSignalRequest, envd.SendSignalResponse](ctx, r.backend, r.place,
		invocation{operation: r.operation, procedure: procedureSignal, user: r.user},
		&envd.SendSignalRequest{Process: byPID(pid), Signal: envd.Signal_SIGNAL_SIGKILL})
	giveUp()
}

func byPID(pid uint32) *envd.ProcessSelector {
	return &envd.ProcessSelector{Selector: &envd.ProcessSelector_Pid{Pid: pid}}
}

func sendInput(
	ctx context.Context, client *connect.Client[envd.StreamInputRequest, envd.StreamInputResponse], r *run, pid uint32, input []byte,
) error {
	stream := client.CallClientStream(ctx)
	r.setHeader(stream.RequestHeader())
	start := &envd.StreamInputRequest_StartEvent{Process: byPID(pid)}
	err := stream.Send(&envd.StreamInputRequest{Event: &envd.StreamInputRequest_Start{Start: start}})
	for chunk := range slices.Chunk(input, inputChunk) {
		if err != nil {
			break
		}
		data := &envd.StreamInputRequest_DataEvent{Input: &envd.ProcessInput{Input: &envd.ProcessInput_Stdin{Stdin: chunk}}}
		err = stream.Send(&envd.StreamInputRequest{Event: &envd.StreamInputRequest_Data{Data: data}})
	}
	// What was refused is said by the answer, not by Send.
	_, closeErr := stream.CloseAndReceive()
	return errors.Join(closeErr, err)
}

// result is what the script reported; false = it did not.
func (r *run) result() (backends.Result, bool) {
	if r.Reported() && r.Stdout.Report() == "nodir" {
		return backends.Result{}, true
	}
	return r.Result()
}

// failed says what it means that the script did not report.
func (r *run) failed(ctx context.Context, err error) error {
	ambiguous := func(format string, args ...any) error {
		e := backends.Errorf(backends.Ambiguous, Name, r.operation, format, args...)
		e.OfRequest = true
		return e
	}
	switch {
	case ctx.Err() != nil:
		return ambiguous("the call ended before the command: %w", ctx.Err())
	case r.inputErr.Load() != nil:
		return ambiguous("the command's input could not be sent whole, so it was killed: %s", wordsOf(*r.inputErr.Load()))
	case r.started && err == nil:
		return ambiguous("the shell that watches the command was killed in the sandbox")
	case r.started:
		return ambiguous("%s", r.whyCut(ctx))
	case err == nil:
		return ambiguous("the sandbox did not say that the command started")
	}
	if _, typed := errors.AsType[*backends.Error](err); typed {
		return daemonError(r.operation, err, true)
	}
	if connect.CodeOf(err) == connect.CodeInvalidArgument {
		return invalid(r.operation, "the command can't be started: %s", wordsOf(err))
	}
	return daemonError(r.operation, err, true)
}

// whyCut asks what became of a sandbox whose stream was cut.
func (r *run) whyCut(ctx context.Context) string {
	now, err := r.backend.look(ctx, r.operation, r.place.id)
	switch {
	case errors.Is(err, backends.NotFound):
		return "the sandbox ended while the command ran"
	case err == nil && now.State != "running":
		return "the sandbox was paused while the command ran"
	}
	return "the connection to the sandbox was lost while the command ran"
}

// killTree kills all that carries the command's marker, as root.
func (r *run) killTree(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	script := backends.KillTreeFunction + `tries=0
while kill_tree KILL "$1" "" && [ "$tries" -lt 200 ]; do tries=$((tries + 1)); done`
	_, err := newRun(r.backend, r.place, r.operation, superuser,
		backends.Command{Argv: []string{"/bin/sh", "-c", script, "sh", r.Marker()}}).run(ctx)
	return err
}
