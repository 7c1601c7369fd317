// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestARemoteIsFoundByIDNameAndMarkUntilItIsDestroyed(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	asked := request("box-1")
	asked.Labels = map[string]string{"team": "blue"}
	made := h.create(asked)
	g.Expect(made.ID).To(Equal("box-1"))
	g.Expect(made.Mark).To(Equal(asked.Mark))
	g.Expect(made.Labels).To(Equal(asked.Labels))
	g.Expect(made.CreatedAt).To(BeTemporally("~", time.Now(), time.Minute))

	g.Expect(h.Get(t.Context(), "box-1")).To(Equal(made))
	g.Expect(h.FindByName(t.Context(), "box-1")).To(Equal(made))
	for filter, expected := range map[backends.Filter]int{
		{}:                             1,
		{Installation: "installation"}: 1,
		{UID: "uid-box-1"}:             1,
		{Installation: "other"}:        0,
		{Installation: "installation", UID: "uid-box-2"}: 0,
	} {
		g.Expect(h.List(t.Context(), filter)).To(HaveLen(expected), "%+v", filter)
	}
	_, err := h.Create(t.Context(), asked)
	g.Expect(err).To(MatchError(backends.AlreadyExists))

	g.Expect(h.Destroy(t.Context(), "box-1")).To(Succeed())
	_, err = h.Get(t.Context(), "box-1")
	g.Expect(err).To(MatchError(backends.NotFound))
	g.Expect(h.List(t.Context(), backends.Filter{})).To(BeEmpty())
	g.Expect(h.Destroy(t.Context(), "box-1")).To(MatchError(backends.NotFound))
	g.Expect(filepath.Glob(h.root + "/*/box-1")).To(BeEmpty())
	g.Expect(filepath.Glob(h.root + "/tmp/*")).To(BeEmpty())
	g.Expect(processesUnder(h.root)).To(BeEmpty())
}

func TestAnIDThatIsNoNameIsNotFound(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	for _, id := range []string{"", ".", "..", "../sandboxes", "a/b", "A", "-a", strings.Repeat("a", 64)} {
		_, err := h.Get(t.Context(), id)
		g.Expect(err).To(MatchError(backends.NotFound), id)
		g.Expect(h.Destroy(t.Context(), id)).To(MatchError(backends.NotFound), id)
		_, err = h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
		g.Expect(err).To(MatchError(backends.NotFound), id)
	}
}

func TestWhatCanNotWorkIsRefusedBeforeAnythingIsMade(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	for reason, change := range map[string]func(*backends.CreateRequest){
		"lower case":        func(r *backends.CreateRequest) { r.Name = "A_b" },
		"absolute path":     func(r *backends.CreateRequest) { r.WorkingDir = "relative" },
		"cpu limit under":   func(r *backends.CreateRequest) { r.Resources.MilliCPU = 1 },
		"memory limit":      func(r *backends.CreateRequest) { r.Resources.MemoryBytes = 1 << 20 },
		"disk limit":        func(r *backends.CreateRequest) { r.Resources.DiskBytes = 1 },
		"negative":          func(r *backends.CreateRequest) { r.Resources.DiskBytes = -1 },
		"no image":          func(r *backends.CreateRequest) { r.Source.Image = "not a reference" },
		"working directory": func(r *backends.CreateRequest) { r.WorkingDir = "/proc/x" },
	} {
		r := request("box")
		change(&r)
		_, err := h.Create(t.Context(), r)
		g.Expect(err).To(MatchError(backends.Invalid), reason)
		g.Expect(err).To(MatchError(ContainSubstring(reason)))
	}
	r := request("box")
	r.Source.Template = "base"
	_, err := h.Create(t.Context(), r)
	g.Expect(err).To(MatchError(backends.Unsupported))
	g.Expect(h.List(t.Context(), backends.Filter{})).To(BeEmpty())
}

func TestTwoCreatesOfOneNameMakeOneRemote(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	var wait sync.WaitGroup
	errs := make([]error, 6)
	for i, b := range []*backend{h.backend, h.another(), h.backend, h.another(), h.backend, h.backend} {
		wait.Go(func() { _, errs[i] = b.Create(t.Context(), request("box")) })
	}
	wait.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		g.Expect(err).To(MatchError(backends.AlreadyExists))
	}
	g.Expect(made).To(Equal(1))
	g.Expect(h.sh("box", "echo ok").Stdout).To(BeEquivalentTo("ok\n"))
	g.Expect(filepath.Glob(h.root + "/tmp/*")).To(BeEmpty())
}

