// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/sandbox-operator/sandbox-operator/internal/backends/e2b/envd"
)

const (
	// chunk is the most of a stream that one message has, in bytes.
	chunk = 32 << 10
	// remembered is how long the end of a process is known after it.
	remembered = 30 * time.Second
	// keepalive is how often a silent stream says that it lives.
	keepalive = 90 * time.Second
)

// processes are those of one sandbox that calls have started, those among them that ended a moment ago as well.
type processes struct {
	mutex sync.Mutex
	all   []*process
}

func (p *processes) add(started *process) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	// A process ID is used again sooner or later.
	p.all = slices.DeleteFunc(p.all, func(other *process) bool { return other.pid == started.pid })
	p.all = append(p.all, started)
}

func (p *processes) drop(ended *process) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.all = slices.DeleteFunc(p.all, func(other *process) bool { return other == ended })
}

// find returns a process that runs, or else, where asked for, one that ended a moment ago.
func (p *processes) find(selector *envd.ProcessSelector, ended bool) (*process, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	i := slices.IndexFunc(p.all, func(candidate *process) bool {
		_, byTag := selector.GetSelector().(*envd.ProcessSelector_Tag)
		same := !byTag && candidate.pid == selector.GetPid() ||
			byTag && candidate.tag != nil && *candidate.tag == selector.GetTag()
		return same && (ended || !candidate.isOver())
	})
	if i < 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("process with pid %d not found: %w", selector.GetPid(), errNoProcess))
	}
	return p.all[i], nil
}

// process is one that a call started.
type process struct {
	pid    uint32
	config *envd.ProcessConfig
	tag    *string
	cmd    *exec.Cmd

	stdinMutex sync.Mutex
	stdin      io.WriteCloser

	mutex     sync.Mutex
	listeners []*listener
	// over is closed after all output was given to who listened; end is set by then.
	over chan struct{}
	end  *envd.ProcessEvent_EndEvent
}

// listener is a call that is given the output.
type listener struct {
	output chan *envd.ProcessEvent_DataEvent
	gone   chan struct{}
}

func (p *process) isOver() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

func (p *process) listen() *listener {
	l := &listener{output: make(chan *envd.ProcessEvent_DataEvent, 64), gone: make(chan struct{})}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.listeners = append(p.listeners, l)
	return l
}

func (p *process) leave(l *listener) {
	close(l.gone)
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.listeners = slices.DeleteFunc(p.listeners, func(other *listener) bool { return other == l })
}

// read gives a stream to who listens. What nobody listens to is lost.
func (p *process) read(stream io.Reader, wrap func([]byte) *envd.ProcessEvent_DataEvent) {
	buffer := make([]byte, chunk)
	for {
		n, err := stream.Read(buffer)
		if n > 0 {
			p.mutex.Lock()
			listeners := slices.Clone(p.listeners)
			p.mutex.Unlock()
			for _, l := range listeners {
				select {
				case l.output <- wrap(slices.Clone(buffer[:n])):
				case <-l.gone:
				}
			}
		}
		if err != nil {
			return
		}
	}
}

func onStdout(content []byte) *envd.ProcessEvent_DataEvent {
	return &envd.ProcessEvent_DataEvent{Output: &envd.ProcessEvent_DataEvent_Stdout{Stdout: content}}
}

func onStderr(content []byte) *envd.ProcessEvent_DataEvent {
	return &envd.ProcessEvent_DataEvent{Output: &envd.ProcessEvent_DataEvent_Stderr{Stderr: content}}
}

// startProcess runs a program, and tells of it until all that hold its streams have let go. The process goes on when nobody
// listens any more.
func (c *Cloud) startProcess(
	ctx context.Context, request *connect.Request[envd.StartRequest], stream *connect.ServerStream[envd.StartResponse],
) error {
	if request.Msg.Pty != nil {
		return connect.NewError(connect.CodeUnimplemented, errors.New("this fake has no terminals"))
	}
	s := sandboxOf(ctx)
	m, err := machineOf(ctx)
	if err != nil {
		return err
	}
	p, streams, err := m.prepare(ctx, s, request.Msg)
	if err != nil {
		return err
	}
	l := p.listen()
	defer p.leave(l)
	if err := m.start(p.cmd); err != nil {
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("error starting process '%s': %w", p.config.GetCmd(), err))
	}
	streams.started()
	p.pid = uint32(p.cmd.Process.Pid)
	s.processes.add(p)
	// The time given to the call is the process's, also when nobody listens any more. Its children have none.
	if ms, err := strconv.Atoi(request.Header().Get("Connect-Timeout-Ms")); err == nil && ms > 0 {
		timer := time.AfterFunc(time.Duration(ms)*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
		go func() {
			<-p.over
			timer.Stop()
		}()
	}
	go p.wait(&s.processes, streams)
	return p.tell(ctx, l, func(event *envd.ProcessEvent) error { return stream.Send(&envd.StartResponse{Event: event}) })
}

