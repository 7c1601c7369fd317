// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package crash_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

func inNamespace(room *testbed.Room) client.ListOption { return client.InNamespace(room.Namespace) }

// stalled is a run for which the first leader was in the middle of a request when it stood still.
type stalled struct {
	what  string
	exec  func(room *testbed.Room) *builders.ExecBuilder
	wants func(room *testbed.Room) apiproxy.Matcher
	// answered says that the API server has done it.
	answered bool

	room *testbed.Room
	box  *v1alpha1.Sandbox
	run  *v1alpha1.SandboxExec
	hold *apiproxy.Hold
}

var _ = Describe("Of two managers", func() {
	// candidate starts one that wants to lead. Leases are short, so that little time is waited.
	candidate := func() *testbed.Manager {
		GinkgoHelper()
		m, err := bed.StartAnother("--leader-elect", "--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s",
			"--leader-elect-retry-period=500ms")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() {
			_ = m.Thaw()
			Expect(m.Kill()).To(Succeed())
		})
		return m
	}
	// holder is who has the lease.
	holder := func(ctx context.Context) string {
		var lease coordinationv1.Lease
		key := client.ObjectKey{Namespace: testbed.Namespace, Name: "manager.sandboxes.run"}
		if err := bed.Client.Get(ctx, key, &lease); err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	eventuallyHeld := func(ctx context.Context, butBy string) string {
		GinkgoHelper()
		Eventually(func() string { return holder(ctx) }).WithTimeout(testbed.Patience).
			ShouldNot(BeElementOf("", butBy), "nobody takes the lease over")
		return holder(ctx)
	}

	short := func(room *testbed.Room) *builders.ExecBuilder {
		return room.Exec(cellName, cellSandbox).Shell("echo x >>" + effect + "; cat " + effect)
	}
	status := func(text string) func(room *testbed.Room) apiproxy.Matcher {
		return func(room *testbed.Room) apiproxy.Matcher {
			return withText(apiproxy.Writes("sandboxexecs/status", room.Namespace, cellName), text)
		}
	}
	// expectDone sees that the run ended once, and brought what it printed.
	expectDone := func(ctx context.Context, s *stalled) {
		GinkgoHelper()
		s.room.EventuallyFinished(ctx, s.run)
		state := s.what + "\n" + testbed.StateOf(s.run)
		Expect(s.run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), state)
		Expect(s.run.Status.Stdout.Head).To(Equal("x\n"), state)
		Expect(s.run.Status.Attempt).To(BeEquivalentTo(1), state)
		if s.box != nil {
			Expect(bed.RunIn(ctx, s.box.Status.SandboxID, "cat "+effect)).To(Equal("x\n"), state)
		}
	}
	expectOwnSandboxGone := func(ctx context.Context, s *stalled) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			var list v1alpha1.SandboxList
			g.Expect(bed.Client.List(ctx, &list, inNamespace(s.room))).To(Succeed())
			g.Expect(list.Items).To(BeEmpty(), s.what)
		}).WithTimeout(testbed.Patience).Should(Succeed())
		s.room.EventuallyRemotes(ctx, s.room.Namespace, 0)
	}

	It("one stalls anywhere, the other takes over, the first wakes: each command ran once, its result stands", func(ctx context.Context) {
		Expect(bed.StopManager()).To(Succeed())
		DeferCleanup(func() { Expect(bed.StartManager()).To(Succeed()) })
		first := candidate()
		leader := eventuallyHeld(ctx, "")
		second := candidate()

		all := []*stalled{
			{what: "before the journal", exec: short, wants: status(`"startTime"`)},
			{what: "between journal and start", exec: short, wants: status(`"startTime"`), answered: true},
			{what: "before the result", exec: short, wants: status(`"outcome"`)},
			{what: "after the result", exec: short, wants: status(`"outcome"`), answered: true},
			{what: "while it runs", exec: func(room *testbed.Room) *builders.ExecBuilder {
				return room.Exec(cellName, cellSandbox).Shell("echo x >>" + effect + "; cat " + effect + "; sleep 5")
			}},
			{
				what: "before it makes a sandbox for one run",
				exec: func(room *testbed.Room) *builders.ExecBuilder {
					return builders.MakeOneShot(room.Namespace, cellName, room.Sandbox(cellName)).
						Shell("echo x >>" + effect + "; cat " + effect)
				},
				wants: func(room *testbed.Room) apiproxy.Matcher {
					return func(r apiproxy.Request) bool {
						return r.Verb == "create" && r.Resource == "sandboxes" && r.Namespace == room.Namespace
					}
				},
			},
		}
		for _, s := range all {
			s.room = bed.NewRoom(ctx)
			s.run = s.exec(s.room).Obj()
			if s.run.Spec.Sandbox == nil {
				s.box = s.room.Ready(ctx, s.room.Sandbox(cellSandbox))
			}
			switch {
			case s.wants == nil:
			case s.answered:
				s.hold = bed.Proxy.HoldAnswer(s.wants(s.room))
			default:
				s.hold = bed.Proxy.HoldRequest(s.wants(s.room))
			}
			s.room.Create(ctx, s.run)
		}
		for _, s := range all {
			if s.hold == nil {
				s.room.EventuallySeenRunning(ctx, s.run)
				continue
			}
			DeferCleanup(s.hold.Remove)
			Eventually(ctx, s.hold.Reached(), testbed.Patience).Should(BeClosed(), func() string { return s.what + bed.LogTail() })
		}

		By("standing still")
		Expect(first.Freeze()).To(Succeed())
		successor := eventuallyHeld(ctx, leader)
		for _, s := range all {
			expectDone(ctx, s)
			if s.box == nil {
				expectOwnSandboxGone(ctx, s)
			}
		}

		By("waking up, with what it had begun")
		for _, s := range all {
			if s.hold != nil {
				s.hold.Release()
			}
		}
		Expect(first.Thaw()).To(Succeed())
		Eventually(first.Ended()).WithTimeout(15*time.Second).Should(BeClosed(), "a leader that lost its lease should end")
		for _, s := range all {
			before := s.run.Status
			expectDone(ctx, s)
			Expect(s.run.Status).To(Equal(before), "the result changed after it was there: "+s.what)
			if s.box == nil {
				expectOwnSandboxGone(ctx, s)
			}
		}

		By("getting the lease back")
		third := candidate()
		Consistently(func() string { return holder(ctx) }).WithTimeout(time.Second).Should(Equal(successor))
		long := &stalled{what: "a run that sees two more leaders", room: bed.NewRoom(ctx)}
		long.box = long.room.Ready(ctx, long.room.Sandbox(cellSandbox))
		long.run = long.room.Exec(cellName, cellSandbox).Shell("echo x >>" + effect + "; cat " + effect + "; sleep 5").Obj()
		long.room.Create(ctx, long.run)
		long.room.EventuallySeenRunning(ctx, long.run)
		Expect(second.Kill()).To(Succeed())
		eventuallyHeld(ctx, successor)
		expectDone(ctx, long)
		Expect(third.Ended()).NotTo(BeClosed())
	})
})
