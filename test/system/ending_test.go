// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"regexp"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// family is a command with children that left its process group and session, and ignore what they can.
const family = `trap '' TERM; echo begin; setsid sh -c 'trap "" TERM; exec sleep 4242' & (sleep 4243 &) ; sleep 4244 & wait; wait; echo end`

// expectNoFamily sees that nothing of a family lives.
func expectNoFamily(ctx context.Context, id string) {
	GinkgoHelper()
	Eventually(func() (string, error) {
		lines, err := bed.CommandLines(ctx, id)
		return regexp.MustCompile("(?m)^sleep 424.*$").FindString(lines), err
	}).WithContext(ctx).WithTimeout(5*time.Second).Should(BeEmpty(), "processes of the command are left")
}

var _ = Describe("A SandboxExec", func() {
	var (
		room *testbed.Room
		box  *v1alpha1.Sandbox
	)

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	withBox := func(ctx context.Context) {
		GinkgoHelper()
		box = room.Ready(ctx, room.Sandbox("box"))
	}

	It("tells exit codes and signals", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("fails", "box").Shell("echo out; echo err >&2; exit 42"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(42))
		Expect(run.Status.Signal).To(BeEmpty())
		Expect(run.Status.Stdout.Head).To(Equal("out\n"))
		Expect(run.Status.Stderr.Head).To(Equal("err\n"))
		for _, kind := range []string{v1alpha1.ConditionFailed, v1alpha1.ConditionStalled, v1alpha1.ConditionFinished} {
			Expect(meta.IsStatusConditionTrue(run.Status.Conditions, kind)).To(BeTrue(), testbed.StateOf(run))
		}
		run = room.Run(ctx, room.Exec("killed", "box").Shell("kill -KILL $$"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(137))
		Expect(run.Status.Signal).To(Equal("SIGKILL"))
		run = room.Run(ctx, room.Exec("terminated", "box").Shell("kill -TERM $$"))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(143))
		Expect(run.Status.Signal).To(Equal("SIGTERM"))
	})

	It("is killed with its tree when its time is over, and keeps its output", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").Shell(family).Timeout(1))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeTimedOut), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonTimeoutExceeded))
		Expect(run.Status.Stdout.Head).To(Equal("begin\n"))
		Expect(*run.Status.DurationMilliseconds).To(BeNumerically("<", 6000))
		expectNoFamily(ctx, box.Status.SandboxID)
		Expect(room.Output(ctx, "after", "box", "echo the sandbox goes on")).To(Equal("the sandbox goes on\n"))
	})

	It("is killed with its tree when it is cancelled, and keeps its output", func(ctx context.Context) {
		withBox(ctx)
		run := room.Exec("run", "box").Shell(family).Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Cancel(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonCancelRequested))
		Expect(run.Status.Stdout.Head).To(Equal("begin\n"))
		expectNoFamily(ctx, box.Status.SandboxID)
	})

	It("is not said to have never run when it takes the shell away from its sandbox", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").Shell("rm /bin; /usr/bin/sleep 30"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeUnknown), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonSpoolUnavailable))
		late := room.Run(ctx, room.Exec("late", "box").Command("true"))
		Expect(late.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(late))
	})

	It("never runs when it is cancelled before", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("without", "nobody").Shell("echo ran").Cancelled())
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(run))
		Expect(run.Status.StartTime).To(BeNil())

		waiting := room.Exec("waiting", "box").Shell("echo ran >>/workspace/ran").Obj()
		room.Create(ctx, waiting)
		room.Eventually(ctx, waiting, "waiting", func() bool {
			c := meta.FindStatusCondition(waiting.Status.Conditions, v1alpha1.ConditionReady)
			return c != nil && c.Reason == v1alpha1.ReasonWaitingForSandbox && c.Message == `Sandbox "box" does not exist`
		})
		room.Cancel(ctx, waiting)
		room.EventuallyFinished(ctx, waiting)
		Expect(waiting.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(waiting))
		withBox(ctx)
		Expect(room.Output(ctx, "check", "box", "cat /workspace/ran 2>/dev/null || echo never")).To(Equal("never\n"))
	})

	It("ends a cancelled command that has ended already as what it was", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").Shell("echo ran"))
		room.Cancel(ctx, run)
		room.Eventually(ctx, run, "as it was", func() bool { return run.Generation == 2 })
		Consistently(func() v1alpha1.ExecOutcome {
			room.Eventually(ctx, run, "there", func() bool { return true })
			return run.Status.Outcome
		}).WithTimeout(300 * time.Millisecond).Should(Equal(v1alpha1.OutcomeSucceeded))
	})

	It("starts as soon as its Sandbox is Ready", func(ctx context.Context) {
		run := room.Exec("run", "box").Shell("echo ran").Obj()
		room.Create(ctx, run)
		room.Eventually(ctx, run, "waiting", func() bool { return len(run.Status.Conditions) > 0 })
		withBox(ctx)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Stdout.Head).To(Equal("ran\n"))
		Expect(run.Status.SandboxID).To(Equal(box.Status.SandboxID))
	})

	It("fails to start when its Sandbox never comes", func(ctx context.Context) {
		never := room.Exec("never", "nobody").Command("true").StartDeadline(1).Obj()
		blocked := room.Exec("blocked", "blocked").Command("true").StartDeadline(2).Obj()
		room.Create(ctx, never, blocked, room.Sandbox("blocked").ClusterProvider("no-such-provider").Obj())
		room.EventuallyFinished(ctx, never)
		Expect(never.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(never))
		Expect(never.Status.Reason).To(Equal(v1alpha1.ReasonStartDeadlineExceeded))
		Expect(testbed.StateOf(never)).To(ContainSubstring(`not started within its start deadline (1s): Sandbox "nobody" does not exist`))
		room.EventuallyFinished(ctx, blocked)
		Expect(blocked.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed))
		Expect(testbed.StateOf(blocked)).To(And(ContainSubstring("is not Ready"), ContainSubstring("no-such-provider")))
	})

	It("says SandboxLost when its Sandbox is deleted while it runs", func(ctx context.Context) {
		withBox(ctx)
		run := room.Exec("run", "box").Command("sleep", "600").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Delete(ctx, box)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSandboxLost), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonSandboxDeleted))
		room.EventuallyGone(ctx, box)
	})

	It("takes its process tree with it when it is deleted", func(ctx context.Context) {
		withBox(ctx)
		run := room.Exec("run", "box").Shell(family).Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Delete(ctx, run)
		room.EventuallyGone(ctx, run)
		expectNoFamily(ctx, box.Status.SandboxID)
	})

	It("takes its process tree with it when it is deleted before it was seen running", func(ctx context.Context) {
		withBox(ctx)
		run := room.Exec("run", "box").Shell(family).Obj()
		room.Create(ctx, run)
		room.Eventually(ctx, run, "started", func() bool { return run.Status.StartTime != nil })
		room.Delete(ctx, run)
		room.EventuallyGone(ctx, run)
		expectNoFamily(ctx, box.Status.SandboxID)
	})

	It("leaves what it started in the background to the sandbox when it ends by itself", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").Shell("sleep 4242 & echo begin"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded))
		Expect(run.Status.Stdout.Head).To(Equal("begin\n"))
		Expect(room.Output(ctx, "check", "box", "grep -l 4242 /proc/[0-9]*/cmdline | wc -l")).NotTo(Equal("0\n"))
	})

	It("goes when its time to live is over, and stays without one", func(ctx context.Context) {
		withBox(ctx)
		later := room.Exec("later", "box").Shell("sleep 1.5").TTL(1).Obj()
		atOnce := room.Exec("at-once", "box").Command("true").TTL(0).Obj()
		stays := room.Exec("stays", "box").Command("true").Obj()
		room.Create(ctx, stays, later, atOnce)
		room.EventuallyGone(ctx, atOnce)
		room.EventuallyGone(ctx, later)
		room.EventuallyFinished(ctx, stays)
	})

	It("can have a time to live given later", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").Command("true"))
		Expect(bed.Client.Patch(ctx, run, mergePatch(`{"spec":{"ttlSecondsAfterFinished":0}}`))).To(Succeed())
		room.EventuallyGone(ctx, run)
	})

	It("runs beside others in the same Sandbox", func(ctx context.Context) {
		withBox(ctx)
		var runs []*v1alpha1.SandboxExec
		// Each waits for all others.
		for _, name := range []string{"a", "b", "c", "d"} {
			run := room.Exec(name, "box").Shell(`: >/workspace/` + name +
				`; while [ "$(ls /workspace | wc -l)" -lt 4 ]; do sleep 0.1; done; echo met`).Timeout(25).Obj()
			room.Create(ctx, run)
			runs = append(runs, run)
		}
		for _, run := range runs {
			room.EventuallyFinished(ctx, run)
			Expect(run.Status.Stdout.Head).To(Equal("met\n"), testbed.StateOf(run))
		}
	})

	It("is Unknown, and never run again, when its runner was killed in the sandbox", func(ctx context.Context) {
		withBox(ctx)
		run := room.Exec("run", "box").Shell("echo x >>/workspace/ran; sleep 600").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		_, err := bed.RunIn(ctx, box.Status.SandboxID, `read -r pid _ </run/sandboxes.run/`+string(run.UID)+`-1/runner && kill -KILL $pid`)
		Expect(err).NotTo(HaveOccurred())
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeUnknown), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonRunnerLost))
		Expect(room.Output(ctx, "check", "box", "cat /workspace/ran")).To(Equal("x\n"))
	})
})
