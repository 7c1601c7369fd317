// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

func whenNodesFail() {
	It("loses nothing when kubelet and container runtime are restarted", func(ctx SpecContext) {
		needNode()
		r := newRoom(ctx)
		sandbox := r.ready(ctx, "box")
		before := r.podOf(ctx, sandbox).UID
		exec := r.start(ctx, "run", "box", counting)
		Expect(at.node.RestartWorkers(ctx)).To(Succeed())
		r.expectCounted(ctx, exec)
		Expect(r.podOf(ctx, sandbox).UID).To(Equal(before))
		at.waitForReplicas(ctx)
	}, NodeTimeout(4*time.Minute))

	It("loses nothing while the API server is away for a minute", func(ctx SpecContext) {
		needNode()
		r := newRoom(ctx)
		sandbox := r.ready(ctx, "box")
		before := r.podOf(ctx, sandbox).UID
		exec := r.start(ctx, "run", "box", counting)
		Expect(at.node.StopAPIServer(ctx)).To(Succeed())
		// The time itself is what is tried: long enough for leases to end and for the managers to end with them.
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
		}
		Expect(at.node.StartAPIServer(ctx)).To(Succeed())
		r.expectCounted(ctx, exec)
		Expect(r.podOf(ctx, sandbox).UID).To(Equal(before))
		Expect(r.run(ctx, "after", "box", "echo here")).To(Equal("here\n"))
		at.waitForReplicas(ctx)
	}, NodeTimeout(6*time.Minute))

	It("says what a drained node took", func(ctx SpecContext) {
		needNode()
		r := newRoom(ctx)
		sandbox := r.ready(ctx, "box")
		exec := r.start(ctx, "run", "box", "sleep 600")
		drained := r.podOf(ctx, sandbox).Spec.NodeName
		DeferCleanup(func(ctx SpecContext) { at.ctl(ctx, "uncordon", drained) })
		at.ctl(ctx, "drain", drained, "--force", "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=120s")
		r.finished(ctx, exec)
		Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSandboxLost), func() string { return state(exec) })
		r.expectLost(ctx, sandbox)

		By("working on on the other node")
		r.ready(ctx, "another")
		Expect(r.run(ctx, "run-another", "another", "echo here")).To(Equal("here\n"))
		at.waitForReplicas(ctx)
	}, NodeTimeout(5*time.Minute))

	It("says what a reboot took, and works on after it", func(ctx SpecContext) {
		needNode()
		r := newRoom(ctx)
		sandbox := r.ready(ctx, "box")
		exec := r.start(ctx, "run", "box", "sleep 600")
		Expect(at.node.Reboot(ctx)).To(Succeed())
		r.finished(ctx, exec)
		Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSandboxLost), func() string { return state(exec) })
		r.expectLost(ctx, sandbox)
		r.ready(ctx, "another")
		Expect(r.run(ctx, "run-another", "another", "echo here")).To(Equal("here\n"))
		at.waitForReplicas(ctx)
	}, NodeTimeout(5*time.Minute))
}

// expectLost waits until the Sandbox says for good that its pod is over, and why.
func (r *room) expectLost(ctx context.Context, sandbox *v1alpha1.Sandbox) {
	GinkgoHelper()
	r.eventually(ctx, sandbox, "lost", func() bool {
		c := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionStalled)
		return c != nil && c.Status == metav1.ConditionTrue &&
			(c.Reason == v1alpha1.ReasonRemoteGone || c.Reason == v1alpha1.ReasonRemoteStopped)
	})
	AddReportEntry("what the Sandbox says", meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionStalled).Message)
}

func needNode() {
	if at.node == nil {
		Skip("needs a cluster of the suite's own: this one's nodes are somebody's")
	}
}
