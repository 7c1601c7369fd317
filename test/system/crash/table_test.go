// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package crash_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// point is where in the life of a run the manager is killed. Its name is what it stands for in a failure.
type point string

const (
	beforeJournal    point = "before the journal"
	afterJournal     point = "after the journal"
	afterStart       point = "after the start"
	duringCancel     point = "during the cancel"
	duringCollection point = "while it collects outputs"
	afterCollection  point = "when the outputs are stored"
	beforeResult     point = "before the write of the result"
	afterResult      point = "after the write of the result"
)

// isWaiting says that at this point the command waits for the gate, so that it certainly runs.
func (p point) isWaiting() bool { return p == afterStart || p == duringCancel }

// cell is one run in one situation, in a room with a Sandbox of its own. All cells of a point share the manager's death.
type cell struct {
	situation string
	at        point
	room      *testbed.Room
	sandbox   *v1alpha1.Sandbox
	exec      *v1alpha1.SandboxExec
	hold      *apiproxy.Hold
	begin     apiproxy.Position
}

// The situations. In the last three the sandbox goes while no manager runs.
const (
	isShort   = "that is short"
	isLong    = "that is long"
	fails     = "that fails"
	reapplied = "whose Sandbox is deleted and applied again"
	gone      = "whose remote is gone"
	recreated = "whose remote is gone and made again"
)

const (
	cellName    = "run"
	cellSandbox = "box"
	gate        = "/workspace/gate"
)

func (c *cell) losesSandbox() bool {
	return c.situation == reapplied || c.situation == gone || c.situation == recreated
}

func (c *cell) exitCode() int {
	if c.situation == fails {
		return 7
	}
	return 0
}

// program has one side effect, prints before and after it, and in between waits for the gate, or for seconds.
func (c *cell) program() *builders.ExecBuilder {
	pause := "until [ -e " + gate + " ]; do sleep 0.1; done"
	switch {
	case c.at == duringCancel:
		// It does not die of TERM, so that there is a time in which it is being killed.
		pause = "trap '' TERM; while :; do sleep 0.1; done"
	case c.situation != isShort && c.situation != fails && !c.at.isWaiting():
		pause = "sleep 2"
	}
	builder := c.room.Exec(cellName, cellSandbox).
		Shell(fmt.Sprintf("echo begin; echo x >>%s; %s; echo end; echo bad >&2; exit %d", effect, pause, c.exitCode()))
	if c.at == duringCollection || c.at == afterCollection {
		builder.OutputTo(effect, builders.ToConfigMap("", ""))
	}
	return builder
}

// stop holds the manager's request, or its answer, at the point; nil where something else than a request says that it is reached.
func (c *cell) stop() *apiproxy.Hold {
	status := apiproxy.Writes("sandboxexecs/status", c.room.Namespace, cellName)
	stores := func(r apiproxy.Request) bool {
		return r.Verb == "create" && r.Resource == "configmaps" && r.Namespace == c.room.Namespace
	}
	switch c.at {
	case beforeJournal:
		return bed.Proxy.HoldRequest(withText(status, `"startTime"`))
	case afterJournal:
		return bed.Proxy.HoldAnswer(withText(status, `"startTime"`))
	case duringCollection:
		return bed.Proxy.HoldRequest(stores)
	case afterCollection:
		return bed.Proxy.HoldAnswer(stores)
	case beforeResult:
		return bed.Proxy.HoldRequest(withText(status, `"outcome"`))
	case afterResult:
		return bed.Proxy.HoldAnswer(withText(status, `"outcome"`))
	default:
		return nil
	}
}

func (c *cell) effects(ctx context.Context, sandbox *v1alpha1.Sandbox) string {
	GinkgoHelper()
	text, err := bed.RunIn(ctx, sandbox.Status.SandboxID, "cat "+effect+" 2>/dev/null")
	Expect(err).NotTo(HaveOccurred())
	return text
}

// set creates the run, and the sandbox before it.
func (c *cell) set(ctx context.Context) {
	GinkgoHelper()
	c.room.EventuallyReady(ctx, c.sandbox)
	if c.hold = c.stop(); c.hold != nil {
		DeferCleanup(c.hold.Remove)
	}
	c.begin, c.exec = bed.Proxy.Now(), c.program().Obj()
	c.room.Create(ctx, c.exec)
}

