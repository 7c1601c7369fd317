// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Manager is a running manager.
type Manager struct {
	command *exec.Cmd
	ended   chan struct{}
	err     error
}

// StartOldManager starts another program than the manager of the current version, as [Bed.StartManager] starts that.
func (b *Bed) StartOldManager(program string) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.running != nil {
		return errors.New("a manager runs already")
	}
	var err error
	b.running, err = b.launch(program)
	return err
}

// StartManager starts the manager, and does not wait for it. Its log goes on where that of the one before it ended.
func (b *Bed) StartManager(arguments ...string) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.running != nil {
		return errors.New("a manager runs already")
	}
	var err error
	b.running, err = b.StartAnother(arguments...)
	return err
}

// StartAnother starts a manager beside the one of StartManager, if any; who calls it ends it.
func (b *Bed) StartAnother(arguments ...string) (*Manager, error) {
	return b.launch(b.program, arguments...)
}

func (b *Bed) launch(program string, arguments ...string) (*Manager, error) {
	log, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	return Launch(program, b.kubeconfig(), log, slices.Concat(b.arguments(), b.more, arguments)...)
}

// Launch starts a manager's program beside its log; who calls it ends it.
func Launch(program, kubeconfig string, log *os.File, arguments ...string) (*Manager, error) {
	command := exec.Command(program, arguments...) //nolint:noctx // it is ended by the process ID
	command.Dir = filepath.Dir(log.Name())
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	command.Stdout, command.Stderr = log, log
	// It does not outlive a test that is killed.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m := &Manager{command: command, ended: make(chan struct{})}
	started := make(chan error, 1)
	go m.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the manager: %w", err)
	}
	return m, nil
}

// run starts the manager and waits for its end, on a thread that lives as long: the signal comes when the thread dies that started it, and
// the backends' own work in a test ends threads.
func (m *Manager) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := m.command.Start()
	started <- err
	if err != nil {
		return
	}
	m.err = m.command.Wait()
	close(m.ended)
}

// Ended is closed when it has ended.
func (m *Manager) Ended() <-chan struct{} { return m.ended }

// PID is its process ID.
func (m *Manager) PID() int { return m.command.Process.Pid }

// Freeze stops it in the middle of whatever it does, and Thaw lets it go on.
func (m *Manager) Freeze() error { return m.command.Process.Signal(syscall.SIGSTOP) }

// Thaw lets it go on after Freeze.
func (m *Manager) Thaw() error { return m.command.Process.Signal(syscall.SIGCONT) }

// Kill ends it by SIGKILL: it can do nothing more. It returns when it is dead; one that has ended by itself is no error.
func (m *Manager) Kill() error {
	if err := m.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing the manager: %w", err)
	}
	<-m.ended
	return nil
}

// Stop asks it to end, waits until it has, and fails where it says that it failed.
func (m *Manager) Stop() error {
	if err := m.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the manager: %w", err)
	}
	select {
	case <-m.ended:
		return m.err
	case <-time.After(stopTime):
		return errors.Join(errors.New("the manager does not end when it is asked to"), m.command.Process.Kill())
	}
}

// Running is the manager of StartManager; nil = none runs.
func (b *Bed) Running() *Manager {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.running
}

func (b *Bed) arguments() []string {
	return []string{
		"--backends=local", "--local-root=" + b.localRoot(), "--local-runsc=" + b.runsc,
		"--local-registries=" + strings.Join(b.registries, ","),
		"--namespace=" + Namespace, "--provider-period=1s", "--health-probe-bind-address=0",
		"--zap-devel=false", "--zap-log-level=7",
	}
}

func (b *Bed) localRoot() string { return filepath.Join(b.dir, "l") }

func (b *Bed) logFile() string { return filepath.Join(b.dir, "manager.log") }

// KillManager ends the manager by SIGKILL: it can do nothing more. It returns when it is dead.
func (b *Bed) KillManager() error {
	p, err := b.takeManager()
	if err != nil {
		return err
	}
	return p.Kill()
}

// StopManager asks the manager to end. Where none runs, it does nothing.
func (b *Bed) StopManager() error {
	b.mutex.Lock()
	none := b.running == nil
	b.mutex.Unlock()
	if none {
		return nil
	}
	p, err := b.takeManager()
	if err != nil {
		return err
	}
	return unlessTerminated(p.Stop())
}

// unlessTerminated takes it for a clean end that a manager which had just been started was not yet ready to be asked.
func unlessTerminated(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
		return nil
	}
	return err
}

// takeManager forgets the running manager, and complains of one that ended by itself.
func (b *Bed) takeManager() (*Manager, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	p := b.running
	if p == nil {
		return nil, errors.New("no manager runs")
	}
	b.running = nil
	select {
	case <-p.ended:
		return nil, fmt.Errorf("the manager ended by itself (%w):\n%s", p.err, b.LogTail())
	default:
		return p, nil
	}
}

// Log is what all managers have logged.
func (b *Bed) Log() []byte {
	log, _ := os.ReadFile(b.logFile())
	return log
}

// LogTail is what matters at the end of it, for failure messages.
func (b *Bed) LogTail() string {
	const most, longest = 30, 600
	var lines []string
	for line := range bytes.Lines(b.Log()) {
		if !bytes.Contains(line, []byte(`"level":"Level(`)) {
			lines = append(lines, string(line[:min(longest, len(line))]))
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "")
}