// wait reads the streams to their ends, and then the exit status.
func (p *process) wait(all *processes, streams *streams) {
	var readers sync.WaitGroup
	readers.Go(func() { p.read(streams.stdout, onStdout) })
	readers.Go(func() { p.read(streams.stderr, onStderr) })
	readers.Wait()
	err := p.cmd.Wait()
	streams.close()
	state := p.cmd.ProcessState
	p.end = &envd.ProcessEvent_EndEvent{ExitCode: int32(state.ExitCode()), Exited: state.Exited(), Status: state.String()}
	if err != nil {
		p.end.Error = new(err.Error())
	}
	close(p.over)
	time.AfterFunc(remembered, func() { all.drop(p) })
}

// tell sends what happens to a process until its end.
func (p *process) tell(ctx context.Context, l *listener, send func(*envd.ProcessEvent) error) error {
	start := &envd.ProcessEvent_StartEvent{Pid: p.pid}
	if err := send(&envd.ProcessEvent{Event: &envd.ProcessEvent_Start{Start: start}}); err != nil {
		return err
	}
	ticker := time.NewTicker(keepalive)
	defer ticker.Stop()
	over := p.over
	for {
		var event *envd.ProcessEvent
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			event = &envd.ProcessEvent{Event: &envd.ProcessEvent_Keepalive{Keepalive: &envd.ProcessEvent_KeepAlive{}}}
		case data := <-l.output:
			event = &envd.ProcessEvent{Event: &envd.ProcessEvent_Data{Data: data}}
		case <-over:
			// What it printed last may still be waiting here.
			over = nil
			continue
		case <-nothingLeft(over, l):
			return send(&envd.ProcessEvent{Event: &envd.ProcessEvent_End{End: p.end}})
		}
		if err := send(event); err != nil {
			return err
		}
	}
}

// nothingLeft can be received from when the process is over, and all of its output is told.
func nothingLeft(over chan struct{}, l *listener) chan struct{} {
	if over != nil || len(l.output) > 0 {
		return nil
	}
	done := make(chan struct{})
	close(done)
	return done
}

func (c *Cloud) connectProcess(
	ctx context.Context, request *connect.Request[envd.ConnectRequest], stream *connect.ServerStream[envd.ConnectResponse],
) error {
	p, err := sandboxOf(ctx).processes.find(request.Msg.GetProcess(), true)
	if err != nil {
		return err
	}
	l := p.listen()
	defer p.leave(l)
	return p.tell(ctx, l, func(event *envd.ProcessEvent) error { return stream.Send(&envd.ConnectResponse{Event: event}) })
}

func (c *Cloud) listProcesses(ctx context.Context, _ *envd.ListRequest) (*envd.ListResponse, error) {
	all := &sandboxOf(ctx).processes
	all.mutex.Lock()
	defer all.mutex.Unlock()
	list := &envd.ListResponse{}
	for _, p := range all.all {
		if !p.isOver() {
			list.Processes = append(list.Processes, &envd.ProcessInfo{Config: p.config, Pid: p.pid, Tag: p.tag})
		}
	}
	return list, nil
}

func (p *process) write(content []byte) error {
	p.stdinMutex.Lock()
	defer p.stdinMutex.Unlock()
	if p.stdin == nil {
		return connect.NewError(connect.CodeInternal, errors.New("error writing to stdin: stdin not enabled or closed"))
	}
	if _, err := p.stdin.Write(content); err != nil {
		return connect.NewError(connect.CodeInternal, fmt.Errorf("error writing to stdin: %w", err))
	}
	return nil
}

