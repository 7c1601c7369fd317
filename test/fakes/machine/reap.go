// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package machine

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// The first process of a machine inherits its orphans. Those that the service itself started are waited for by who started them.
var children struct {
	sync.Mutex
	own map[int]bool
}

// StartCommand is command.Start for services: call WaitCommand for each that it started.
func StartCommand(command *exec.Cmd) error {
	children.Lock()
	defer children.Unlock()
	if err := command.Start(); err != nil {
		return err
	}
	if children.own == nil {
		children.own = map[int]bool{}
	}
	children.own[command.Process.Pid] = true
	return nil
}

// WaitCommand is command.Wait.
func WaitCommand(command *exec.Cmd) error {
	err := command.Wait()
	children.Lock()
	defer children.Unlock()
	delete(children.own, command.Process.Pid)
	return err
}

// reapOrphans buries who died and has nobody else.
func reapOrphans() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	for range died {
		children.Lock()
		for _, pid := range zombies() {
			if !children.own[pid] {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
		children.Unlock()
	}
}

// zombies are the dead children of this process.
func zombies() []int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []int
	for _, file := range files {
		content, _ := os.ReadFile(file)
		// The name in parentheses may hold anything.
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && len(fields) > 1 && fields[0] == "Z" && fields[1] == "1" {
			found = append(found, pid)
		}
	}
	return found
}
