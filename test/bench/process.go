// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that runs. Stop it.
type process struct {
	program string
	command *exec.Cmd
	// metrics is the address of its metrics endpoint; empty where it has none.
	metrics string
	// profiles is the address of its profiles; empty where it has none.
	profiles string
	// log is the file with what it says.
	log string
}

// run starts a program against the stage's API server.
func (s *Stage) run(program Program, arguments ...string) (*process, error) {
	p := &process{program: program.Name, log: filepath.Join(s.dir, program.Name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	arguments = append(append([]string{}, program.arguments...), arguments...)
	if program.Name != Floor {
		if p.metrics, err = freeAddress(); err != nil {
			return nil, err
		}
		if p.profiles, err = freeAddress(); err != nil {
			return nil, err
		}
		arguments = append(arguments, "--metrics-bind-address="+p.metrics, "--metrics-secure=false")
		if s.Profiles != "" {
			arguments = append(arguments, "--pprof-bind-address="+p.profiles)
		}
	}
	p.command = exec.Command(filepath.Join(s.dir, program.Name), arguments...) //nolint:noctx // stop ends it
	p.command.Env = append(os.Environ(), "KUBECONFIG="+s.plane.Kubeconfig)
	p.command.Stdout, p.command.Stderr = log, log
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p, p.command.Start()
}

func (p *process) profilesURL() *url.URL { return &url.URL{Scheme: "http", Host: p.profiles} }

// freeAddress is one of this machine at which nobody listens now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.command.Wait()
}

// costs are what a process has used so far.
type costs struct {
	cpu time.Duration
	// memory is what it has now, and peak the most that it had since resetPeak, in bytes.
	memory, peak int64
}

// tick is the kernel's unit of CPU time in /proc, on every architecture that Go runs on.
const tick = 10 * time.Millisecond

func (p *process) costs() (costs, error) {
	dir := fmt.Sprintf("/proc/%d/", p.command.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return costs{}, err
	}
	// The name in brackets may have spaces; user and system time are the 12th and 13th field after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var c costs
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return costs{}, err
		}
		c.cpu += time.Duration(ticks) * tick
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return costs{}, err
	}
	if c.memory, err = kilobytes(status, "VmRSS:"); err != nil {
		return c, err
	}
	c.peak, err = kilobytes(status, "VmHWM:")
	return c, err
}

// kilobytes reads a line of /proc/PID/status, as bytes.
func kilobytes(status []byte, name string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel says nothing of %s", name)
}

// resetPeak has the kernel count the peak of the memory from now on.
func (p *process) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.command.Process.Pid), []byte("5"), 0o200)
}
