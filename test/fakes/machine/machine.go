// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package machine gives the fakes of sandbox providers something that really runs commands: a throw-away Linux machine, which is
// a set of namespaces with a directory of this machine as its disk. Its processes see a root filesystem of their own with this
// machine's programs read-only in it, process IDs of their own, and no network but a loopback. It needs root.
//
// The first process of a machine is the very program that starts it, which runs a service that it was told beforehand: an agent,
// as providers have one in each sandbox. machine.go starts and ends machines, service.go is what runs in them, disk.go makes their
// root filesystem, tunnel.go leads to their ports, freeze.go holds their processes, and reap.go buries their orphans.
package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// Options say what a machine is like.
type Options struct {
	// Service is the name under which Serve registered what runs in it.
	Service string
	// Disk is a directory, which is made where it is missing, and kept. A machine that is started with it again has the same files.
	Disk string
	// Hostname is its name.
	Hostname string
	// User runs the service: root, or one of Users.
	User string
	// Env is the environment of the service, beside PATH and HOME.
	Env map[string]string
}

// Machine is one that runs.
type Machine struct {
	process *exec.Cmd
	dir     string
	ended   chan struct{}
}

const (
	tunnelFile = 3
	socketName = "tunnel"
)

// Start starts a machine. It returns before the service is there; Dial waits for that.
func Start(o Options) (*Machine, error) {
	if err := makeDisk(o); err != nil {
		return nil, fmt.Errorf("making the disk of a machine: %w", err)
	}
	// Paths of sockets must be short.
	dir, err := os.MkdirTemp("", "machine-")
	if err != nil {
		return nil, err
	}
	m := &Machine{dir: dir, ended: make(chan struct{})}
	if err := m.start(o); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a machine: %w", err), os.RemoveAll(dir))
	}
	return m, nil
}

func (m *Machine) start(o Options) error {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: m.socket()})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)
	defer func() { _ = listener.Close() }()
	file, err := listener.File()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	m.process = exec.Command("/proc/self/exe") //nolint:noctx // Stop ends it
	m.process.Args = []string{argument(o.Service), o.Disk, o.Hostname, o.User}
	m.process.Env = environment(o)
	m.process.ExtraFiles = []*os.File{file}
	m.process.Stderr = os.Stderr
	m.process.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL, Setsid: true,
	}
	if err := m.process.Start(); err != nil {
		return err
	}
	go func() {
		_ = m.process.Wait()
		close(m.ended)
	}()
	return nil
}

func (m *Machine) socket() string { return filepath.Join(m.dir, socketName) }

// environment is what processes of a machine begin with. Nothing of this machine's own is in it.
func environment(o Options) []string {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home(o.User), "USER=" + o.User, "LANG=C.UTF-8",
	}
	for name, value := range o.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// ErrRefused says that nothing listens at a port of a machine.
var ErrRefused = errors.New("nothing listens at this port of the machine")

// Dial connects to a port of the machine's loopback.
func (m *Machine) Dial(ctx context.Context, port int) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", m.socket())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	answer := [1]byte{}
	_, err = conn.Write(binary.BigEndian.AppendUint16(nil, uint16(port)))
	if err == nil {
		_, err = io.ReadFull(conn, answer[:])
	}
	if err == nil && answer[0] != 0 {
		err = fmt.Errorf("%w: %s", ErrRefused, strconv.Itoa(port))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Ended is closed when the machine has ended.
func (m *Machine) Ended() <-chan struct{} { return m.ended }

// Stop ends the machine with all that runs in it, at once. Its disk stays.
func (m *Machine) Stop() error {
	if err := m.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending a machine: %w", err)
	}
	<-m.ended
	return os.RemoveAll(m.dir)
}