func TestABurstOfCreatesWorks(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	const burst = 20
	var wait sync.WaitGroup
	errs := make([]error, burst)
	for i := range burst {
		wait.Go(func() {
			id := fmt.Sprintf("box-%d", i)
			if _, errs[i] = h.Create(t.Context(), request(id)); errs[i] == nil {
				_, errs[i] = h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
			}
		})
	}
	wait.Wait()
	g.Expect(errors.Join(errs...)).To(Succeed())
	g.Expect(h.List(t.Context(), backends.Filter{})).To(HaveLen(burst))
}

func TestAnotherOperatorOnTheSameDirectoryFindsAndUsesRemotes(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	other := h.another()
	g.Expect(other.List(t.Context(), backends.Filter{UID: "uid-box"})).To(HaveLen(1))
	result, err := other.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.ExitCode).To(BeZero())
	g.Expect(other.Destroy(t.Context(), id)).To(Succeed())
	_, err = h.Get(t.Context(), id)
	g.Expect(err).To(MatchError(backends.NotFound))
}

func TestASandboxWhoseKernelWasKilledIsStoppedAndCanBeDestroyed(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	d := remoteDir(filepath.Join(h.root, sandboxesDir, id))
	g.Expect(syscall.Kill(sandboxProcess(d, d.sentry()), syscall.SIGKILL)).To(Succeed())
	g.Eventually(func() backends.State { return h.state(id) }).WithTimeout(15 * time.Second).Should(Equal(backends.StateStopped))
	remote, err := h.Get(t.Context(), id)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(remote.Reason).To(ContainSubstring("processes ended"))
	_, err = h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(MatchError(backends.NotRunning))
	_, err = h.ReadFile(t.Context(), id, "/workspace/x", 0)
	g.Expect(err).To(MatchError(backends.NotRunning))
	g.Expect(h.Destroy(t.Context(), id)).To(Succeed())
	g.Expect(processesUnder(h.root)).To(BeEmpty())
}

func TestASandboxWhoseFirstProcessWasKilledIsStopped(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	_, _ = h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"/bin/sh", "-c", "kill -9 1; sleep 1"}})
	g.Eventually(func() backends.State { return h.state(id) }).WithTimeout(15 * time.Second).Should(Equal(backends.StateStopped))
	g.Expect(h.Destroy(t.Context(), id)).To(Succeed())
}

func (h *host) state(id string) backends.State {
	remote, err := h.Get(h.t.Context(), id)
	NewWithT(h.t).Expect(err).NotTo(HaveOccurred())
	return remote.State
}

func TestAPausedSandboxSaysSoAndRunsNothing(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	d := remoteDir(filepath.Join(h.root, sandboxesDir, id))
	runsc := func(command string) {
		out, err := exec.Command(h.opener.settings.runsc, stateFlag(d), command, id).CombinedOutput()
		g.Expect(err).NotTo(HaveOccurred(), string(out))
	}
	runsc("pause")
	g.Expect(h.state(id)).To(Equal(backends.StatePaused))
	_, err := h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(MatchError(backends.NotRunning))
	runsc("resume")
	g.Expect(h.state(id)).To(Equal(backends.StateRunning))
	g.Expect(h.run(id, "true").ExitCode).To(BeZero())
	runsc("pause")
	g.Expect(h.Destroy(t.Context(), id)).To(Succeed())
}

