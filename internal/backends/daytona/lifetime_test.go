// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

// onBothServers runs a test on each kind of server.
func onBothServers(t *testing.T, test func(t *testing.T, fake *fakeServer)) {
	for _, newest := range []bool{false, true} {
		t.Run(fmt.Sprintf("newest %v", newest), func(t *testing.T) {
			test(t, startFake(t, daytona.Options{Newest: newest, StopDelay: time.Millisecond, StartDelay: time.Millisecond}))
		})
	}
}

func leased(t *testing.T, b *backend, lifetime time.Duration) backends.Remote {
	t.Helper()
	r := requestNamed("leased")
	r.Lifetime = lifetime
	made, err := b.Create(t.Context(), r)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return made
}

func TestASandboxThatNobodyRenewsDies(t *testing.T) {
	onBothServers(t, func(t *testing.T, fake *fakeServer) {
		g := NewWithT(t)
		leased(t, fake.connect(t), 24*time.Hour)
		fake.Clock.Advance(23 * time.Hour)
		g.Expect(fake.States()).To(HaveLen(1))
		fake.Clock.Advance(time.Hour + time.Minute)
		g.Expect(fake.States()).To(BeEmpty())
	})
}

func TestASandboxThatIsRenewedLivesOnWithWhatRunsInIt(t *testing.T) {
	needRoot(t)
	onBothServers(t, func(t *testing.T, fake *fakeServer) {
		g := NewWithT(t)
		b := fake.connect(t)
		made := leased(t, b, 24*time.Hour)
		run := func(line string) string {
			result, err := b.RunCommand(t.Context(), made.ID, backends.Command{Argv: []string{"sh", "-c", line}})
			g.Expect(err).NotTo(HaveOccurred())
			return string(result.Stdout)
		}
		run("sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid")
		for range 5 {
			fake.Clock.Advance(13 * time.Hour)
			g.Expect(b.SetLifetime(t.Context(), made.ID, 24*time.Hour)).To(Succeed())
			remote, err := b.Get(t.Context(), made.ID)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(remote.State).To(Equal(backends.StateRunning))
			g.Expect(remote.ExpiresAt).To(BeTemporally("~", fake.Clock.Now().Add(24*time.Hour), time.Minute))
		}
		g.Expect(run("kill -0 $(cat /tmp/pid) && echo runs")).To(Equal("runs\n"))
	})
}

func TestASandboxWithoutLifetimeNeitherStopsNorGoes(t *testing.T) {
	onBothServers(t, func(t *testing.T, fake *fakeServer) {
		g := NewWithT(t)
		made := leased(t, fake.connect(t), 0)
		g.Expect(made.ExpiresAt).To(BeZero())
		fake.Clock.Advance(10_000 * time.Hour)
		g.Expect(fake.States()).To(HaveKeyWithValue(made.ID, "started"))
	})
}

func TestAPausedSandboxKeepsItsFilesAndStillEnds(t *testing.T) {
	needRoot(t)
	onBothServers(t, func(t *testing.T, fake *fakeServer) {
		g := NewWithT(t)
		b := fake.connect(t)
		made := leased(t, b, 24*time.Hour)
		g.Expect(backends.WriteFile(t.Context(), b, made.ID, "/tmp/kept", []byte("kept"), 0o600)).To(Succeed())
		g.Expect(b.Pause(t.Context(), made.ID)).To(Succeed())
		g.Expect(fake.States()).To(HaveKeyWithValue(made.ID, "stopped"), "containers are stopped: they can't be paused")
		fake.Clock.Advance(20 * time.Hour)
		g.Expect(b.SetLifetime(t.Context(), made.ID, 24*time.Hour)).To(Succeed())
		g.Expect(b.Resume(t.Context(), made.ID)).To(Succeed())
		content, err := backends.ReadFile(t.Context(), b, made.ID, "/tmp/kept", 0)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(content)).To(Equal("kept"))
		g.Eventually(func() map[string]string {
			// The last request counts as activity for a moment after its answer.
			fake.Clock.Advance(200 * time.Hour)
			return fake.States()
		}).Should(BeEmpty())
	})
}

func TestAVirtualMachineIsPausedWithItsMemory(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{Newest: true})
	b := fake.connect(t)
	r := requestNamed("vm")
	r.Source.Template = daytona.VMSnapshot
	made, err := b.Create(t.Context(), r)
	g.Expect(err).NotTo(HaveOccurred())
	run := func(ctx context.Context, line string) backends.Result {
		result, err := b.RunCommand(ctx, made.ID, backends.Command{Argv: []string{"sh", "-c", line}})
		g.Expect(err).NotTo(HaveOccurred())
		return result
	}
	run(t.Context(), "sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid")
	g.Expect(b.Pause(t.Context(), made.ID)).To(Succeed())
	g.Expect(fake.States()).To(HaveKeyWithValue(made.ID, "paused"))
	g.Expect(b.Resume(t.Context(), made.ID)).To(Succeed())
	g.Expect(run(t.Context(), "kill -0 $(cat /tmp/pid)").ExitCode).To(BeZero(), "what ran before runs on")
}

func TestWhatOthersDidToASandboxIsToldApart(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	made := leased(t, b, 0)
	look := func() backends.Remote {
		remote, err := b.Get(t.Context(), made.ID)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = b.RunCommand(t.Context(), made.ID, backends.Command{Argv: []string{"true"}})
		g.Expect(err).To(MatchError(backends.NotRunning))
		return remote
	}
	fake.Halt(made.ID)
	g.Expect(look()).To(HaveField("State", backends.StatePaused))
	fake.Archive(made.ID)
	g.Expect(look()).To(HaveField("Reason", ContainSubstring("archived")))
	g.Expect(b.Resume(t.Context(), made.ID)).To(Succeed(), "an archived sandbox is started as a stopped one is")
	fake.Break(made.ID, "the runner lost it")
	g.Expect(look()).To(And(HaveField("State", backends.StateStopped), HaveField("Reason", ContainSubstring("the runner lost it"))))
	g.Expect(b.Resume(t.Context(), made.ID)).To(MatchError(backends.NotRunning))
	fake.Remove(made.ID)
	_, err := b.RunCommand(t.Context(), made.ID, backends.Command{Argv: []string{"true"}})
	g.Expect(err).To(MatchError(backends.NotFound))
}