// reach waits until the manager is at the point.
func (c *cell) reach(ctx context.Context) {
	GinkgoHelper()
	if c.hold != nil {
		Eventually(ctx, c.hold.Reached(), testbed.Patience).
			Should(BeClosed(), func() string { return testbed.StateOf(c.exec) + bed.LogTail() })
		return
	}
	Eventually(func() string { return c.effects(ctx, c.sandbox) }).WithTimeout(testbed.Patience).Should(Equal("x\n"))
}

// meanwhile is what happens while no manager runs.
func (c *cell) meanwhile(ctx context.Context) {
	GinkgoHelper()
	switch c.situation {
	case reapplied:
		c.room.Delete(ctx, c.sandbox)
	case gone, recreated:
		Expect(bed.Provider.Destroy(ctx, c.sandbox.Status.SandboxID)).To(Succeed())
	default:
		if c.at == afterStart {
			_, err := bed.RunIn(ctx, c.sandbox.Status.SandboxID, ": >"+gate)
			Expect(err).NotTo(HaveOccurred())
		}
	}
}

// afterwards is what the user does when the manager runs again.
func (c *cell) afterwards(ctx context.Context) {
	GinkgoHelper()
	if c.situation != reapplied {
		return
	}
	c.room.EventuallyGone(ctx, c.sandbox)
	c.sandbox = c.room.Sandbox(cellSandbox).File(gate, "").Obj()
	c.room.Create(ctx, c.sandbox)
	c.room.EventuallyReady(ctx, c.sandbox)
}

// check sees that the command ran once, or not at all where the outcome says so, and that the result is whole.
func (c *cell) check(ctx context.Context) {
	GinkgoHelper()
	c.room.EventuallyFinished(ctx, c.exec)
	state := testbed.StateOf(c.exec)
	switch {
	case c.at == afterResult, !c.losesSandbox() && c.at != duringCancel, c.situation == reapplied && c.at == beforeJournal:
		c.checkResult(state)
		Expect(c.exec.Status.Attempt).To(BeEquivalentTo(1))
	case c.losesSandbox():
		// What was journalled may have run in the sandbox that is gone; what was not certainly did not.
		possible := []v1alpha1.ExecOutcome{v1alpha1.OutcomeSandboxLost}
		if c.at == beforeJournal {
			possible = append(possible, v1alpha1.OutcomeStartFailed)
		}
		Expect(c.exec.Status.Outcome).To(BeElementOf(possible), state)
	default:
		Expect(c.exec.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), state)
		Expect(c.exec.Status.Stdout.Head).To(Equal("begin\n"), state)
	}
	c.checkEffects(ctx, state)
	c.room.Eventually(ctx, c.exec, "without our finalizer", func() bool { return len(c.exec.Finalizers) == 0 })
	c.checkWrites(state)
}

func (c *cell) checkResult(state string) {
	GinkgoHelper()
	outcome := v1alpha1.OutcomeSucceeded
	if c.situation == fails {
		outcome = v1alpha1.OutcomeFailed
	}
	Expect(c.exec.Status.Outcome).To(Equal(outcome), state)
	Expect(testbed.ExitCode(c.exec)).To(BeEquivalentTo(c.exitCode()), state)
	Expect(c.exec.Status.Stdout.Head).To(Equal("begin\nend\n"), state)
	Expect(c.exec.Status.Stderr.Head).To(Equal("bad\n"), state)
	if c.at == duringCollection || c.at == afterCollection {
		Expect(c.exec.Status.Outputs).To(HaveLen(1), state)
		Expect(c.exec.Status.Outputs[0].State).To(Equal(v1alpha1.OutputStored), state)
		Expect(*c.exec.Status.Outputs[0].Bytes).To(BeEquivalentTo(2), state)
	}
}

func (c *cell) checkEffects(ctx context.Context, state string) {
	GinkgoHelper()
	want := "x\n"
	switch {
	case c.situation == gone:
		return
	case c.situation == recreated:
		c.room.Eventually(ctx, c.sandbox, "made again", func() bool {
			return c.sandbox.Status.Incarnation == 2 && meta.IsStatusConditionTrue(c.sandbox.Status.Conditions, v1alpha1.ConditionReady)
		})
		want = ""
	case c.situation == reapplied && c.at != beforeJournal:
		want = ""
	}
	Expect(c.effects(ctx, c.sandbox)).To(Equal(want), "how often the command ran in this sandbox\n"+state)
}

