// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// oneShot begins a run that brings its own sandbox of the provider local.
func oneShot(room *testbed.Room, name string) *builders.ExecBuilder {
	return builders.MakeOneShot(room.Namespace, name, room.Sandbox(name))
}

// sandboxesIn are the Sandboxes that there are in a room.
func sandboxesIn(ctx context.Context, room *testbed.Room) []v1alpha1.Sandbox {
	GinkgoHelper()
	var list v1alpha1.SandboxList
	Expect(bed.Client.List(ctx, &list, client.InNamespace(room.Namespace))).To(Succeed())
	return list.Items
}

// expectNothingLeft waits until a room has neither Sandbox nor remote.
func expectNothingLeft(ctx context.Context, room *testbed.Room) {
	GinkgoHelper()
	Eventually(func() []v1alpha1.Sandbox { return sandboxesIn(ctx, room) }).WithTimeout(testbed.Patience).Should(BeEmpty())
	room.EventuallyRemotes(ctx, room.Namespace, 0)
}

var _ = Describe("A SandboxExec with a sandbox of its own", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	DescribeTable("leaves its result and nothing else",
		func(ctx context.Context, line string, timeout int32, outcome v1alpha1.ExecOutcome) {
			run := room.Run(ctx, oneShot(room, "run").Shell("echo begin; "+line).Timeout(timeout).
				Input("/workspace/in", "input").Output("/workspace/in"))
			Expect(run.Status.Outcome).To(Equal(outcome), testbed.StateOf(run))
			Expect(run.Status.Stdout.Head).To(HavePrefix("begin\n"))
			Expect(run.Status.SandboxID).NotTo(BeEmpty())
			Expect(run.Status.SandboxName).To(HavePrefix("run-"))
			Expect(run.Status.Outputs).To(HaveLen(1))
			Expect(run.Status.Outputs[0].Content).To(Equal("input"))
			expectNothingLeft(ctx, room)
			room.EventuallyFinished(ctx, run)
			Expect(run.Finalizers).To(BeEmpty())
		},
		Entry("when it succeeds", "true", int32(60), v1alpha1.OutcomeSucceeded),
		Entry("when it takes longer", "sleep 2", int32(60), v1alpha1.OutcomeSucceeded),
		Entry("when it fails", "exit 3", int32(60), v1alpha1.OutcomeFailed),
		Entry("when its time is over", "sleep 60", int32(1), v1alpha1.OutcomeTimedOut),
	)

	It("leaves nothing when it is cancelled, and keeps its output", func(ctx context.Context) {
		run := oneShot(room, "run").Shell("echo begin; sleep 600").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Cancel(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("begin\n"))
		expectNothingLeft(ctx, room)
	})

	It("leaves nothing when it is deleted, whenever that is", func(ctx context.Context) {
		for i, wait := range []func(run *v1alpha1.SandboxExec){
			func(*v1alpha1.SandboxExec) {},
			func(*v1alpha1.SandboxExec) {
				Eventually(func() int { return len(sandboxesIn(ctx, room)) }).WithTimeout(testbed.Patience).Should(Equal(1))
			},
			func(run *v1alpha1.SandboxExec) { room.EventuallySeenRunning(ctx, run) },
		} {
			run := oneShot(room, fmt.Sprintf("run-%d", i)).Command("sleep", "600").Obj()
			room.Create(ctx, run)
			wait(run)
			room.Delete(ctx, run)
			room.EventuallyGone(ctx, run)
			expectNothingLeft(ctx, room)
		}
	})

	It("says why its sandbox can't be made, and leaves nothing", func(ctx context.Context) {
		bad := builders.MakeOneShot(room.Namespace, "bad", room.Sandbox("bad").Template("base")).Command("true").Obj()
		missing := builders.MakeOneShot(room.Namespace, "missing", room.Sandbox("missing").Image(images+"/no/such:image")).
			Command("true").Obj()
		never := builders.MakeOneShot(room.Namespace, "never", builders.MakeSandbox(room.Namespace, "never").ClusterProvider("nobody")).
			Command("true").StartDeadline(2).Obj()
		room.Create(ctx, bad, missing, never)
		for run, reason := range map[*v1alpha1.SandboxExec]string{
			bad: v1alpha1.ReasonSandboxFailed, missing: v1alpha1.ReasonSandboxFailed, never: v1alpha1.ReasonStartDeadlineExceeded,
		} {
			room.EventuallyFinished(ctx, run)
			Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
			Expect(run.Status.Reason).To(Equal(reason), testbed.StateOf(run))
		}
		Expect(testbed.StateOf(bad)).To(ContainSubstring("docs/providers/local.md"))
		Expect(testbed.StateOf(missing)).To(ContainSubstring("does not exist at its registry"))
		Expect(testbed.StateOf(never)).To(ContainSubstring(`"nobody"`))
		expectNothingLeft(ctx, room)
	})

	It("says that its sandbox is lost when that is deleted under it, and does not make another", func(ctx context.Context) {
		run := oneShot(room, "run").Command("sleep", "600").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Delete(ctx, &sandboxesIn(ctx, room)[0])
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSandboxLost), testbed.StateOf(run))
		expectNothingLeft(ctx, room)
	})

	It("can be made again under the same name", func(ctx context.Context) {
		first := room.Run(ctx, oneShot(room, "run").Shell("echo first"))
		room.Delete(ctx, first)
		second := room.Run(ctx, oneShot(room, "run").Shell("echo second"))
		Expect(second.Status.Stdout.Head).To(Equal("second\n"))
		Expect(second.Status.SandboxID).NotTo(Equal(first.Status.SandboxID))
		expectNothingLeft(ctx, room)
	})

	It("goes with its time to live, and its sandbox before it", func(ctx context.Context) {
		run := oneShot(room, "run").Command("true").TTL(0).Obj()
		room.Create(ctx, run)
		room.EventuallyGone(ctx, run)
		expectNothingLeft(ctx, room)
	})

	It("runs beside others, each in a sandbox of its own", func(ctx context.Context) {
		var runs []*v1alpha1.SandboxExec
		for i := range 4 {
			runs = append(runs, oneShot(room, fmt.Sprintf("run-%d", i)).Shell("echo x >>/workspace/ran; cat /workspace/ran").Obj())
		}
		for _, run := range runs {
			room.Create(ctx, run)
		}
		seen := map[string]bool{}
		for _, run := range runs {
			room.EventuallyFinished(ctx, run)
			Expect(run.Status.Stdout.Head).To(Equal("x\n"), testbed.StateOf(run))
			seen[run.Status.SandboxID] = true
		}
		Expect(seen).To(HaveLen(len(runs)))
		expectNothingLeft(ctx, room)
	})

	It("retries in a new sandbox", func(ctx context.Context) {
		// What the first attempt leaves is not there for the second; what is given from outside is.
		room.ConfigMap(ctx, "data", map[string]string{"fail": "yes"}, nil)
		run := oneShot(room, "run").InputFrom("/workspace/fail", 0o644, builders.ConfigMapKey("data", "fail")).
			Shell("ls /workspace; touch /workspace/left; grep -q no /workspace/fail").Retry(3, "Failed").Obj()
		run.Spec.Retry.BackoffSeconds = new(int32(2))
		room.Create(ctx, run)
		room.Eventually(ctx, run, "at its second attempt", func() bool { return len(run.Status.Attempts) == 1 })
		Expect(bed.Client.Patch(ctx, configMap(room, "data"), mergePatch(`{"data":{"fail":"no"}}`))).To(Succeed())
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("fail\n"))
		Expect(run.Status.Attempt).To(BeEquivalentTo(2))
		Expect(run.Status.Attempts[0].SandboxID).NotTo(Equal(run.Status.SandboxID))
		expectNothingLeft(ctx, room)
	})

	It("is told as Reconciling while its sandbox is made, and never as finished", func(ctx context.Context) {
		run := builders.MakeOneShot(room.Namespace, "run", room.Sandbox("run").Image(noRegistry+"/any:image")).Command("true").Obj()
		room.Create(ctx, run)
		room.Eventually(ctx, run, "waiting", func() bool {
			return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionReconciling)
		})
		Expect(testbed.StateOf(run)).To(And(ContainSubstring("is not Ready"), ContainSubstring("registry can't be reached")))
		room.Cancel(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled))
		expectNothingLeft(ctx, room)
	})
})