// What a process that was killed can leave behind, written by hand.
func TestHalfMadeRemotesAreShownAsStoppedAndCanBeDestroyed(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	_, err := h.List(t.Context(), backends.Filter{}) // makes the directories
	g.Expect(err).NotTo(HaveOccurred())

	whole := h.root + "/sandboxes/interrupted"
	g.Expect(os.Mkdir(whole, 0o700)).To(Succeed())
	g.Expect(writeJSON(whole+"/sandbox.json", record{Name: "interrupted", Labels: markOf("u").Labels()})).To(Succeed())
	g.Expect(os.WriteFile(whole+"/starter.pid", []byte("1\n"), 0o600)).To(Succeed())
	damaged := h.root + "/sandboxes/damaged"
	g.Expect(os.Mkdir(damaged, 0o700)).To(Succeed())
	g.Expect(os.WriteFile(damaged+"/sandbox.json", []byte(`{"na`), 0o600)).To(Succeed())

	g.Expect(h.state("interrupted")).To(Equal(backends.StateStopped))
	g.Expect(h.List(t.Context(), backends.Filter{UID: "u"})).To(ConsistOf(HaveField("ID", "interrupted")))
	g.Expect(h.List(t.Context(), backends.Filter{})).To(HaveLen(2))
	_, err = h.Create(t.Context(), request("interrupted"))
	g.Expect(err).To(MatchError(backends.AlreadyExists))
	g.Expect(h.Destroy(t.Context(), "interrupted")).To(Succeed())
	g.Expect(h.Destroy(t.Context(), "damaged")).To(Succeed())
	g.Expect(h.List(t.Context(), backends.Filter{})).To(BeEmpty())
}

func TestDestroyFollowsNoLinkOutOfTheRemote(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	outside := t.TempDir()
	g.Expect(os.WriteFile(outside+"/precious", nil, 0o600)).To(Succeed())
	g.Expect(h.run(id, "ln", "-s", outside, "/workspace/link").ExitCode).To(BeZero())
	g.Expect(h.Destroy(t.Context(), id)).To(Succeed())
	g.Expect(outside + "/precious").To(BeAnExistingFile())
}

func TestAStateDirectoryThatIsGoneIsNoProofThatRemotesAre(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	undo, _ := h.makeError(backends.Unavailable, id)
	_, err := h.Get(t.Context(), id)
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(h.Destroy(t.Context(), id)).To(MatchError(backends.Unavailable))
	undo()
	g.Expect(h.state(id)).To(Equal(backends.StateRunning))
}

func TestRubbishOfKilledProcessesIsSweptButNotWhatIsInUse(t *testing.T) {
	g := NewWithT(t)
	st, err := openStore(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	old := time.Now().Add(-2 * sweepAge)
	left := filepath.Join(st.root, tmpDir, "left")
	fresh := filepath.Join(st.root, tmpDir, "fresh")
	g.Expect(errors.Join(os.MkdirAll(left+"/a", 0o700), os.Mkdir(fresh, 0o700), os.Chtimes(left, old, old))).To(Succeed())
	inUse, err := st.newStage()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.Chtimes(inUse.path, old, old)).To(Succeed())

	_, err = openStore(st.root)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left).NotTo(BeADirectory())
	g.Expect(fresh).To(BeADirectory())
	g.Expect(inUse.path).To(BeADirectory())
	g.Expect(inUse.discard()).To(Succeed())
}

// The process that crashes is this test binary, started anew.
const (
	crashRoot  = "LOCAL_TEST_CRASH_ROOT"
	crashRunsc = "LOCAL_TEST_CRASH_RUNSC"
)

// TestCrashingCreate is the process that is killed; by itself it does nothing.
func TestCrashingCreate(t *testing.T) {
	root := os.Getenv(crashRoot)
	if root == "" {
		t.Skip("helper of TestACreateThatIsKilledAtAnyMomentEndsRunningOrNotAtAll")
	}
	b := openTestBackend(t, root, os.Getenv(crashRunsc))
	fmt.Println("ready")
	remote, err := b.Create(t.Context(), request("box"))
	fmt.Println(remote.State, err)
	select {}
}

