// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package shards_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// counted is a line that leaves a line each time it is run, and then does something else.
func counted(room *testbed.Room, name, line string) string {
	return "echo ran >>" + countFile(room, name) + "; " + line
}

func countFile(room *testbed.Room, name string) string {
	return filepath.Join(os.TempDir(), "shards-"+room.Namespace+"-"+name)
}

// ran is how often it did.
func ran(room *testbed.Room, name string) int {
	GinkgoHelper()
	text, err := os.ReadFile(countFile(room, name))
	if !os.IsNotExist(err) {
		Expect(err).NotTo(HaveOccurred())
	}
	DeferCleanup(func() { _ = os.Remove(countFile(room, name)) })
	return strings.Count(string(text), "\n")
}

func expectSucceeded(exec *v1alpha1.SandboxExec) {
	GinkgoHelper()
	Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(exec)+logs())
}

var _ = Describe("Of two instances", func() {
	It("each works on the objects with its label, on sandboxes, runs and one-shots, and on no others", func(ctx context.Context) {
		room, provider := newRoom(ctx)
		for name, of := range map[string]string{"mine": "", "theirs": shard} {
			room.Ready(ctx, sandbox(room, name, of))
			expectSucceeded(room.Run(ctx, run(room, name+"-run", name, of).Shell("true")))
			single := builders.MakeOneShot(room.Namespace, name+"-single", builders.MakeSandbox(room.Namespace, "unnamed")).Shell("true")
			if of != "" {
				single.Label(v1alpha1.ShardLabel, of)
			}
			expectSucceeded(room.Run(ctx, single))
		}
		for name := range owner.touched(room.Namespace) {
			Expect(name).NotTo(HavePrefix("theirs"), "the owner wrote to what is the other's")
		}
		for name := range other.touched(room.Namespace) {
			Expect(name).NotTo(HavePrefix("mine"), "the other wrote to what is the owner's")
		}
		Expect(owner.touched(room.Namespace)).To(HaveKey("mine-run"))
		Expect(other.touched(room.Namespace)).To(HaveKey("theirs-run"))
		room.Eventually(ctx, provider, "counting the remotes of both", func() bool {
			return provider.Status.SandboxCount != nil && *provider.Status.SandboxCount == 2
		})
		Expect(provider.Status.OrphanCount).To(HaveValue(BeZero()), "what the other made is no orphan")
	})

	It("nobody works on objects with a label that no instance has, until they get another", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		box := sandbox(room, "lonely", "nobody").Obj()
		room.Create(ctx, box)
		Consistently(func(g Gomega) {
			g.Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(box), box)).To(Succeed())
			g.Expect(box.Status.Conditions).To(BeEmpty())
		}).WithTimeout(2 * time.Second).Should(Succeed())
		label(ctx, box, "")
		room.EventuallyReady(ctx, box)
	})

	It("each has a lease of its own", func(ctx context.Context) {
		for _, name := range []string{"manager.sandboxes.run", "manager.sandboxes.run-" + shard} {
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: testbed.Namespace, Name: name}}
			Eventually(func() error { return bed.Client.Get(ctx, client.ObjectKeyFromObject(lease), lease) }).
				WithTimeout(testbed.Patience).Should(Succeed())
			Expect(lease.Spec.HolderIdentity).NotTo(HaveValue(BeEmpty()))
		}
	})

	It("one goes on when the other is killed, and the other finds its runs again", func(ctx context.Context) {
		room, _ := newRoom(ctx)
		room.Ready(ctx, sandbox(room, "mine", ""))
		room.Ready(ctx, sandbox(room, "theirs", shard))
		long := run(room, "long", "theirs", shard).Shell(counted(room, "long", "sleep 3; echo done")).Obj()
		room.Create(ctx, long)
		room.EventuallySeenRunning(ctx, long)
		other.kill()
		DeferCleanup(func() {
			if other.process == nil {
				other.start()
			}
		})
		expectSucceeded(room.Run(ctx, run(room, "short", "mine", "").Shell("true")))
		room.Ready(ctx, sandbox(room, "second", ""))
		left := sandbox(room, "left", shard).Obj()
		room.Create(ctx, left)
		Consistently(func() []string { return names(remotes(ctx, room.Namespace)) }).WithTimeout(2*time.Second).
			Should(ConsistOf("mine", "second", "theirs"), "remotes of the dead instance stay, and it makes none")
		other.start()
		room.EventuallyReady(ctx, left)
		room.EventuallyFinished(ctx, long)
		expectSucceeded(long)
		Expect(long.Status.Stdout.Head).To(Equal("done\n"))
		Expect(ran(room, "long")).To(Equal(1))
	})
})
