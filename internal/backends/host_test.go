// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// userland is a shell, and the directory of the tools that it finds.
type userland struct {
	name  string
	shell []string
	path  string
	// uid runs the commands; 0 = the test's own.
	uid uint32
}

// userlands returns those of the machine. Scripts for sandboxes must work in each.
func userlands(t *testing.T) []userland {
	t.Helper()
	var found []userland
	for _, name := range []string{"dash", "bash"} {
		if shell, err := exec.LookPath(name); err == nil {
			found = append(found, userland{name: name, shell: []string{shell}, path: os.Getenv("PATH")})
		}
	}
	if busybox, err := exec.LookPath("busybox"); err == nil {
		found = append(found, userland{name: "busybox", shell: []string{busybox, "sh"}, path: applets(t, busybox)})
	}
	if len(found) == 0 {
		t.Skip("needs dash, bash or busybox")
	}
	return found
}

// applets makes a directory with nothing but BusyBox's tools.
func applets(t *testing.T, busybox string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{
		"sh", "cat", "chmod", "grep", "head", "mkdir", "mv", "rm", "setsid", "sleep", "stat", "tr", "wc", "env", "ln",
	} {
		if err := os.Symlink(busybox, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// inEachUserland runs a test once for each shell and its tools.
func inEachUserland(t *testing.T, test func(t *testing.T, land userland)) {
	for _, land := range userlands(t) {
		t.Run(land.name, func(t *testing.T) { test(t, land) })
	}
}

func (u userland) command(ctx context.Context, script string, arguments ...string) *exec.Cmd {
	argv := append(append([]string{}, u.shell...), "-c", script, "sh")
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], arguments...)...)
	cmd.Env = []string{"PATH=" + u.path}
	return cmd
}

// scripts is a backend that can do nothing but run shell scripts on this machine.
type scripts struct {
	backends.Backend
	land userland
	// last is the latest command.
	last backends.Command
	// answer replaces the run.
	answer func(backends.Command) (backends.Result, error)
}

func (s *scripts) RunCommand(ctx context.Context, _ string, command backends.Command) (backends.Result, error) {
	s.last = command
	if s.answer != nil {
		return s.answer(command)
	}
	cmd := s.land.command(ctx, command.Argv[2], command.Argv[4:]...)
	cmd.Dir = command.WorkingDir
	cmd.Stdin = bytes.NewReader(command.Stdin)
	if s.land.uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.land.uid, Gid: s.land.uid}}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return backends.Result{}, err
	}
	limit := command.OutputLimit
	if limit == 0 {
		limit = backends.DefaultOutputLimit
	}
	result := backends.Result{ExitCode: cmd.ProcessState.ExitCode(), Stderr: stderr.Bytes(), Stdout: stdout.Bytes()}
	if int64(stdout.Len()) > limit {
		result.Stdout, result.StdoutTruncated = result.Stdout[:limit], true
	}
	return result, nil
}
