// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/klog/v2"
	utilexec "k8s.io/utils/exec"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

// service is what runs in each machine, in the place of a container runtime: it starts the pod's first process and what exec asks for.
const (
	service   = "kubelet"
	agentPort = 10350
)

func init() { machine.Serve(service, agentPort, newAgent) }

// process is one to be started.
type process struct {
	Argv []string
	Dir  string
}

func newAgent() http.Handler {
	// What is wrong with a stream is the client's to notice.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /first", serveFirst)
	mux.HandleFunc("/exec", serveExec)
	return mux
}

// serveFirst runs the first process, and answers with its exit code when it has ended.
func serveFirst(w http.ResponseWriter, r *http.Request) {
	var first process
	if err := json.NewDecoder(r.Body).Decode(&first); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	command, err := first.command()
	if err == nil {
		err = machine.StartCommand(command)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	_ = machine.WaitCommand(command)
	fmt.Fprint(w, exitCode(command.ProcessState))
}

func (p process) command() (*exec.Cmd, error) {
	if len(p.Argv) == 0 {
		return nil, errors.New("no command specified")
	}
	found, err := exec.LookPath(p.Argv[0])
	if err != nil {
		what := "executable file not found in $PATH"
		if strings.Contains(p.Argv[0], "/") {
			what = "stat " + p.Argv[0] + ": no such file or directory"
		}
		return nil, fmt.Errorf("exec: %q: %s", p.Argv[0], what)
	}
	command := exec.Command(found) //nolint:noctx // it ends by itself, or with the machine
	command.Args, command.Dir = p.Argv, p.Dir
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return command, nil
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

const idleTimeout = 4 * time.Hour

// serveExec speaks what a kubelet speaks.
func serveExec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query := r.URL.Query()
	runs := executor{query.Get("dir"), query.Get("without"), query.Get("resets") == "true"}
	remotecommand.ServeExec(w, r, runs, "", "", "", query["command"], options,
		idleTimeout, time.Minute, remotecommand.SupportedStreamingProtocols)
}

// executor runs commands. As with a real runtime, a command goes on when its client is gone, and the call lasts until everybody has let go
// of the streams.
type executor struct {
	dir, without string
	resets       bool
}

// ExecInContainer implements remotecommand.Executor.
func (e executor) ExecInContainer(
	ctx context.Context, _, _, _ string, argv []string, in io.Reader, out, errs io.WriteCloser, _ bool,
	_ <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	command, err := process{Argv: argv, Dir: e.dir}.command()
	if e.without != "" && len(argv) > 0 && filepath.Base(argv[0]) == e.without {
		err = fmt.Errorf("exec: %q: stat %s: no such file or directory", argv[0], argv[0])
	}
	if err != nil && e.resets {
		if n, _ := io.ReadFull(in, make([]byte, 1)); n > 0 {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("failed to exec in container: failed to start exec \"0123456789abcdef0123456789abcdef\": "+
			"OCI runtime exec failed: exec failed: unable to start container process: %w: unknown", err)
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	var copies sync.WaitGroup
	stdout, outErr := sendTo(out, &copies)
	stderr, errErr := sendTo(errs, &copies)
	// With files of its own, waiting for the command is not waiting for its streams.
	command.Stdout, command.Stderr = stdout, stderr
	err = errors.Join(outErr, errErr)
	if err == nil {
		err = machine.StartCommand(command)
	}
	_, _ = stdout.Close(), stderr.Close()
	if err != nil {
		return fmt.Errorf("OCI runtime exec failed: %w", err)
	}
	go func() {
		_, _ = io.Copy(stdin, in)
		_ = stdin.Close()
	}()
	return finish(ctx, command, &copies)
}

// sendTo returns a pipe whose content goes to a stream.
func sendTo(to io.Writer, copies *sync.WaitGroup) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err == nil {
		copies.Go(func() { drain(reader, to) })
	}
	return writer, err
}

func drain(from *os.File, to io.Writer) {
	defer func() { _ = from.Close() }()
	_, _ = io.Copy(to, from)
	_, _ = io.Copy(io.Discard, from)
}

// finish waits for the command and its streams, or for the client to go.
func finish(ctx context.Context, command *exec.Cmd, copies *sync.WaitGroup) error {
	ended := make(chan struct{})
	go func() {
		_ = machine.WaitCommand(command)
		copies.Wait()
		close(ended)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
	}
	if code := exitCode(command.ProcessState); code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit status %d", code), Code: code}
	}
	return nil
}