func TestACreateThatIsKilledAtAnyMomentEndsRunningOrNotAtAll(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	outcomes := map[string]int{}
	started := time.Now()
	_, err := h.another().Create(t.Context(), request("measure"))
	g.Expect(err).NotTo(HaveOccurred())
	usual := time.Since(started)
	g.Expect(h.Destroy(t.Context(), "measure")).To(Succeed())
	const kills = 12
	for i := range kills {
		delay := usual * time.Duration(i) * 5 / 4 / kills
		killCreateAfter(t, h, delay)
		remote, err := h.Get(t.Context(), "box")
		if errors.Is(err, backends.NotFound) {
			outcomes["not at all"]++
			g.Consistently(func() error { _, err := h.Get(t.Context(), "box"); return err }).WithTimeout(50*time.Millisecond).
				Should(MatchError(backends.NotFound), "killed after %s: a remote appeared later", delay)
			g.Expect(processesUnder(h.root+"/sandboxes/box/runsc")).To(BeEmpty(), "killed after %s", delay)
			continue
		}
		g.Expect(err).NotTo(HaveOccurred())
		outcomes[string(remote.State)]++
		g.Expect(remote.Mark).To(Equal(markOf("uid-box")))
		g.Eventually(func() backends.State { return h.state("box") }).WithTimeout(10*time.Second).
			Should(Equal(backends.StateRunning), "killed after %s", delay)
		g.Expect(h.run("box", "true").ExitCode).To(BeZero())
		g.Expect(h.Destroy(t.Context(), "box")).To(Succeed())
		g.Expect(processesUnder(h.root)).To(BeEmpty())
	}
	t.Logf("at the moment of the kill: %v", outcomes)
}

// The two ways in which an operator can die around the one instruction that counts.
func TestTheStarterDecidesByWhatWasPublishedWhenItsOperatorDies(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	m, err := h.machine(t.Context(), "test")
	g.Expect(err).NotTo(HaveOccurred())
	from, err := m.rootfs(t.Context(), backends.Source{})
	g.Expect(err).NotTo(HaveOccurred())
	begin := func(id string) (*stage, remoteDir, *starter) {
		d := m.store.remote(id)
		staged, err := m.store.newStage()
		g.Expect(err).NotTo(HaveOccurred())
		rec, makeDir, err := m.fill(remoteDir(staged.path), d, from, request(id))
		g.Expect(err).NotTo(HaveOccurred())
		s, err := m.newStarter(t.Context(), d, rec, makeDir, m.runsc.startArguments(d, rec, "systrap", 0))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.WriteFile(remoteDir(staged.path).starter(), fmt.Appendln(nil, s.cmd.Process.Pid), 0o600)).To(Succeed())
		return staged, d, s
	}
	staged, _, s := begin("before")
	g.Expect(s.gate.Close()).To(Succeed()) // as the kernel does for a process that died
	g.Expect(s.wait(t.Context())).To(Succeed())
	g.Expect(staged.discard()).To(Succeed())
	_, err = h.Get(t.Context(), "before")
	g.Expect(err).To(MatchError(backends.NotFound))

	staged, d, s := begin("after")
	g.Expect(staged.publish(string(d))).To(Succeed())
	g.Expect(h.state("after")).To(Equal(backends.StateCreating))
	_, err = h.RunCommand(t.Context(), "after", backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(MatchError(backends.NotRunning))
	g.Expect(s.gate.Close()).To(Succeed())
	g.Expect(s.wait(t.Context())).To(Succeed())
	g.Expect(h.state("after")).To(Equal(backends.StateRunning))

	staged, d, s = begin("destroyed")
	g.Expect(staged.publish(string(d))).To(Succeed())
	g.Expect(h.Destroy(t.Context(), "destroyed")).To(Succeed())
	g.Expect(s.wait(t.Context())).To(HaveOccurred(), "the starter was killed")
	g.Expect(s.gate.Close()).To(Succeed())
}

func killCreateAfter(t *testing.T, h *host, delay time.Duration) {
	g := NewWithT(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashingCreate$")
	cmd.Env = append(os.Environ(), crashRoot+"="+h.root, crashRunsc+"="+h.opener.settings.runsc)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(cmd.Start()).To(Succeed())
	_, err = out.Read(make([]byte, len("ready\n")))
	g.Expect(err).NotTo(HaveOccurred())
	time.Sleep(delay)
	g.Expect(cmd.Process.Kill()).To(Succeed())
	_ = cmd.Wait()
}

func TestASandboxIsNoChildOfTheOperatorAndHoldsNoneOfItsFiles(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	d := remoteDir(filepath.Join(h.root, sandboxesDir, id))
	pids, err := d.processes()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pids).NotTo(BeEmpty())
	for _, pid := range pids {
		session, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
		own, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
		g.Expect(session).NotTo(Equal(own), "process %d", pid)
		environment, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(environment)).NotTo(ContainSubstring("HOME=" + os.Getenv("HOME")))
	}
}
