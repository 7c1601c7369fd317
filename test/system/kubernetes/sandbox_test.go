// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubernetes_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/kubelet"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A sandbox in a pod", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	podOf := func(ctx context.Context, box *v1alpha1.Sandbox) *corev1.Pod {
		GinkgoHelper()
		parts := strings.Split(box.Status.SandboxID, "/")
		Expect(parts).To(HaveLen(3))
		var pod corev1.Pod
		Expect(bed.Client.Get(ctx, client.ObjectKey{Namespace: parts[0], Name: parts[1]}, &pod)).To(Succeed())
		return &pod
	}

	It("is made, used and taken away like any other", func(ctx context.Context) {
		start := bed.Proxy.Now()
		room.Secret(ctx, "keys", map[string]string{"key": "s3cret-value"})
		box := room.Ready(ctx, sandbox(room, "box").File("/workspace/file", "content").Env("PLAIN", "seen").
			EnvFrom("KEY", builders.SecretKey("keys", "key")).Memory("256Mi"))
		Expect(box.Status.Image).To(ContainSubstring("sha256:"))
		run := room.Run(ctx, room.Exec("run", "box").Shell("cat /workspace/file; echo $PLAIN >&2; exit 3"))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(3), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("content"))
		Expect(run.Status.Stderr.Head).To(Equal("seen\n"))
		Expect(room.Output(ctx, "secret", "box", `[ "$KEY" = s3cret-value ] && echo known`)).To(Equal("known\n"))
		Expect(podOf(ctx, box).String()).NotTo(ContainSubstring("s3cret"))
		for _, request := range bed.Proxy.Since(start) {
			Expect(request.String()).NotTo(ContainSubstring("s3cret"))
		}
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
	})

	// readyAfter is how long after its pod runs a client sees that the Sandbox is Ready.
	readyAfter := func(ctx context.Context, box *v1alpha1.Sandbox) time.Duration {
		GinkgoHelper()
		ready := make(chan time.Time, 1)
		boxes, err := bed.Client.Watch(ctx, &v1alpha1.SandboxList{}, client.InNamespace(room.Namespace))
		Expect(err).NotTo(HaveOccurred())
		name := box.Name
		go func() {
			for event := range boxes.ResultChan() {
				found, ok := event.Object.(*v1alpha1.Sandbox)
				if ok && found.Name == name && meta.IsStatusConditionTrue(found.Status.Conditions, v1alpha1.ConditionReady) {
					ready <- time.Now()
					return
				}
			}
		}()
		bed.Create(ctx, box)
		var at time.Time
		Eventually(ready).WithTimeout(testbed.Patience).Should(Receive(&at))
		boxes.Stop()
		room.EventuallyReady(ctx, box)
		since, err := time.Parse(time.RFC3339Nano, podOf(ctx, box).Annotations[kubelet.RunsSince])
		Expect(err).NotTo(HaveOccurred())
		return at.Sub(since)
	}

	It("is Ready as soon as its pod runs, at a cost of 3 writes", func(ctx context.Context) {
		room.Ready(ctx, sandbox(room, "first"))
		var delays []time.Duration
		for i := range 10 {
			began := bed.Proxy.Now()
			delays = append(delays, readyAfter(ctx, sandbox(room, fmt.Sprintf("box-%d", i)).Obj()))
			writes := bed.Proxy.Since(began, func(r apiproxy.Request) bool {
				return apiproxy.IsWrite(r) && r.Namespace == room.Namespace && !strings.HasPrefix(r.Resource, "events")
			})
			Expect(writes).To(HaveLen(3), "%v", writes)
		}
		slices.Sort(delays)
		AddReportEntry("from the pod's running to Ready", fmt.Sprint(delays))
		Expect(delays[len(delays)/2]).To(BeNumerically("<", 100*time.Millisecond), "polling would take half a second")
	})

	It("is that also where another instance owns the provider", func(ctx context.Context) {
		other, err := bed.StartAnother("--shards=2", "--shard=a", "--metrics-bind-address=0", "--health-probe-bind-address=0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(other.Kill)
		box := func(name string) *builders.SandboxBuilder { return sandbox(room, name).Label(v1alpha1.ShardLabel, "a") }
		room.Ready(ctx, box("first"))
		var delays []time.Duration
		boxes := []*v1alpha1.Sandbox{box("first").Obj()}
		for i := range 5 {
			boxes = append(boxes, box(fmt.Sprintf("box-%d", i)).Obj())
			delays = append(delays, readyAfter(ctx, boxes[i+1]))
		}
		slices.Sort(delays)
		AddReportEntry("from the pod's running to Ready", fmt.Sprint(delays))
		Expect(delays[len(delays)/2]).To(BeNumerically("<", 150*time.Millisecond), "polling would take half a second")
		// Nobody else takes them away.
		for _, box := range boxes {
			room.Delete(ctx, box)
			room.EventuallyGone(ctx, box)
		}
	})

	It("that is evicted says so at once, without being asked", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		node.End(pods, podOf(ctx, box).Name, "Evicted")
		condition := room.EventuallyNotReady(ctx, box, v1alpha1.ReasonRemoteStopped)
		Expect(condition.Message).To(ContainSubstring("its node evicted it"))
	})

	It("that can't start tells why while it waits", func(ctx context.Context) {
		box := sandbox(room, "box").Image("registry.invalid/none:1").Obj()
		room.Create(ctx, box)
		room.Eventually(ctx, box, "waiting for its image", func() bool {
			ready := meta.FindStatusCondition(box.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil && strings.Contains(ready.Message, "its image can't be pulled")
		})
	})

	It("of a tenant's own provider is in his namespace, and in no other", func(ctx context.Context) {
		room.Create(ctx, builders.MakeProvider(room.Namespace, "own", "kubernetes").Parameters(`{"image": "example.com/tools:1"}`).Obj(),
			builders.MakeProvider(room.Namespace, "greedy", "kubernetes").Parameters(`{"namespace": "kube-system"}`).Obj())
		box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("own"))
		Expect(podOf(ctx, box).Namespace).To(Equal(room.Namespace))
		refused := builders.MakeSandbox(room.Namespace, "refused").NamespacedProvider("greedy").Image("example.com/tools:1").Obj()
		room.Create(ctx, refused)
		condition := room.EventuallyNotReady(ctx, refused, v1alpha1.ReasonInvalidParameters)
		Expect(condition.Message).To(ContainSubstring("in its own namespace"))
		var elsewhere corev1.PodList
		Expect(bed.Client.List(ctx, &elsewhere, client.InNamespace(metav1.NamespaceSystem))).To(Succeed())
		Expect(elsewhere.Items).To(BeEmpty())
	})

	It("outlives the manager, with its commands", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		run := room.Exec("run", "box").Shell("echo begun >>/workspace/log; sleep 3; cat /workspace/log").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		Expect(bed.KillManager()).To(Succeed())
		Expect(bed.StartManager()).To(Succeed())
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("begun\n"))
		Expect(podOf(ctx, box).UID).NotTo(BeEmpty())
	})
})
