// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func newLimitedHost(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	if err := openHierarchy().check(); err != nil {
		t.Skip("this machine can't enforce limits: " + err.Error())
	}
	return h
}

func TestASandboxThatExceedsItsMemoryIsStoppedAndSaysWhy(t *testing.T) {
	g, h := NewWithT(t), newLimitedHost(t)
	asked := request("box")
	asked.Resources.MemoryBytes = 128 << 20
	id := h.create(asked).ID
	g.Expect(h.run(id, "true").ExitCode).To(BeZero())
	_, err := h.RunCommand(t.Context(), id, backends.Command{
		// tail keeps all of it, to know where it begins.
		Argv: []string{"/bin/sh", "-c", "head -c 400000000 /dev/zero | tail -c 300000000"},
	})
	g.Expect(err).To(MatchError(backends.Ambiguous))
	g.Expect(err).To(MatchError(ContainSubstring("out of memory")))
	remote, err := h.Get(t.Context(), id)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(remote.State).To(Equal(backends.StateStopped))
	g.Expect(remote.Reason).To(ContainSubstring("out of memory"))
	_, err = h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(MatchError(backends.NotRunning))
	g.Expect(h.Destroy(t.Context(), id)).To(Succeed())
	st, err := openStore(h.root)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(filepath.Glob(cgroupMount + "/*" + cgroupPath(st, id))).To(BeEmpty())
}

func TestASandboxGetsNoMoreCPUThanItMay(t *testing.T) {
	g, h := NewWithT(t), newLimitedHost(t)
	asked := request("box")
	asked.Resources.MilliCPU = 250
	id := h.create(asked).ID
	d := remoteDir(filepath.Join(h.root, sandboxesDir, id))
	used := func() time.Duration {
		var ticks int
		pids, err := d.processes()
		g.Expect(err).NotTo(HaveOccurred())
		for _, pid := range pids {
			stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
			fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			ticks += user + system
		}
		return time.Duration(ticks) * 10 * time.Millisecond
	}
	before, started := used(), time.Now()
	h.runCommand(id, backends.Command{
		Argv: []string{"/bin/sh", "-c", "while :; do :; done & while :; do :; done"}, Timeout: 2 * time.Second,
	})
	share := float64(used()-before) / float64(time.Since(started))
	g.Expect(share).To(BeNumerically("<", 0.40), "share of one CPU")
}

func TestWithoutCgroupsLimitsAreRefusedWithTheRemedy(t *testing.T) {
	g := NewWithT(t)
	g.Expect(hierarchy{mount: t.TempDir()}.check()).To(MatchError(And(
		ContainSubstring(`"cpu"`), ContainSubstring("write access to /sys/fs/cgroup"), ContainSubstring("leave out"))))
	v2 := hierarchy{mount: t.TempDir(), v2: true}
	g.Expect(v2.check()).To(MatchError(ContainSubstring("not usable")))
	g.Expect(os.WriteFile(v2.mount+"/cgroup.controllers", []byte("cpu io pids\n"), 0o600)).To(Succeed())
	g.Expect(v2.check()).To(MatchError(ContainSubstring(`"memory" is not available`)))
	g.Expect(os.WriteFile(v2.mount+"/cgroup.controllers", []byte("cpu io memory pids\n"), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(v2.mount+"/cgroup.subtree_control", nil, 0o600)).To(Succeed())
	g.Expect(v2.check()).To(Succeed())

	h := newHost(t)
	m, err := h.machine(t.Context(), "test")
	g.Expect(err).NotTo(HaveOccurred())
	m.cgroups = hierarchy{mount: t.TempDir()}
	asked := request("box")
	asked.Resources.MilliCPU = 500
	_, err = h.Create(t.Context(), asked)
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("limits can't be enforced on this machine")))
	g.Expect(h.List(t.Context(), backends.Filter{})).To(BeEmpty())
}

func TestCgroupVersionTwoFilesAreRead(t *testing.T) {
	g := NewWithT(t)
	h := hierarchy{mount: t.TempDir(), v2: true}
	own, err := hierarchy{v2: true}.cgroupOf(os.Getpid(), "memory")
	if err != nil {
		t.Skip("this machine has no version 2 hierarchy")
	}
	dir := filepath.Join(h.mount, own)
	g.Expect(os.MkdirAll(dir, 0o700)).To(Succeed())
	write := func(name, content string) {
		g.Expect(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)).To(Succeed())
	}
	write("memory.max", "134217728\n")
	write("cpu.max", "50000 100000\n")
	limits := backends.Resources{MilliCPU: 500, MemoryBytes: 128 << 20}
	g.Expect(h.verify(os.Getpid(), own, limits)).To(Succeed())
	write("cpu.max", "max 100000\n")
	g.Expect(h.verify(os.Getpid(), own, limits)).To(MatchError(ContainSubstring("cpu.max is max 100000")))
	g.Expect(h.verify(os.Getpid(), own+"/other", limits)).To(MatchError(ContainSubstring("not in its memory cgroup")))
	write("memory.events", "low 0\noom 1\noom_kill 1\n")
	g.Expect(h.outOfMemory(own)).To(BeTrue())
	write("memory.events", "low 0\noom 0\noom_kill 0\n")
	g.Expect(h.outOfMemory(own)).To(BeFalse())
}