// checkWrites counts what the manager wrote to the run, each time that it was killed at least once in vain.
func (c *cell) checkWrites(state string) {
	GinkgoHelper()
	written := bed.Proxy.Since(c.begin, func(r apiproxy.Request) bool {
		return apiproxy.IsWrite(r) && r.Namespace == c.room.Namespace && strings.HasPrefix(r.Resource, "sandboxexecs")
	})
	// Journal, finalizer, result, and no finalizer; and one that was held.
	budget := 4 + 1
	if c.losesSandbox() {
		// Why it waits for another: the old one goes, there is none, the new one is not Ready.
		budget += 4
	}
	Expect(len(written)).To(BeNumerically("<=", budget), listOf(written)+state)
}

// listOf is what was written, a line each.
func listOf(requests []apiproxy.Request) string {
	var b strings.Builder
	for _, r := range requests {
		fmt.Fprintf(&b, "%.200s\n", r.String())
	}
	return b.String()
}

var _ = Describe("The promise of a SandboxExec", func() {
	always := []string{isShort, isLong, fails, reapplied, gone}
	// A loss has to be certain before a remote is made again, which takes its time: not every point is worth that.
	everything := append([]string{recreated}, always...)

	DescribeTable("is kept when the manager is killed",
		func(ctx context.Context, at point, situations []string) {
			var cells []*cell
			for _, situation := range situations {
				c := &cell{situation: situation, at: at, room: bed.NewRoom(ctx)}
				builder := c.room.Sandbox(cellSandbox)
				if situation == recreated {
					builder.Lifetime(v1alpha1.SandboxLifetime{OnLoss: v1alpha1.OnLossRecreate})
				}
				if !at.isWaiting() {
					builder.File(gate, "")
				}
				c.sandbox = builder.Obj()
				c.room.Create(ctx, c.sandbox)
				cells = append(cells, c)
			}
			each := func(step string, do func(c *cell)) {
				GinkgoHelper()
				for _, c := range cells {
					By(fmt.Sprintf("%s, for a run %s", step, c.situation))
					do(c)
				}
			}
			each("starting", func(c *cell) { c.set(ctx) })
			each("coming to the point", func(c *cell) { c.reach(ctx) })
			if at == duringCancel {
				each("cancelling", func(c *cell) { c.room.Cancel(ctx, c.exec) })
				Eventually(func() (string, error) {
					return bed.RunIn(ctx, cells[0].sandbox.Status.SandboxID, "ls /run/sandboxes.run/*/cancel 2>/dev/null; :")
				}).WithTimeout(testbed.Patience).WithPolling(0).ShouldNot(BeEmpty())
			}
			restart(func() { each("without a manager", func(c *cell) { c.meanwhile(ctx) }) })
			each("with another manager", func(c *cell) { c.afterwards(ctx) })
			each("ending", func(c *cell) { c.check(ctx) })
		},
		func(at point, _ []string) string { return string(at) },
		Entry(nil, beforeJournal, always),
		Entry(nil, afterJournal, everything),
		Entry(nil, afterStart, always),
		Entry(nil, duringCancel, []string{isLong, fails, reapplied, gone}),
		Entry(nil, duringCollection, always),
		Entry(nil, afterCollection, always),
		Entry(nil, beforeResult, everything),
		Entry(nil, afterResult, always),
	)

	It("is kept for runs with sandboxes of their own, wherever the manager is killed, and nothing is left", func(ctx context.Context) {
		type oneShot struct {
			room  *testbed.Room
			exec  *v1alpha1.SandboxExec
			hold  *apiproxy.Hold
			begin apiproxy.Position
			// made says that the sandbox was made when the manager was killed.
			made bool
			uid  string
		}
		child := func(verb string) func(room *testbed.Room) apiproxy.Matcher {
			return func(room *testbed.Room) apiproxy.Matcher {
				return func(r apiproxy.Request) bool {
					return r.Verb == verb && r.Resource == "sandboxes" && r.Subresource == "" && r.Namespace == room.Namespace
				}
			}
		}
		status := func(text string) func(room *testbed.Room) apiproxy.Matcher {
			return func(room *testbed.Room) apiproxy.Matcher {
				return withText(apiproxy.Writes("sandboxexecs/status", room.Namespace, cellName), text)
			}
		}
		var shots []*oneShot
		for _, p := range []struct {
			made    bool
			matcher func(room *testbed.Room) apiproxy.Matcher
		}{
			{false, child("create")}, {true, child("patch")}, {true, status(`"startTime"`)}, {true, status(`"outcome"`)},
			{false, child("delete")},
		} {
			for _, hold := range []func(apiproxy.Matcher) *apiproxy.Hold{bed.Proxy.HoldRequest, bed.Proxy.HoldAnswer} {
				room := bed.NewRoom(ctx)
				s := &oneShot{room: room, made: p.made, hold: hold(p.matcher(room)), begin: bed.Proxy.Now()}
				DeferCleanup(s.hold.Remove)
				s.exec = builders.MakeOneShot(room.Namespace, cellName, room.Sandbox(cellName)).
					Shell("echo x >>" + effect + "; cat " + effect).Output(effect).Obj()
				room.Create(ctx, s.exec)
				shots = append(shots, s)
			}
		}
		for i, s := range shots {
			Eventually(ctx, s.hold.Reached(), testbed.Patience).Should(BeClosed(), "one-shot %d: %s", i, bed.LogTail())
		}
		restart(func() {
			for _, s := range shots {
				var list v1alpha1.SandboxList
				Expect(bed.Client.List(ctx, &list, inNamespace(s.room))).To(Succeed())
				if s.made {
					Expect(list.Items).To(HaveLen(1))
					s.uid = string(list.Items[0].UID)
				}
			}
		})
		for i, s := range shots {
			By(fmt.Sprintf("ending one-shot %d", i))
			s.room.EventuallyFinished(ctx, s.exec)
			state := testbed.StateOf(s.exec)
			Expect(s.exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), state)
			Expect(s.exec.Status.Stdout.Head).To(Equal("x\n"), state)
			Expect(s.exec.Status.Outputs[0].Content).To(Equal("x\n"), state)
			Expect(s.exec.Status.Attempts).To(BeEmpty(), state)
			if s.uid != "" {
				Expect(s.exec.Status.SandboxUID).To(Equal(s.uid), "it ran in another sandbox than the first that was made for it")
			}
			s.room.EventuallyRemotes(ctx, s.room.Namespace, 0)
			Eventually(func(g Gomega) {
				var list v1alpha1.SandboxList
				g.Expect(bed.Client.List(ctx, &list, inNamespace(s.room))).To(Succeed())
				g.Expect(list.Items).To(BeEmpty())
			}).WithTimeout(testbed.Patience).Should(Succeed())
			written := bed.Proxy.Since(s.begin, func(r apiproxy.Request) bool {
				return apiproxy.IsWrite(r) && r.Namespace == s.room.Namespace
			})
			// One was held; a sandbox that was not made has another attempt; and on a machine that is busy, the run says that it
			// waits for its sandbox, and that it was seen running.
			Expect(len(written)).To(BeNumerically("<=", 7+1+1+1+2), listOf(written)+state)
		}
	})

	It("is kept between the attempts of a run", func(ctx context.Context) {
		type attempted struct {
			room    *testbed.Room
			sandbox *v1alpha1.Sandbox
			exec    *v1alpha1.SandboxExec
			hold    *apiproxy.Hold
		}
		var runs []*attempted
		for range 4 {
			room := bed.NewRoom(ctx)
			runs = append(runs, &attempted{room: room, sandbox: room.Ready(ctx, room.Sandbox(cellSandbox))})
		}
		for i, r := range runs {
			matcher := withText(apiproxy.Writes("sandboxexecs/status", r.room.Namespace, cellName),
				[]string{`"attempts":[`, `"attempt":2`}[i/2])
			r.hold = []func(apiproxy.Matcher) *apiproxy.Hold{bed.Proxy.HoldRequest, bed.Proxy.HoldAnswer}[i%2](matcher)
			DeferCleanup(r.hold.Remove)
			r.exec = r.room.Exec(cellName, cellSandbox).Retry(4, "Failed").
				Shell("echo x >>" + effect + `; n=$(wc -l <` + effect + `); echo "$n"; [ "$n" -ge 3 ]`).Obj()
			r.room.Create(ctx, r.exec)
		}
		for _, r := range runs {
			Eventually(ctx, r.hold.Reached(), testbed.Patience).Should(BeClosed(), bed.LogTail)
		}
		restart()
		for _, r := range runs {
			r.room.EventuallyFinished(ctx, r.exec)
			state := testbed.StateOf(r.exec)
			Expect(r.exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), state)
			Expect(r.exec.Status.Stdout.Head).To(Equal("3\n"), state)
			Expect(r.exec.Status.Attempts).To(HaveLen(2), state)
			Expect(bed.RunIn(ctx, r.sandbox.Status.SandboxID, "cat "+effect)).To(Equal("x\nx\nx\n"), state)
		}
	})
})
