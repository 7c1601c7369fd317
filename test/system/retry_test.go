// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A SandboxExec that may be retried", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
	})

	// failing fails so many times, each time with another exit code.
	failing := func(times int) string {
		return fmt.Sprintf(`echo x >>/workspace/ran; n=$(wc -l </workspace/ran); echo "attempt $n"; `+
			`[ "$n" -gt %d ] || exit $((10 + n))`, times)
	}
	ran := func(ctx context.Context) int {
		GinkgoHelper()
		return strings.Count(room.Output(ctx, "count", "box", "cat /workspace/ran"), "x\n")
	}

	It("keeps how each attempt ended, and the result of the last", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Shell(failing(2)).Retry(5, "Failed"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Attempt).To(BeEquivalentTo(3))
		Expect(run.Status.Stdout.Head).To(Equal("attempt 3\n"))
		Expect(run.Status.Attempts).To(HaveLen(2))
		for i, attempt := range run.Status.Attempts {
			Expect(attempt.Attempt).To(BeEquivalentTo(i + 1))
			Expect(attempt.Outcome).To(Equal(v1alpha1.OutcomeFailed))
			Expect(*attempt.ExitCode).To(BeEquivalentTo(11 + i))
			Expect(attempt.SandboxID).To(Equal(run.Status.SandboxID))
			Expect(attempt.StartTime).NotTo(BeNil())
			Expect(attempt.CompletionTime).NotTo(BeNil())
		}
		Expect(ran(ctx)).To(Equal(3))
	})

	It("ends with the last outcome when its attempts are used up", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Shell(failing(9)).Retry(1, "Failed"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed), testbed.StateOf(run))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(12))
		Expect(run.Status.Attempts).To(HaveLen(1))
		Expect(ran(ctx)).To(Equal(2))
	})

	It("is not run again after an outcome that is not named, nor when nothing is said", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("other", "box").Shell(failing(9)).Retry(5, "TimedOut", "Unknown"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed), testbed.StateOf(run))
		run = room.Run(ctx, room.Exec("none", "box").Shell(failing(9)))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed), testbed.StateOf(run))
		Expect(ran(ctx)).To(Equal(2))
	})

	It("is retried when its time is over, each time with its whole time", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Timeout(1).Retry(2, "TimedOut").
			Shell(`echo x >>/workspace/ran; [ "$(wc -l </workspace/ran)" -gt 1 ] || sleep 60`))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Attempts[0].Outcome).To(Equal(v1alpha1.OutcomeTimedOut))
		Expect(*run.Status.Attempts[0].DurationMilliseconds).To(BeNumerically(">=", 900))
	})

	It("is retried when it could not start", func(ctx context.Context) {
		run := room.Exec("run", "box").WorkingDir("/workspace/later").Command("pwd").Retry(9, "StartFailed").Obj()
		run.Spec.Retry.BackoffSeconds = new(int32(1))
		room.Create(ctx, run)
		room.Eventually(ctx, run, "at its second attempt", func() bool { return len(run.Status.Attempts) > 0 })
		Expect(run.Status.Attempts[0].Reason).To(Equal(v1alpha1.ReasonWorkingDirMissing))
		Expect(room.Output(ctx, "make", "box", "mkdir /workspace/later")).To(BeEmpty())
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Stdout.Head).To(Equal("/workspace/later\n"), testbed.StateOf(run))
	})

	It("is retried when an output that is Required is missing", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Retry(3, "Failed").RequiredOutput("/workspace/ran2").
			Shell(`[ ! -e /workspace/ran1 ] || echo x >/workspace/ran2; touch /workspace/ran1`))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Attempts).To(HaveLen(1))
		Expect(run.Status.Attempts[0].Reason).To(Equal(v1alpha1.ReasonOutputMissing))
	})

	It("waits between attempts, and says so; a cancel ends the waiting", func(ctx context.Context) {
		run := room.Exec("run", "box").Shell(failing(9)).Retry(5, "Failed").Obj()
		run.Spec.Retry.BackoffSeconds = new(int32(600))
		room.Create(ctx, run)
		room.Eventually(ctx, run, "waiting", func() bool { return run.Status.NextAttemptTime != nil })
		Expect(time.Until(run.Status.NextAttemptTime.Time)).To(BeNumerically("~", 10*time.Minute, 30*time.Second))
		Expect(testbed.StateOf(run)).To(And(
			ContainSubstring(v1alpha1.ReasonWaitingForRetry), ContainSubstring("Attempt 1 of 6 ended Failed (Exited)")))
		Expect(testbed.IsFinished(run)).To(BeFalse())
		room.Cancel(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(run))
		Expect(run.Status.Attempts).To(HaveLen(1))
		Expect(ran(ctx)).To(Equal(1))
	})

	It("is not retried once it is cancelled", func(ctx context.Context) {
		run := room.Exec("run", "box").Shell("trap 'exit 1' TERM; sleep 600 & wait").
			Retry(5, "Failed", "TimedOut", "Unknown", "SandboxLost", "StartFailed").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Cancel(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(run))
		Expect(run.Status.Attempts).To(BeEmpty())
	})

	It("runs again in the Sandbox that took the place of a lost one", func(ctx context.Context) {
		first := room.Sandbox("lost").Obj()
		room.Create(ctx, first)
		room.EventuallyReady(ctx, first)
		run := room.Exec("run", "lost").Shell("[ -e /workspace/second ] || sleep 600").Retry(1, "SandboxLost").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Delete(ctx, first)
		room.EventuallyGone(ctx, first)
		second := room.Ready(ctx, room.Sandbox("lost").File("/workspace/second", ""))
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.SandboxID).To(Equal(second.Status.SandboxID))
		Expect(run.Status.Attempts[0].Outcome).To(Equal(v1alpha1.OutcomeSandboxLost))
		Expect(run.Status.Attempts[0].SandboxID).To(Equal(first.Status.SandboxID))
	})
})
