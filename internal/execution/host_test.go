// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// TestMain lets more tests run side by side than there are processors, as most of their time is waiting.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// hostSandbox runs commands on this machine with one of its shells in the place of /bin/sh.
type hostSandbox struct {
	root  string
	shell string // such as "/usr/bin/dash" or "/usr/bin/busybox sh"
	// path is the PATH of commands; empty means this process's own.
	path string
}

func (h hostSandbox) SpoolRoot() string { return h.root }

func (h hostSandbox) RunCommand(ctx context.Context, command backends.Command) (backends.Result, error) {
	argv := strings.Fields(h.shell)
	for _, word := range command.Argv[1:] {
		argv = append(argv, strings.ReplaceAll(word, "/bin/sh", h.shell))
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = h.root
	if h.path != "" {
		cmd.Env = []string{"PATH=" + h.path}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(command.Stdin), &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	return backends.Result{ExitCode: cmd.ProcessState.ExitCode(), Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}, err
}

// inEveryShell runs the test in each of this machine's shells that the runner promises to work with, and with a PATH that
// has no setsid.
func inEveryShell(t *testing.T, test func(t *testing.T, run Run)) {
	t.Helper()
	t.Parallel()
	shells := map[string]string{"dash": "dash", "bash": "bash --posix", "busybox": "busybox sh"}
	for name, shell := range shells {
		program, rest, _ := strings.Cut(shell, " ")
		path, err := exec.LookPath(program)
		if err != nil {
			t.Logf("%s is not on this machine", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRun(t, hostSandbox{shell: strings.TrimSpace(path + " " + rest)}))
		})
	}
	t.Run("without setsid", func(t *testing.T) {
		t.Parallel()
		test(t, newRun(t, hostSandbox{shell: "/bin/sh", path: pathWithout(t, "setsid")}))
	})
}

func newRun(t *testing.T, sandbox hostSandbox) Run {
	t.Helper()
	sandbox.root = filepath.Join(t.TempDir(), "spool")
	if err := os.MkdirAll(sandbox.root, 0o700); err != nil {
		t.Fatal(err)
	}
	run := Run{
		Sandbox: sandbox, Name: fmt.Sprintf("run-%d-%d", os.Getpid(), time.Now().UnixNano()),
		Stdout: Keep{Head: 8192, Tail: 8192}, Stderr: Keep{Head: 8192, Tail: 8192},
	}
	t.Cleanup(func() {
		//nolint:usetesting // the test's own context is over by now
		if _, err := run.Cancel(context.Background(), false); err != nil && !t.Failed() {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return run
}

// pathWithout makes a directory of links to all programs of /usr/bin but one.
func pathWithout(t *testing.T, missing string) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir("/usr/bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != missing {
			_ = os.Symlink("/usr/bin/"+entry.Name(), filepath.Join(dir, entry.Name()))
		}
	}
	return dir
}

func shellLine(line string) Program { return Program{Argv: []string{"sh", "-c", line}} }

func (r Run) mustStart(t *testing.T, program Program) Report {
	t.Helper()
	report, err := r.Start(t.Context(), program)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return report
}

// finish starts it and follows it to its end, which may come after the first call where the machine is busy.
func (r Run) finish(t *testing.T, program Program) Report {
	t.Helper()
	if report := r.mustStart(t, program); !isUnderWay(report.State) {
		return report
	}
	return r.follow(t)
}

// isUnderWay says that another state will follow.
func isUnderWay(state State) bool {
	return state == StateRunning || state == StateStarting || state == StateLost
}

// follow looks until the run is over.
func (r Run) follow(t *testing.T) Report {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		report, err := r.Look(t.Context())
		if err != nil {
			t.Fatalf("look: %v", err)
		}
		if !isUnderWay(report.State) {
			return report
		}
	}
	t.Fatal("the run does not end")
	return Report{}
}

func wantEnd(t *testing.T, report Report, code int, cause Cause) *End {
	t.Helper()
	if report.State != StateExited {
		t.Fatalf("state %q (%s %s), want exited", report.State, report.Reason, report.Message)
	}
	if report.End.ExitCode != code || report.End.Cause != cause {
		t.Fatalf("ended with %d by %s, want %d by %s; stderr: %s",
			report.End.ExitCode, report.End.Cause, code, cause, report.End.Stderr.Head)
	}
	return report.End
}

func wantOutput(t *testing.T, stream Stream, want string) {
	t.Helper()
	if string(stream.Head) != want || stream.Truncated || stream.Bytes != int64(len(want)) {
		t.Fatalf("stream is %q (%d bytes, truncated %t), want %q", stream.Head, stream.Bytes, stream.Truncated, want)
	}
}