func (c *Cloud) sendInput(ctx context.Context, request *envd.SendInputRequest) (*envd.SendInputResponse, error) {
	p, err := sandboxOf(ctx).processes.find(request.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	return &envd.SendInputResponse{}, p.write(request.GetInput().GetStdin())
}

func (c *Cloud) streamInput(
	ctx context.Context, stream *connect.ClientStream[envd.StreamInputRequest],
) (*connect.Response[envd.StreamInputResponse], error) {
	var p *process
	for stream.Receive() {
		message := stream.Msg()
		if start := message.GetStart(); start != nil {
			var err error
			if p, err = sandboxOf(ctx).processes.find(start.GetProcess(), false); err != nil {
				return nil, err
			}
		}
		if data := message.GetData(); data != nil && p != nil {
			if err := p.write(data.GetInput().GetStdin()); err != nil {
				return nil, err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return nil, connect.NewError(connect.CodeUnknown, fmt.Errorf("error streaming input: %w", err))
	}
	return connect.NewResponse(&envd.StreamInputResponse{}), nil
}

func (c *Cloud) closeStdin(ctx context.Context, request *envd.CloseStdinRequest) (*envd.CloseStdinResponse, error) {
	p, err := sandboxOf(ctx).processes.find(request.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	p.stdinMutex.Lock()
	defer p.stdinMutex.Unlock()
	if p.stdin != nil {
		_ = p.stdin.Close()
		p.stdin = nil
	}
	return &envd.CloseStdinResponse{}, nil
}

// sendSignal signals the first process alone, as envd does.
func (c *Cloud) sendSignal(ctx context.Context, request *envd.SendSignalRequest) (*envd.SendSignalResponse, error) {
	p, err := sandboxOf(ctx).processes.find(request.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	switch request.GetSignal() {
	case envd.Signal_SIGNAL_SIGKILL:
		err = p.cmd.Process.Kill()
	case envd.Signal_SIGNAL_SIGTERM:
		err = p.cmd.Process.Signal(syscall.SIGTERM)
	default:
		return nil, connect.NewError(connect.CodeUnimplemented, fmt.Errorf("invalid signal: %s", request.GetSignal()))
	}
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("error sending signal: %w", err))
	}
	return &envd.SendSignalResponse{}, nil
}

func (c *Cloud) update(context.Context, *envd.UpdateRequest) (*envd.UpdateResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errors.New("this fake has no terminals"))
}

// streams are the pipes of a process.
type streams struct {
	stdout, stderr *os.File
	theirs         []*os.File
}

// started closes the ends that are the process's.
func (s *streams) started() {
	for _, file := range s.theirs {
		_ = file.Close()
	}
}

func (s *streams) close() {
	_ = s.stdout.Close()
	_ = s.stderr.Close()
}

// prepare makes a process that is not started yet. The program is run by a shell, whose words and exit code a missing one gets.
func (m *machine) prepare(ctx context.Context, s *sandbox, request *envd.StartRequest) (*process, *streams, error) {
	config, user := request.GetProcess(), userOf(ctx)
	dir, err := m.workingDir(user, config.GetCwd())
	if err != nil {
		return nil, nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	cmd := &exec.Cmd{
		Path: "/bin/sh", Args: append([]string{"/bin/sh", "-c", `exec "$@"`, "--", config.GetCmd()}, config.GetArgs()...),
		Dir: dir, Env: environment(user, s.request.EnvVars, config.GetEnvs()),
	}
	m.runAs(cmd, user)
	p := &process{config: config, tag: request.Tag, cmd: cmd, over: make(chan struct{})}
	own := &streams{}
	pipe := func() (reader, writer *os.File) {
		r, w, pipeErr := os.Pipe()
		err = errors.Join(err, pipeErr)
		return r, w
	}
	var stdout, stderr *os.File
	own.stdout, stdout = pipe()
	own.stderr, stderr = pipe()
	cmd.Stdout, cmd.Stderr, own.theirs = stdout, stderr, []*os.File{stdout, stderr}
	if request.Stdin == nil || request.GetStdin() {
		reader, writer := pipe()
		cmd.Stdin, p.stdin, own.theirs = reader, writer, append(own.theirs, reader)
	}
	return p, own, err
}

func environment(user account, sandbox, own map[string]string) []string {
	env := []string{"PATH=" + usualPath, "HOME=" + user.home, "USER=" + user.name, "LOGNAME=" + user.name}
	for _, values := range []map[string]string{sandbox, own} {
		for key, value := range values {
			env = append(env, key+"="+value)
		}
	}
	return env
}

// resolve makes a path absolute: relative ones are of the user's home.
func (u account) resolve(name string) string {
	switch {
	case name == "" || name == "~":
		return u.home
	case len(name) > 1 && name[:2] == "~/":
		return path.Join(u.home, name[2:])
	case path.IsAbs(name):
		return name
	}
	return path.Join(u.home, name)
}
