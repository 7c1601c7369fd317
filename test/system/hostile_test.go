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

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A command that behaves badly", func() {
	var (
		room *testbed.Room
		box  *v1alpha1.Sandbox
	)

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	withBox := func(ctx context.Context) {
		GinkgoHelper()
		box = room.Ready(ctx, room.Sandbox("box").Memory("512Mi"))
	}
	// The side effect of each command here, and what it must be afterwards.
	const effect = "echo x >>/workspace/ran; "
	expectRanOnce := func(ctx context.Context) {
		GinkgoHelper()
		Expect(bed.RunIn(ctx, box.Status.SandboxID, "cat /workspace/ran")).To(Equal("x\n"))
	}
	expectUsable := func(ctx context.Context) {
		GinkgoHelper()
		Expect(room.Output(ctx, "after", "box", "echo the sandbox goes on")).To(Equal("the sandbox goes on\n"))
	}

	DescribeTable("by killing everything that it may is Unknown, ran once, and leaves nothing running",
		func(ctx context.Context, before string) {
			withBox(ctx)
			run := room.Run(ctx, room.Exec("run", "box").Shell(effect+before+"kill -9 -1; sleep 600").Timeout(0))
			// Where the sandbox's first process ends with it, the sandbox is lost; else what watched the command.
			Expect(run.Status.Outcome).To(BeElementOf(v1alpha1.OutcomeUnknown, v1alpha1.OutcomeFailed), testbed.StateOf(run))
			expectRanOnce(ctx)
			Eventually(func() (string, error) {
				lines, err := bed.CommandLines(ctx, box.Status.SandboxID)
				return regexp.MustCompile("(?m)^sleep 600$").FindString(lines), err
			}).WithTimeout(10 * time.Second).Should(BeEmpty())
			expectUsable(ctx)
		},
		Entry("at once", ""),
		Entry("after it was seen", "sleep 2; "),
	)

	It("by wiping /tmp and all that it may write, brings its result", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").Shell(effect+"rm -rf /tmp/* /tmp/.[!.]* /var/tmp/* /home/*; echo wiped; exit 4"))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(4), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("wiped\n"))
		expectRanOnce(ctx)
		expectUsable(ctx)
	})

	DescribeTable("by wiping the spool is Unknown, ran once, and does not run on unseen",
		func(ctx context.Context, line string) {
			withBox(ctx)
			run := room.Run(ctx, room.Exec("run", "box").Shell(effect+line).Timeout(0))
			Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeUnknown), testbed.StateOf(run))
			Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonFenceGone), testbed.StateOf(run))
			Eventually(func() (string, error) {
				lines, err := bed.CommandLines(ctx, box.Status.SandboxID)
				return regexp.MustCompile("(?m)^sleep 600$").FindString(lines), err
			}).WithTimeout(10*time.Second).Should(BeEmpty(), "what the command started runs on")
			expectRanOnce(ctx)
			expectUsable(ctx)
		},
		Entry("at once, and ending", "rm -rf /run/sandboxes.run"),
		Entry("at once, and running on", "rm -rf /run/sandboxes.run; sleep 600"),
		Entry("after it was seen", "sleep 2; rm -rf /run/sandboxes.run/*; sleep 600"),
	)

	It("by filling the disk ends with a reason, and not in a hang", func(ctx context.Context) {
		box = room.Ready(ctx, room.Sandbox("box").Disk("64Mi"))
		run := room.Run(ctx, room.Exec("run", "box").Shell(effect+"echo before; cat /dev/zero >/workspace/full; echo after; exit 6"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed), testbed.StateOf(run))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(6))
		Expect(run.Status.Stdout.Head).To(HavePrefix("before\n"))
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionUnknown))
		Expect(testbed.StateOf(run)).To(ContainSubstring("the disk of the sandbox was full"))
		expectRanOnce(ctx)

		By("also for the next one, which is told that it did not run, until there is room")
		run = room.Run(ctx, room.Exec("next", "box").Stdin(builders.Text("x")).Shell(effect))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonSpoolUnavailable))
		Expect(testbed.StateOf(run)).To(ContainSubstring("disk"))
		expectRanOnce(ctx)
		_, err := bed.RunIn(ctx, box.Status.SandboxID, "rm /workspace/full")
		Expect(err).NotTo(HaveOccurred())
		expectUsable(ctx)
	})

	It("by printing until the disk is full ends with its time, and is counted", func(ctx context.Context) {
		box = room.Ready(ctx, room.Sandbox("box").Disk("64Mi"))
		run := room.Run(ctx, room.Exec("run", "box").Shell(effect+"echo begin; while :; do cat /dev/zero 2>/dev/null; done").Timeout(3))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeTimedOut), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(HavePrefix("begin\n"))
		Expect(*run.Status.Stdout.Bytes).To(BeNumerically(">", 32<<20))
		expectRanOnce(ctx)
	})

	It("by leaving daemons ends all the same, and a timeout takes those with it that carry its marker", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").
			Shell(effect+"for i in 1 2 3; do setsid sh -c 'exec sleep 4241' </dev/null & (setsid sleep 4242 &) ; done; echo started"))
		Expect(run.Status.Stdout.Head).To(Equal("started\n"), testbed.StateOf(run))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded))
		expectRanOnce(ctx)

		run = room.Run(ctx, room.Exec("timed", "box").Timeout(1).
			Shell("for i in 1 2 3; do (trap '' TERM HUP; setsid setsid sleep 4243 &) ; done; exec sleep 4244"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeTimedOut), testbed.StateOf(run))
		lines, err := bed.CommandLines(ctx, box.Status.SandboxID)
		Expect(err).NotTo(HaveOccurred())
		Expect(lines).NotTo(MatchRegexp("(?m)^sleep 424[34]$"))
		Expect(lines).To(MatchRegexp("(?m)^sleep 4242$"), "those of the first command are not the second's")
	})

	DescribeTable("brings its result",
		func(ctx context.Context, line, printed string, code int) {
			withBox(ctx)
			run := room.Run(ctx, room.Exec("run", "box").Stdin(builders.Text("input")).Shell(effect+line))
			Expect(testbed.ExitCode(run)).To(BeEquivalentTo(code), testbed.StateOf(run))
			Expect(run.Status.Stdout.Head).To(Equal(printed))
			expectRanOnce(ctx)
			expectUsable(ctx)
		},
		Entry("after closing its streams", "echo out; exec <&- >&- 2>&-; sleep 1.5; exit 5", "out\n", 5),
		Entry("after reading all of its input", "cat; exit 6", "input", 6),
		Entry("without reading its input", "exit 7", "", 7),
		Entry("after reading the descriptors that a shell may have open",
			"for i in 3 4 5 6 7 8 9; do (eval \"cat <&$i\") 2>/dev/null; done; exit 8", "", 8),
		Entry("after exiting its shell in the middle", "echo a; eval 'exit 9'; echo b", "a\n", 9),
		Entry("after replacing its shell", "exec sh -c 'echo new; exit 10'", "new\n", 10),
		Entry("after killing its own group", "trap '' TERM; kill -TERM 0; echo alive; exit 11", "alive\n", 11),
		Entry("after stopping its parent for a while", "kill -STOP $PPID; (sleep 1; kill -CONT $PPID) >/dev/null 2>&1 & exit 12", "", 12),
		Entry("after changing limits and priorities", "ulimit -f 0; ulimit -n 3; exit 13", "", 13),
		Entry("after unsetting its environment", "exec env -i sh -c 'exit 14'", "", 14),
	)

	It("by removing /bin/sh is Unknown at worst, and what comes next is told that there is no shell", func(ctx context.Context) {
		withBox(ctx)
		run := room.Run(ctx, room.Exec("run", "box").Shell(effect+"/usr/bin/rm -f /bin; sleep 2; exit 3"))
		Expect(run.Status.Outcome).To(BeElementOf(v1alpha1.OutcomeUnknown, v1alpha1.OutcomeFailed), testbed.StateOf(run))
		ran, err := backends.ReadFile(ctx, bed.Provider, box.Status.SandboxID, "/workspace/ran", 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(ran)).To(Equal("x\n"))
	})
})
