// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/node/orders"
)

// supervisor has the node's programs. As the first process it also inherits every process whose parent is gone, so one loop
// waits for all children, and nothing else does.
type supervisor struct {
	dir      string // the node's folder
	mutex    sync.Mutex
	programs map[string]*child
	children map[int]*child
}

type child struct {
	pid    int
	status syscall.WaitStatus
	ended  chan struct{} // closed when it was reaped
}

func newSupervisor(dir string) *supervisor {
	return &supervisor{dir: dir, programs: map[string]*child{}, children: map[int]*child{}}
}

func (s *supervisor) carryOut(order *orders.Order) ([]byte, error) {
	switch order.Do {
	case orders.Start:
		return nil, s.start(order)
	case orders.Run:
		return s.run(order.Command)
	case orders.Check:
		return nil, s.check(order.Name)
	case orders.Kill:
		return nil, s.kill(order.Name)
	case orders.KillOthers:
		s.killOthers(order.Names)
		return nil, nil
	case orders.Forward:
		return nil, forward(order.Address)
	}
	return nil, fmt.Errorf("unknown order %q", order.Do)
}

func (s *supervisor) start(order *orders.Order) error {
	log, err := os.OpenFile(order.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	started, err := s.launch(order.Command, log)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.programs[order.Name] = started
	return nil
}

func (s *supervisor) run(command []string) ([]byte, error) {
	output, err := os.CreateTemp(s.dir, "output-")
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = output.Close()
		_ = os.Remove(output.Name())
	}()
	ran, err := s.launch(command, output)
	if err != nil {
		return nil, err
	}
	<-ran.ended
	content, err := os.ReadFile(output.Name())
	if code := ran.status.ExitStatus(); err == nil && code != 0 {
		err = fmt.Errorf("%s ends with %d: %s", command[0], code, content)
	}
	return content, err
}

// launch starts a process. It holds the mutex meanwhile, so that the process is known when reap hears of its end.
func (s *supervisor) launch(command []string, output *os.File) (*child, error) {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	process, err := os.StartProcess(path, command, &os.ProcAttr{
		Files: []*os.File{null, output, output}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	c := &child{pid: process.Pid, ended: make(chan struct{})}
	s.children[c.pid] = c
	return c, process.Release()
}

// reap waits for children for ever.
func (s *supervisor) reap() {
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, syscall.SIGCHLD)
	for range deaths {
		for s.reapOne() {
		}
	}
}

func (s *supervisor) reapOne() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if c := s.children[pid]; c != nil {
		c.status = status
		close(c.ended)
		delete(s.children, pid)
	}
	return true
}

func (s *supervisor) check(name string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	c := s.programs[name]
	if c == nil {
		return fmt.Errorf("%s was not started", name)
	}
	select {
	case <-c.ended:
		return fmt.Errorf("%s has ended (exit code %d, signal %d)", name, c.status.ExitStatus(), c.status.Signal())
	default:
		return nil
	}
}

func (s *supervisor) kill(name string) error {
	s.mutex.Lock()
	c := s.programs[name]
	delete(s.programs, name)
	s.mutex.Unlock()
	if c == nil {
		return fmt.Errorf("no program %s was started", name)
	}
	select {
	case <-c.ended:
		return nil
	default:
	}
	err := syscall.Kill(-c.pid, syscall.SIGKILL)
	<-c.ended
	return err
}

// killOthers ends every process of the node but this one and the named programs, and returns when they are gone.
func (s *supervisor) killOthers(names []string) {
	spared := []int{1}
	s.mutex.Lock()
	for name, c := range s.programs {
		if slices.Contains(names, name) {
			spared = append(spared, c.pid)
		} else {
			delete(s.programs, name)
		}
	}
	s.mutex.Unlock()
	for killAllBut(spared) > 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// killAllBut returns how many processes it found that are not yet gone. A zombie is as good as gone.
func killAllBut(spared []int) int {
	folders, _ := filepath.Glob("/proc/[0-9]*")
	found := 0
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || slices.Contains(spared, pid) || isOver(folder) {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
		found++
	}
	return found
}

// isOver tells a process that is gone or a zombie, which has no command line left, and the kernel's threads, which never had one.
func isOver(folder string) bool {
	line, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	return err != nil || len(line) == 0
}

// forward serves the inherited listener, which is outside the node, until the node ends.
func forward(address string) error {
	listener, err := net.FileListener(os.NewFile(orders.ListenerFD, "listener"))
	if err != nil {
		return err
	}
	go func() {
		for {
			outside, err := listener.Accept()
			if err != nil {
				return
			}
			go connect(outside, address)
		}
	}()
	return nil
}

func connect(outside net.Conn, address string) {
	defer func() { _ = outside.Close() }()
	inside, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = inside.Close() }()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			if half, ok := pair[0].(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}
