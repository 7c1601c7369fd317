// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Freeze stops all processes of the machine where they are, and Thaw lets them go on.
func (m *Machine) Freeze() error { return m.signal(unix.SIGSTOP) }

// Thaw is the opposite of Freeze.
func (m *Machine) Thaw() error { return m.signal(unix.SIGCONT) }

// signal signals every process in the machine's namespace, and those that they start meanwhile.
func (m *Machine) signal(signal unix.Signal) error {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.process.Process.Pid))
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for again := true; again; {
		again = false
		links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
		for _, link := range links {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
			if in, err := os.Readlink(link); err != nil || in != namespace || seen[pid] {
				continue
			}
			if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			seen[pid], again = true, true
		}
	}
	return nil
}
