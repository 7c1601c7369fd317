// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// machine is what the backend stands on: a runsc that works, and a state directory.
type machine struct {
	runsc   runsc
	store   store
	cgroups hierarchy
	relays  *relays
	// registries are those that may have any address (see registry.go).
	registries []string
}

// opener finds the machine when a call first needs it, and again until it is fit: an administrator who installs runsc need
// not restart the operator.
type opener struct {
	settings settings

	mu     sync.Mutex
	opened *machine
}

func (o *opener) machine(ctx context.Context) (*machine, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened != nil {
		return o.opened, nil
	}
	m, err := openMachine(ctx, o.settings, os.Geteuid())
	if err != nil {
		return nil, err
	}
	o.opened = m
	return m, nil
}

// openMachine checks what the machine must have. Each error says what to do about it.
func openMachine(ctx context.Context, s settings, euid int) (*machine, error) {
	if euid != 0 {
		return nil, fmt.Errorf("gVisor sandboxes need root, and this operator runs as user %d; start it as root", euid)
	}
	path, err := findRunsc(s.runsc)
	if err != nil {
		return nil, err
	}
	program, err := probeRunsc(ctx, path)
	if err != nil {
		return nil, err
	}
	if _, err := exec.LookPath(hostShell); err != nil {
		return nil, fmt.Errorf("this machine has no %s, which starts the sandboxes; install a POSIX shell", hostShell)
	}
	st, err := openStore(s.root)
	if err != nil {
		return nil, fmt.Errorf("the state directory can't be used: %w; name another with --local-root", err)
	}
	m := &machine{
		runsc: program, store: st, cgroups: openHierarchy(), relays: relaysOf(st.root), registries: s.trustedRegistries(),
	}
	m.reopenRelays(ctx)
	return m, nil
}

// findRunsc returns the absolute path of a runsc that can work.
func findRunsc(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", fmt.Errorf("the runsc program of gVisor was not found as %q; install it (https://gvisor.dev/docs/user_guide/install), "+
			"and put it in the operator's PATH or name it with --local-runsc or %s", name, runscVariable)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	static, err := isStatic(path)
	if err != nil {
		return "", fmt.Errorf("%s can't be read as a program: %w; install runsc anew", path, err)
	}
	if !static {
		return "", fmt.Errorf("%s is dynamically linked, and runsc starts itself again in an empty root directory; "+
			"install an official release, or build it with CGO_ENABLED=0", path)
	}
	return path, nil
}

// isStatic says whether the program runs without an interpreter. Scripts, such as wrappers around runsc, count as static.
func isStatic(path string) (bool, error) {
	file, err := elf.Open(path)
	if _, ok := errors.AsType[*elf.FormatError](err); ok {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	for _, header := range file.Progs {
		if header.Type == elf.PT_INTERP {
			return false, nil
		}
	}
	return true, nil
}
