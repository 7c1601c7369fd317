// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package crash_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// effect is the side effect of every command here: a line for each time that it ran.
const effect = "/workspace/ran"

var _ = Describe("A SandboxExec", func() {
	const name = "run"
	var (
		room    *testbed.Room
		sandbox *v1alpha1.Sandbox
	)

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		sandbox = room.Ready(ctx, room.Sandbox("box"))
	})

	// The writes of a run: journal and result to its status, the finalizer to its metadata.
	journal := func() apiproxy.Matcher { return apiproxy.Writes("sandboxexecs/status", room.Namespace, name) }
	result := func() apiproxy.Matcher { return withText(journal(), `"outcome"`) }
	finalizer := func() apiproxy.Matcher { return apiproxy.Writes("sandboxexecs", room.Namespace, name) }

	// command appends to the file of effects, and prints something before, while and after it takes so many seconds.
	command := func(seconds int) *builders.ExecBuilder {
		return room.Exec(name, "box").Shell(fmt.Sprintf(
			`echo begin; echo x >>%s; i=0; while [ $i -lt %d ]; do i=$((i+1)); echo second $i; sleep 1; done; echo end; echo bad >&2`,
			effect, seconds))
	}
	printed := func(seconds int) string {
		var b strings.Builder
		b.WriteString("begin\n")
		for i := range seconds {
			fmt.Fprintf(&b, "second %d\n", i+1)
		}
		return b.String() + "end\n"
	}
	effects := func(ctx context.Context) string {
		GinkgoHelper()
		text, err := bed.RunIn(ctx, sandbox.Status.SandboxID, "cat "+effect+" 2>/dev/null")
		Expect(err).NotTo(HaveOccurred())
		return text
	}
	expectWholeResult := func(ctx context.Context, exec *v1alpha1.SandboxExec, seconds int) {
		GinkgoHelper()
		room.EventuallyFinished(ctx, exec)
		Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(exec))
		Expect(exec.Status.Stdout.Head).To(Equal(printed(seconds)))
		Expect(exec.Status.Stderr.Head).To(Equal("bad\n"))
		Expect(testbed.ExitCode(exec)).To(BeZero())
		Expect(exec.Status.Attempt).To(BeEquivalentTo(1))
		Expect(effects(ctx)).To(Equal("x\n"), "the command should have run once")
		room.Eventually(ctx, exec, "without our finalizer", func() bool { return len(exec.Finalizers) == 0 })
		room.EventuallyRemotes(ctx, room.Namespace, 1)
	}
	// eventuallyEnded waits until the command has ended, which nobody but the sandbox knows.
	eventuallyEnded := func(ctx context.Context) {
		GinkgoHelper()
		Eventually(func() (string, error) {
			return bed.RunIn(ctx, sandbox.Status.SandboxID, "cat /run/sandboxes.run/*/exit")
		}).WithContext(ctx).WithTimeout(testbed.Patience).ShouldNot(BeEmpty())
	}

	It("of 20 seconds brings its whole output, having run once, after the manager was killed while it ran", func(ctx context.Context) {
		exec := command(20).Obj()
		room.Create(ctx, exec)
		room.EventuallySeenRunning(ctx, exec)
		restart()
		Eventually(func() string { return effects(ctx) }).WithTimeout(testbed.Patience).Should(Equal("x\n"))
		expectWholeResult(ctx, exec, 20)
		Expect(*exec.Status.DurationMilliseconds).To(BeNumerically("~", 20_500, 1500))
		Expect(room.Output(ctx, "check", "box", "cat "+effect)).To(Equal("x\n"))
	})

	DescribeTable("that is long runs once, and brings its result, after the manager was killed",
		func(ctx context.Context, hold func() *apiproxy.Hold) {
			held := hold()
			exec := command(2).Obj()
			room.Create(ctx, exec)
			killAt(ctx, held)
			expectWholeResult(ctx, exec, 2)
		},
		Entry("before it wrote that it saw it running", func() *apiproxy.Hold { return bed.Proxy.HoldRequest(finalizer()) }),
		Entry("after it wrote that it saw it running", func() *apiproxy.Hold { return bed.Proxy.HoldAnswer(finalizer()) }),
		Entry("before it let the object go", func() *apiproxy.Hold {
			return bed.Proxy.HoldRequest(withText(finalizer(), `"finalizers":null`))
		}),
	)

	It("runs once when the manager is killed again and again", func(ctx context.Context) {
		exec := command(2).Obj()
		for _, hold := range []*apiproxy.Hold{
			bed.Proxy.HoldAnswer(journal()), bed.Proxy.HoldRequest(finalizer()), bed.Proxy.HoldRequest(finalizer()),
			bed.Proxy.HoldRequest(result()), bed.Proxy.HoldRequest(result()),
		} {
			if exec.UID == "" {
				room.Create(ctx, exec)
			}
			killAt(ctx, hold)
		}
		expectWholeResult(ctx, exec, 2)
	})

	It("that ends while no manager runs brings its whole result", func(ctx context.Context) {
		exec := command(2).Obj()
		room.Create(ctx, exec)
		room.EventuallySeenRunning(ctx, exec)
		restart(func() { eventuallyEnded(ctx) })
		expectWholeResult(ctx, exec, 2)
	})

	It("whose time is over while no manager runs is killed all the same", func(ctx context.Context) {
		exec := command(60).Timeout(3).Obj()
		room.Create(ctx, exec)
		room.EventuallySeenRunning(ctx, exec)
		restart(func() { eventuallyEnded(ctx) })
		room.EventuallyFinished(ctx, exec)
		Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeTimedOut), testbed.StateOf(exec))
		Expect(exec.Status.Stdout.Head).To(HavePrefix("begin\nsecond 1\nsecond 2\n"))
		Expect(effects(ctx)).To(Equal("x\n"))
	})

	It("that is cancelled while no manager runs is killed", func(ctx context.Context) {
		exec := command(60).Obj()
		room.Create(ctx, exec)
		room.EventuallySeenRunning(ctx, exec)
		restart(func() { room.Cancel(ctx, exec) })
		room.EventuallyFinished(ctx, exec)
		Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(exec))
		Expect(effects(ctx)).To(Equal("x\n"))
	})

	DescribeTable("that is deleted leaves no process behind though the manager was killed",
		func(ctx context.Context, hold func() *apiproxy.Hold) {
			exec := command(600).Obj()
			room.Create(ctx, exec)
			room.EventuallySeenRunning(ctx, exec)
			if hold == nil {
				restart(func() { room.Delete(ctx, exec) })
			} else {
				held := hold()
				room.Delete(ctx, exec)
				killAt(ctx, held)
			}
			room.EventuallyGone(ctx, exec)
			eventuallyNoProcess(ctx, sandbox.Status.SandboxID, "^sleep 1$")
			Expect(effects(ctx)).To(Equal("x\n"))
		},
		Entry("before that", nil),
		Entry("after it killed the command, before it let the object go",
			func() *apiproxy.Hold { return bed.Proxy.HoldRequest(finalizer()) }),
	)

	It("says that its sandbox is lost when that went away while no manager ran", func(ctx context.Context) {
		exec := command(600).Obj()
		room.Create(ctx, exec)
		room.EventuallySeenRunning(ctx, exec)
		restart(func() { Expect(bed.Provider.Destroy(ctx, sandbox.Status.SandboxID)).To(Succeed()) })
		room.EventuallyFinished(ctx, exec)
		Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSandboxLost), testbed.StateOf(exec))
		room.EventuallyNotReady(ctx, sandbox, v1alpha1.ReasonRemoteGone)
	})
})

func withText(matches apiproxy.Matcher, text string) apiproxy.Matcher {
	return func(r apiproxy.Request) bool { return matches(r) && bytes.Contains(r.Body, []byte(text)) }
}

// eventuallyNoProcess waits until no process of the sandbox has a command line that matches.
func eventuallyNoProcess(ctx context.Context, id, pattern string) {
	GinkgoHelper()
	Eventually(func() (string, error) {
		lines, err := bed.CommandLines(ctx, id)
		return regexp.MustCompile("(?m)" + pattern).FindString(lines), err
	}).WithContext(ctx).WithTimeout(10*time.Second).Should(BeEmpty(), "processes are left in the sandbox")
}
