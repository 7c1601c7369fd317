// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// conditionOf returns a condition that is True.
func conditionOf(box *v1alpha1.Sandbox, kind string) *metav1.Condition {
	found := meta.FindStatusCondition(box.Status.Conditions, kind)
	if found == nil || found.Status != metav1.ConditionTrue {
		return nil
	}
	return found
}

var _ = Describe("When Daytona has trouble", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	// says waits until the Sandbox is not Ready, and says this.
	says := func(ctx context.Context, box *v1alpha1.Sandbox, what string) {
		GinkgoHelper()
		bed.Eventually(ctx, box, "not Ready, saying "+what, func() bool {
			for _, c := range box.Status.Conditions {
				if matched, _ := ContainSubstring(what).Match(c.Message); matched {
					return !meta.IsStatusConditionTrue(box.Status.Conditions, v1alpha1.ConditionReady)
				}
			}
			return false
		})
	}
	// askAbout has the operator look at a sandbox: a command does.
	askAbout := func(ctx context.Context, name, box string) {
		GinkgoHelper()
		room.Create(ctx, room.Exec(name, box).Shell("true").StartDeadline(5).Obj())
	}

	It("a provider says that its key is malformed, or refused", func(ctx context.Context) {
		for name, c := range map[string]struct{ key, says string }{
			"malformed": {"dtn_1 # my key", "no API key"}, "revoked": {"dtn_revoked", "was refused"},
		} {
			bed.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: testbed.Namespace, Name: name}, StringData: map[string]string{"apiKey": c.key},
			})
			made := builders.MakeClusterProvider(name, "daytona").Credentials(name).Obj()
			made.Spec.Endpoint = fake.URL()
			bed.Create(ctx, made)
			DeferCleanup(func(ctx context.Context) { bed.Delete(ctx, made) })
			bed.Eventually(ctx, made, "not Ready, saying "+c.says, func() bool {
				ready := meta.FindStatusCondition(made.Status.Conditions, v1alpha1.ConditionReady)
				matched := false
				if ready != nil && ready.Status == metav1.ConditionFalse {
					matched, _ = ContainSubstring(c.says).Match(ready.Message)
				}
				return matched
			})
		}
	})

	It("a sandbox waits for quota, and comes when there is some", func(ctx context.Context) {
		fake.Change(func(o *daytona.Options) { o.MostSandboxes = 1 })
		DeferCleanup(func() { fake.Change(func(o *daytona.Options) { o.MostSandboxes = 0 }) })
		room.Create(ctx, sandbox(room, "one").Obj(), sandbox(room, "two").Obj())
		one, two := sandbox(room, "one").Obj(), sandbox(room, "two").Obj()
		Eventually(func(g Gomega) {
			var all v1alpha1.SandboxList
			g.Expect(bed.Client.List(ctx, &all)).To(Succeed())
			waits := 0
			for _, box := range all.Items {
				for _, c := range box.Status.Conditions {
					if matched, _ := ContainSubstring("Total CPU limit").Match(c.Message); matched {
						waits++
						break
					}
				}
			}
			g.Expect(waits).To(Equal(1))
		}).WithContext(ctx).WithTimeout(testbed.Patience).Should(Succeed())
		fake.Change(func(o *daytona.Options) { o.MostSandboxes = 0 })
		bed.EventuallyReady(ctx, one)
		bed.EventuallyReady(ctx, two)
	})

	It("a sandbox whose creation got no answer is found by its name, and made once", func(ctx context.Context) {
		// What earlier specs left is on its way out meanwhile.
		before := sets.KeySet(fake.States())
		fake.Inject(daytona.Fault{
			Method: http.MethodPost, Path: "/api/sandbox", Status: http.StatusBadGateway, Body: "<html>", After: true, Times: 1,
		})
		room.Ready(ctx, sandbox(room, "box"))
		Expect(sets.KeySet(fake.States()).Difference(before)).To(HaveLen(1))
	})

	It("a sandbox that fails to start says why, and goes with its object", func(ctx context.Context) {
		box := sandbox(room, "box").With(func(s *v1alpha1.SandboxSpec) {
			s.Source = &v1alpha1.SandboxSource{Snapshot: daytona.FailingSnapshot}
		}).Obj()
		room.Create(ctx, box)
		says(ctx, box, "the entrypoint of the snapshot exited")
		bed.Eventually(ctx, box, "Stopped", func() bool { return box.Status.State == v1alpha1.SandboxStopped })
		says(ctx, box, "it keeps its quota until it is deleted")
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
	})

	It("a sandbox that was deleted there is lost", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		fake.Remove(box.Status.SandboxID)
		askAbout(ctx, "look", "box")
		bed.Eventually(ctx, box, "Gone", func() bool { return box.Status.State == v1alpha1.SandboxGone })
	})

	It("a sandbox that was archived there says what to do", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		fake.Archive(box.Status.SandboxID)
		askAbout(ctx, "look", "box")
		says(ctx, box, "set desiredState to Paused and back")
	})

	It("a sandbox in error says Daytona's reason", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		fake.Break(box.Status.SandboxID, "the runner lost it")
		askAbout(ctx, "look", "box")
		says(ctx, box, "the runner lost it")
	})
})
