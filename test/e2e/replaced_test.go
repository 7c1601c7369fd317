// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// mostForHandover is how long nobody may lead after a leader was asked to end.
const mostForHandover = 5 * time.Second

// counting is a command that takes a while, leaves a trace of every time that it is run, and says at the end how many there are.
const counting = "echo run >>/tmp/runs; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 1; done; grep -c run /tmp/runs"

// counted is what it prints if it ran once and nothing of it was lost.
const counted = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n1\n"

func replaced() {
	It("hands over within seconds when its leader is asked to end", Label(ci), func(ctx SpecContext) {
		r := newRoom(ctx)
		r.ready(ctx, "box")
		exec := r.start(ctx, "run", "box", counting)
		took := r.replaceLeader(ctx)
		AddReportEntry("handed over after " + took.Round(time.Millisecond).String())
		GinkgoWriter.Printf("Handed over after %v\n", took.Round(time.Millisecond))
		Expect(took).To(BeNumerically("<", mostForHandover))

		By("working on at once")
		Expect(r.run(ctx, "another", "box", "echo here")).To(Equal("here\n"))
		r.expectCounted(ctx, exec)
		r.waitForReplicas(ctx)
	}, NodeTimeout(3*time.Minute))

	It("loses nothing when its leader is killed", func(ctx SpecContext) {
		r := newRoom(ctx)
		r.ready(ctx, "box")
		exec := r.start(ctx, "run", "box", counting)
		leader := at.leader(ctx)
		at.ctl(ctx, "delete", "pod", leader, "-n", system, "--grace-period=0", "--force")
		Eventually(func() string { return at.leader(ctx) }).WithContext(ctx).ShouldNot(Or(BeEmpty(), Equal(leader)))
		r.expectCounted(ctx, exec)
		r.waitForReplicas(ctx)
	}, NodeTimeout(3*time.Minute))

	It("loses nothing when it is updated", Label(ci), func(ctx SpecContext) {
		r := newRoom(ctx)
		sandbox := r.ready(ctx, "box")
		before := r.podOf(ctx, sandbox).UID
		exec := r.start(ctx, "run", "box", counting)
		at.install(ctx, at.next)
		r.expectCounted(ctx, exec)
		Expect(r.podOf(ctx, sandbox).UID).To(Equal(before), "the sandbox is the same")
		Expect(r.run(ctx, "after", "box", "cat /tmp/runs")).To(Equal("run\n"))
		for _, pod := range at.managers(ctx) {
			Expect(pod.Spec.Containers[0].Image).To(Equal(at.next))
		}
	}, NodeTimeout(4*time.Minute))

	It("waits, when it is asked to end, for a command that would die with it", func(ctx SpecContext) {
		if at.noShell == "" {
			Skip("needs an image without a shell: set SANDBOX_IMAGE_NO_SHELL")
		}
		r := newBareRoom(ctx)
		// The image's own first process keeps no lease.
		parameters := `{"image": "` + at.noShell + `", "imagePullPolicy": "IfNotPresent", "firstProcess": "Image"}`
		r.create(ctx, builders.MakeProvider(r.name, "pods", "kubernetes").Default().Lease(0).Parameters(parameters).Obj())
		r.ready(ctx, "box")
		exec := builders.MakeExec(r.name, "run", "box").Command("/pause", "sleep", "15s").Timeout(0).Obj()
		r.create(ctx, exec)
		r.eventually(ctx, exec, "running within a call", func() bool {
			return condition(exec.Status.Conditions, v1alpha1.ConditionStarted) == "True/"+v1alpha1.ReasonAttached
		})
		r.replaceLeader(ctx)
		r.finished(ctx, exec)
		Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), func() string { return state(exec) })
		Expect(exec.Status.Stdout.Head).To(Equal("slept 15s\n"))
		r.waitForReplicas(ctx)
	}, NodeTimeout(3*time.Minute))
}

// replaceLeader deletes the leader's pod as an administrator or an update does, and returns how long nobody else led.
func (c *cluster) replaceLeader(ctx context.Context) time.Duration {
	GinkgoHelper()
	leader := c.leader(ctx)
	Expect(leader).NotTo(BeEmpty())
	began := time.Now()
	Expect(c.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: leader}})).To(Succeed())
	Eventually(func() string { return c.leader(ctx) }).WithContext(ctx).ShouldNot(Or(BeEmpty(), Equal(leader)))
	return time.Since(began)
}

// expectCounted waits for the end of a command that is counting.
func (r *room) expectCounted(ctx context.Context, exec *v1alpha1.SandboxExec) {
	GinkgoHelper()
	r.finished(ctx, exec)
	Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), func() string { return state(exec) })
	Expect(exec.Status.Stdout.Head).To(Equal(counted), func() string { return state(exec) })
	Expect(client.IgnoreNotFound(r.Delete(ctx, exec))).To(Succeed())
}
