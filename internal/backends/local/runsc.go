// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// hostShell runs startScript.
const hostShell = "/bin/sh"

// runsc is the program, and what this build of it understands.
type runsc struct {
	program string
	// goferNamespace: it has the flag that gives each gofer a network namespace of its own. Without it newer builds leave
	// a mount in each state directory, which then can't be removed.
	goferNamespace bool
}

// probeRunsc finds out what the program understands, and thereby whether it is a runsc at all.
func probeRunsc(ctx context.Context, program string) (runsc, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	output, err := newCommand(ctx, program, "flags").CombinedOutput()
	if err != nil || !bytes.Contains(output, []byte("\n  -overlay2 ")) {
		return runsc{}, fmt.Errorf("%s is no usable runsc (%q says: %s); install a release of 2023 or later",
			program, "runsc flags", backends.Bounded(firstLine(output), 128))
	}
	return runsc{
		program:        program,
		goferNamespace: bytes.Contains(output, []byte("\n  -gofer-network-namespace ")),
	}, nil
}

func firstLine(output []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return line
}

// newCommand is a process of the machine with nothing of the operator's environment, which may hold secrets. It is not in the
// operator's process group: an interrupt typed at the operator's terminal is not for it.
func newCommand(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// stateFlag names the remote's state directory. Every process that belongs to a remote has it in its command line, which is
// how owns knows it.
func stateFlag(d remoteDir) string { return "--root=" + d.state() }

// startArguments make a detached sandbox from the bundle in d.
func (r runsc) startArguments(d remoteDir, rec record, platform string, disk int64) []string {
	overlay := "--overlay2=root:dir=" + string(d)
	if disk > 0 {
		overlay += fmt.Sprintf(",size=%d", disk)
	}
	args := []string{
		r.program, stateFlag(d), "--log=" + d.startLog(), "--log-format=json",
		"--network=sandbox", "--platform=" + platform, overlay,
	}
	if r.goferNamespace {
		args = append(args, "--gofer-network-namespace=new")
	}
	if rec.Cgroup == "" {
		args = append(args, "--ignore-cgroups")
	}
	return append(args, "run", "-detach", "-bundle", string(d), "-pid-file", d.sentry(), d.id())
}

// delete ends the sandbox and forgets it; a sandbox that runsc does not know is no error.
func (r runsc) delete(ctx context.Context, d remoteDir) error {
	return r.act(ctx, d, "delete", "-force")
}

// act runs a command of runsc's that takes a sandbox and says nothing.
func (r runsc) act(ctx context.Context, d remoteDir, command string, flags ...string) error {
	args := slices.Concat([]string{stateFlag(d), command}, flags, []string{d.id()})
	output, err := newCommand(ctx, r.program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("runsc %s: %s", command, d.redact(firstLine(output)))
	}
	return nil
}

// redact takes the machine's paths out of a message of runsc's.
func (d remoteDir) redact(message string) string {
	return backends.Bounded(strings.ReplaceAll(message, string(d)+"/", ""), 512)
}

// lastLogged returns the last message in a log of runsc's, which has only errors; "" when there is none.
func lastLogged(log []byte) string {
	var last string
	decoder := json.NewDecoder(bytes.NewReader(log))
	for {
		var entry struct {
			Msg string `json:"msg"`
		}
		if decoder.Decode(&entry) != nil {
			return last
		}
		last = entry.Msg
	}
}

// sandboxProcess returns the process ID in the file if that process lives and belongs to the remote, and 0 otherwise. A PID
// that the kernel has given to another process since does not count, nor does a zombie, which has no command line.
func sandboxProcess(d remoteDir, pidFile string) int {
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil || !owns(d, pid) {
		return 0
	}
	return pid
}

// owns says whether the process is one of the remote's.
func owns(d remoteDir, pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && slices.Contains(strings.Split(string(line), "\x00"), stateFlag(d))
}

// processes returns all processes of the machine that belong to the remote.
func (d remoteDir) processes() ([]int, error) {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscan(filepath.Base(entry), &pid); err == nil && pid != os.Getpid() && owns(d, pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// killProcesses ends all that belongs to the remote, and returns when it is gone.
func (d remoteDir) killProcesses(ctx context.Context) error {
	return poll(ctx, 5*time.Millisecond, func() (bool, error) {
		pids, err := d.processes()
		if err != nil {
			return false, err
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		return len(pids) == 0, nil
	})
}

// memoryFile is a file that has no name and never touches a disk. The child gets it by number, so that what is in it is on no
// command line.
func memoryFile(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), name)
	if _, err := file.WriteAt(content, 0); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
