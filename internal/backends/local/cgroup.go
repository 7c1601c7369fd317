// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	// cgroupMount is where runsc looks, too.
	cgroupMount  = "/sys/fs/cgroup"
	cgroupParent = "/sandbox-operator"

	cpuPeriod = 100_000 // microseconds
	// minMilliCPU is what the kernel can enforce in one period (1 ms).
	minMilliCPU = 10
	// minMemoryBytes is what gVisor's own kernel and a shell need: with less, no sandbox would start.
	minMemoryBytes = 64 << 20
	minDiskBytes   = 1 << 20
)

// checkResources says what about a request can never work.
func checkResources(r backends.Resources) error {
	switch {
	case r.MilliCPU < 0 || r.MemoryBytes < 0 || r.DiskBytes < 0:
		return errors.New("resources are negative")
	case r.MilliCPU > 0 && r.MilliCPU < minMilliCPU:
		return fmt.Errorf("a cpu limit under %dm can't be enforced; ask for more", minMilliCPU)
	case r.MemoryBytes > 0 && r.MemoryBytes < minMemoryBytes:
		return fmt.Errorf("a memory limit under %d MiB leaves no room for gVisor itself; ask for more", minMemoryBytes>>20)
	case r.DiskBytes > 0 && r.DiskBytes < minDiskBytes:
		return fmt.Errorf("a disk limit under %d MiB can't be enforced; ask for more", minDiskBytes>>20)
	}
	return nil
}

// needsCgroup says whether something is to be limited that only cgroups can limit.
func needsCgroup(r backends.Resources) bool { return r.MilliCPU > 0 || r.MemoryBytes > 0 }

// cgroupPath is unique on the machine, though state directories may use the same ID.
func cgroupPath(s store, id string) string {
	sum := sha256.Sum256([]byte(s.root))
	return fmt.Sprintf("%s/%x-%s", cgroupParent, sum[:4], id)
}

func cgroupResources(r backends.Resources) *specs.LinuxResources {
	resources := &specs.LinuxResources{}
	if r.MilliCPU > 0 {
		quota, period := cpuQuota(r.MilliCPU), uint64(cpuPeriod)
		resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if r.MemoryBytes > 0 {
		resources.Memory = &specs.LinuxMemory{Limit: &r.MemoryBytes}
	}
	return resources
}

// cpuQuota is in microseconds of each cpuPeriod.
func cpuQuota(milliCPU int64) int64 { return milliCPU * cpuPeriod / 1000 }

// hierarchy reads and writes the machine's cgroups, whichever version they are.
type hierarchy struct {
	mount string
	v2    bool
}

func openHierarchy() hierarchy {
	var info unix.Statfs_t
	err := unix.Statfs(cgroupMount, &info)
	return hierarchy{mount: cgroupMount, v2: err == nil && info.Type == unix.CGROUP2_SUPER_MAGIC}
}

// check says why limits can't be enforced on this machine.
func (h hierarchy) check() error {
	const remedy = "give the operator write access to " + cgroupMount + ", or leave out cpu and memory in the sandbox's resources"
	if !h.v2 {
		for _, controller := range []string{"cpu", "memory"} {
			if err := unix.Access(filepath.Join(h.mount, controller), unix.W_OK); err != nil {
				return fmt.Errorf("the cgroup controller %q is not usable (%w); %s", controller, err, remedy)
			}
		}
		return nil
	}
	data, err := os.ReadFile(filepath.Join(h.mount, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("cgroups are not usable (%w); %s", err, remedy)
	}
	for _, controller := range []string{"cpu", "memory"} {
		if !slices.Contains(strings.Fields(string(data)), controller) {
			return fmt.Errorf("the cgroup controller %q is not available; %s", controller, remedy)
		}
	}
	if err := unix.Access(filepath.Join(h.mount, "cgroup.subtree_control"), unix.W_OK); err != nil {
		return fmt.Errorf("cgroups are read-only (%w); %s", err, remedy)
	}
	return nil
}

// file is a file of the cgroup, which in version 1 has one directory for each controller.
func (h hierarchy) file(controller, cgroup, name string) string {
	if h.v2 {
		return filepath.Join(h.mount, cgroup, name)
	}
	return filepath.Join(h.mount, controller, cgroup, name)
}

// verify checks that the limits hold for a process: runsc leaves a cgroup that was there before as it is.
func (h hierarchy) verify(pid int, cgroup string, r backends.Resources) error {
	if pid == 0 {
		return errors.New("the sandbox ended at once")
	}
	if r.MemoryBytes > 0 {
		name := "memory.limit_in_bytes"
		if h.v2 {
			name = "memory.max"
		}
		// The kernel rounds down to whole pages.
		wanted := r.MemoryBytes &^ int64(os.Getpagesize()-1)
		if err := h.verifyOne(pid, "memory", cgroup, name, strconv.FormatInt(wanted, 10)); err != nil {
			return err
		}
	}
	if r.MilliCPU > 0 {
		name, wanted := "cpu.cfs_quota_us", strconv.FormatInt(cpuQuota(r.MilliCPU), 10)
		if h.v2 {
			name, wanted = "cpu.max", fmt.Sprintf("%d %d", cpuQuota(r.MilliCPU), cpuPeriod)
		}
		return h.verifyOne(pid, "cpu", cgroup, name, wanted)
	}
	return nil
}

func (h hierarchy) verifyOne(pid int, controller, cgroup, name, wanted string) error {
	actual, err := h.cgroupOf(pid, controller)
	if err != nil {
		return err
	}
	if actual != cgroup {
		return fmt.Errorf("the sandbox is not in its %s cgroup", controller)
	}
	value, err := os.ReadFile(h.file(controller, cgroup, name))
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(value)); got != wanted {
		return fmt.Errorf("%s is %s and not %s", name, got, wanted)
	}
	return nil
}

// cgroupOf returns the process's cgroup for a controller.
func (h hierarchy) cgroupOf(pid int, controller string) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(strings.NewReader(string(data)))
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if h.v2 && fields[0] == "0" || !h.v2 && slices.Contains(strings.Split(fields[1], ","), controller) {
			return fields[2], nil
		}
	}
	return "", fmt.Errorf("process without a %s cgroup", controller)
}

// outOfMemory says whether the kernel has killed something in the cgroup for want of memory.
func (h hierarchy) outOfMemory(cgroup string) bool {
	if cgroup == "" {
		return false
	}
	name := "memory.oom_control"
	if h.v2 {
		name = "memory.events"
	}
	data, err := os.ReadFile(h.file("memory", cgroup, name))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return count != "0"
		}
	}
	return false
}

// remove removes the cgroup from all hierarchies. The kernel calls it busy for a moment after its last process has died.
func (h hierarchy) remove(ctx context.Context, cgroup string) error {
	if cgroup == "" {
		return nil
	}
	dirs := []string{filepath.Join(h.mount, cgroup)}
	if !h.v2 {
		found, err := filepath.Glob(filepath.Join(h.mount, "*", cgroup))
		if err != nil {
			return err
		}
		dirs = found
	}
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		busy := false
		for _, dir := range dirs {
			err := unix.Rmdir(dir)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if !errors.Is(err, unix.EBUSY) {
				return false, fmt.Errorf("removing the sandbox's cgroup: %w", err)
			}
			busy = true
		}
		return !busy, nil
	})
}

// poll calls done until it says so, fails, or ctx ends.
func poll(ctx context.Context, interval time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
