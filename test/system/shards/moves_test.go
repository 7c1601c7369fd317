// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package shards_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A label that is changed", func() {
	DescribeTable("while its sandbox is made leaves exactly one", func(ctx context.Context, flavour, when, from, to string) {
		room, _ := newRoomOf(ctx, flavour)
		box := sandbox(room, "mover-"+room.Namespace, from).Obj()
		trapped, release := context.WithCancel(ctx)
		defer release()
		reached, err := cloud.Trap(trapped, "create "+box.Name+"#1", when)
		Expect(err).NotTo(HaveOccurred())
		room.Create(ctx, box)
		Eventually(ctx, reached).WithTimeout(testbed.Patience).Should(BeClosed(), logs)
		label(ctx, box, to)
		// The instance that has it now looks for what the other has begun, and says so.
		Eventually(func() map[string]bool { return instanceOf(to).touched(room.Namespace) }).WithTimeout(testbed.Patience).
			Should(HaveKey(box.Name), logs)
		release()
		room.EventuallyReady(ctx, box)
		Consistently(func() []string { return names(remotes(ctx, room.Namespace)) }).WithTimeout(2 * time.Second).Should(HaveLen(1))
		Expect(remotes(ctx, room.Namespace)[0].ID).To(Equal(box.Status.SandboxID))
		expectSucceeded(room.Run(ctx, run(room, "run", box.Name, to).Shell("true")))
		// Nothing that one of them waits for holds up its other objects.
		room.Ready(ctx, sandbox(room, "next", from))
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
		bed.EventuallyRemotes(ctx, room.Namespace, 1)
	},
		Entry("before the provider has it", backend.Named, fake.Before, shard, ""),
		Entry("after the provider has it", backend.Named, fake.After, shard, ""),
		Entry("before, with names that nobody finds", backend.Listed, fake.Before, "", shard),
		Entry("after, with names that nobody finds", backend.Listed, fake.After, "", shard),
	)

	It("moves a Sandbox with its remote, and a run that goes on in it", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		box := room.Ready(ctx, sandbox(room, "box", shard))
		id := box.Status.SandboxID
		long := run(room, "long", "box", shard).Shell(counted(room, "long", "sleep 3; echo done")).Obj()
		room.Create(ctx, long)
		room.EventuallySeenRunning(ctx, long)
		label(ctx, long, "")
		label(ctx, box, "")
		room.EventuallyFinished(ctx, long)
		expectSucceeded(long)
		Expect(long.Status.Stdout.Head).To(Equal("done\n"))
		Expect(ran(room, "long")).To(Equal(1))
		Expect(owner.touched(room.Namespace)).To(HaveKey("long"), "the owner should have written the result")
		room.EventuallyReady(ctx, box)
		Expect(box.Status.SandboxID).To(Equal(id))
		expectSucceeded(room.Run(ctx, run(room, "after", "box", "").Shell("true")))
	})

	It("gives a Sandbox as much idle time as if it had just been used", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		box := room.Ready(ctx, sandbox(room, "box", "").Lifetime(v1alpha1.SandboxLifetime{
			IdleTimeoutSeconds: 10, OnIdle: v1alpha1.OnIdlePause,
		}))
		Eventually(func() time.Duration { return time.Since(box.Status.CreatedAt.Time) }).WithTimeout(testbed.Patience).
			Should(BeNumerically(">", 7*time.Second))
		label(ctx, box, shard)
		Consistently(func(g Gomega) {
			g.Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(box), box)).To(Succeed())
			g.Expect(box.Status.State).To(Equal(v1alpha1.SandboxRunning))
		}).WithTimeout(4 * time.Second).Should(Succeed())
		room.Eventually(ctx, box, "paused when it was idle for long enough", func() bool {
			return box.Status.State == v1alpha1.SandboxPaused
		})
	})

	It("of a Sandbox alone lets a run in it go on, and keeps others waiting, which say what for", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		box := room.Ready(ctx, sandbox(room, "box", shard))
		long := run(room, "long", "box", shard).Shell(counted(room, "long", "sleep 3; echo done")).Obj()
		room.Create(ctx, long)
		room.EventuallySeenRunning(ctx, long)
		label(ctx, box, "")
		room.EventuallyFinished(ctx, long)
		expectSucceeded(long)
		Expect(ran(room, "long")).To(Equal(1))

		waiting := run(room, "waiting", "box", shard).Shell("true").Obj()
		room.Create(ctx, waiting)
		room.Eventually(ctx, waiting, "waiting for a label", func() bool {
			ready := meta.FindStatusCondition(waiting.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil && ready.Reason == v1alpha1.ReasonOtherShard
		})
		message := meta.FindStatusCondition(waiting.Status.Conditions, v1alpha1.ConditionReady).Message
		Expect(message).To(HaveSuffix("kubectl label sbxe waiting -n %s sandboxes.run/shard-", room.Namespace))
		label(ctx, waiting, "")
		room.EventuallyFinished(ctx, waiting)
		expectSucceeded(waiting)
	})

	It("of a Sandbox lets the runs that wait for that start", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		box := room.Ready(ctx, sandbox(room, "box", ""))
		waiting := run(room, "waiting", "box", shard).Shell("true").Obj()
		room.Create(ctx, waiting)
		room.Eventually(ctx, waiting, "waiting for a label", func() bool {
			ready := meta.FindStatusCondition(waiting.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil && ready.Reason == v1alpha1.ReasonOtherShard
		})
		label(ctx, box, shard)
		room.EventuallyFinished(ctx, waiting)
		expectSucceeded(waiting)
	})

	DescribeTable("of a one-shot takes its Sandbox along", func(ctx context.Context, from, to, line string) {
		room, _ := newRoom(ctx)
		single := builders.MakeOneShot(room.Namespace, "single", builders.MakeSandbox(room.Namespace, "unnamed")).
			Shell(counted(room, "single", line))
		if from != "" {
			single.Label(v1alpha1.ShardLabel, from)
		}
		exec := single.Obj()
		room.Create(ctx, exec)
		room.EventuallySeenRunning(ctx, exec)
		label(ctx, exec, to)
		room.EventuallyFinished(ctx, exec)
		expectSucceeded(exec)
		Expect(ran(room, "single")).To(Equal(1))
		Eventually(func(g Gomega) {
			var left v1alpha1.SandboxList
			g.Expect(bed.Client.List(ctx, &left, client.InNamespace(room.Namespace))).To(Succeed())
			g.Expect(left.Items).To(BeEmpty())
		}).WithTimeout(testbed.Patience).Should(Succeed(), logs)
		bed.EventuallyRemotes(ctx, room.Namespace, 0)
	},
		Entry("from the owner", "", shard, "sleep 2"),
		Entry("to the owner", shard, "", "sleep 2"),
	)
})
