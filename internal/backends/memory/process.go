// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// killPatience bounds the killing of processes that won't die, such as those of another user.
const killPatience = 10 * time.Second

// killProcesses kills, until none is left, every process that has the marker in its environment, is in one of the sessions, or
// works in the directory (where one is given).
func killProcesses(marker, dir string, sessions ...int) {
	untilNone(func() bool { return signalOnce(syscall.SIGKILL, "ZX", marker, dir, sessions) })
}

// stopProcesses has the same processes stand still; all of them, although a running one may start others meanwhile. One in
// state D stops as soon as it can: a shell waits in it for a child that stopped before it became another program.
func stopProcesses(marker, dir string, sessions ...int) {
	untilNone(func() bool {
		signalOnce(syscall.SIGSTOP, "ZXTt", marker, dir, sessions)
		return signalOnce(0, "ZXTtD", marker, dir, sessions)
	})
}

func untilNone(found func() bool) {
	for end := time.Now().Add(killPatience); found() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// signalOnce signals the processes that are in none of the states, and says whether there was one. Signal 0 only looks.
func signalOnce(signal syscall.Signal, states, marker, dir string, sessions []int) (found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || !belongs(pid, states, marker, dir, sessions) {
			continue
		}
		found = syscall.Kill(pid, signal) == nil || found
	}
	return found
}

// belongs says whether a process is one of those, and in none of the states.
func belongs(pid int, states, marker, dir string, sessions []int) bool {
	process := filepath.Join("/proc", strconv.Itoa(pid))
	raw, err := os.ReadFile(filepath.Join(process, "stat"))
	if err != nil {
		return false
	}
	// The name may hold anything, so fields count from its last parenthesis: state, parent, group, session.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 4 || strings.Contains(states, fields[0]) {
		return false
	}
	if session, err := strconv.Atoi(fields[3]); err == nil && slices.Contains(sessions, session) {
		return true
	}
	if environment, err := os.ReadFile(filepath.Join(process, "environ")); err == nil &&
		slices.Contains(strings.Split(string(environment), "\x00"), marker) {
		return true
	}
	workingDir, err := os.Readlink(filepath.Join(process, "cwd"))
	return err == nil && dir != "" && within(dir, workingDir)
}

// stream collects what a command writes to one of its streams, and goes on to read and drop what it leaves running writes
// there: a closed pipe would kill that.
type stream struct {
	file  *os.File
	limit int64

	// mu is held while a chunk is taken out of the pipe and kept, so that an empty pipe means that all is kept.
	mu        sync.Mutex
	buffer    []byte
	content   []byte
	truncated bool
	settled   bool
}

// pipeCapacity is Linux's: no more than this can be in the pipe when its writer ends.
const pipeCapacity = 64 << 10

// newStream returns the stream, and the end that the command writes to.
func newStream(limit int64) (*stream, *os.File, error) {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	file, end, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	return &stream{file: file, limit: limit, buffer: make([]byte, pipeCapacity)}, end, nil
}

func (s *stream) close() { _ = s.file.Close() }

// read reads until the last writer is gone or the stream is closed.
func (s *stream) read() {
	defer s.close()
	raw, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	for ended := false; !ended && err == nil; {
		err = raw.Read(func(fd uintptr) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			n := s.take(fd)
			ended = n == 0
			return n >= 0
		})
	}
}

// take moves one chunk from the pipe to the content; 0 = end of the stream, -1 = nothing there now. The mutex is held.
func (s *stream) take(fd uintptr) int {
	n, err := syscall.Read(int(fd), s.buffer)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return -1
	case err != nil || n <= 0:
		return 0
	}
	if chunk := s.buffer[:n]; !s.settled {
		if room := s.limit - int64(len(s.content)); int64(n) > room {
			chunk, s.truncated = chunk[:room], true
		}
		s.content = append(s.content, chunk...)
	}
	return n
}

// settle returns what the command's first process wrote, which has ended: all that is in the pipe by now. It can't wait for
// the end of the stream, which may be far, if the command left something running.
func (s *stream) settle() ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if raw, err := s.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			for taken := 0; taken < pipeCapacity; {
				n := s.take(fd)
				if n <= 0 {
					return
				}
				taken += n
			}
		})
	}
	s.settled = true
	return s.content, s.truncated
}
