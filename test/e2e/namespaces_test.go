// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

func inNamespaces() {
	It("waits for a place in the namespace's quota, and says so", func(ctx SpecContext) {
		r := newRoom(ctx)
		r.create(ctx, &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.name, Name: "pods"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}},
		})
		first := r.ready(ctx, "first")
		second := builders.MakeSandbox(r.name, "second").Obj()
		r.create(ctx, second)
		r.eventually(ctx, second, "waiting for quota", func() bool {
			c := meta.FindStatusCondition(second.Status.Conditions, v1alpha1.ConditionReady)
			return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonQuotaExceeded
		})

		By("making room")
		Expect(r.Delete(ctx, first)).To(Succeed())
		r.eventually(ctx, second, "Ready", func() bool {
			return meta.IsStatusConditionTrue(second.Status.Conditions, v1alpha1.ConditionReady)
		})
	}, NodeTimeout(4*time.Minute))

	It("has pods with the namespace's default limits", func(ctx SpecContext) {
		r := newRoom(ctx)
		r.create(ctx, &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.name, Name: "limits"},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
				Type:    corev1.LimitTypeContainer,
				Default: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("48Mi")},
				Max:     corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
			}}},
		})
		sandbox := r.ready(ctx, "box")
		Expect(r.podOf(ctx, sandbox).Spec.Containers[0].Resources.Limits.Memory().String()).To(Equal("48Mi"))
		Expect(r.run(ctx, "run", "box", "echo here")).To(Equal("here\n"))

		By("asking for more than is allowed")
		large := builders.MakeSandbox(r.name, "large").Memory("128Mi").Obj()
		r.create(ctx, large)
		r.eventually(ctx, large, "refused", func() bool {
			c := meta.FindStatusCondition(large.Status.Conditions, v1alpha1.ConditionReady)
			return c != nil && c.Status == metav1.ConditionFalse && c.Message != "" && large.Status.SandboxID == ""
		})
		Expect(meta.FindStatusCondition(large.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("64Mi"))
	}, NodeTimeout(3*time.Minute))

	It("goes down with all that is in it", Label(ci), func(ctx SpecContext) {
		r := newRoom(ctx)
		r.ready(ctx, "box")
		r.start(ctx, "run", "box", "sleep 600")
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.name}}
		Expect(r.Delete(ctx, namespace)).To(Succeed())
		r.eventuallyGone(ctx, namespace)
	}, NodeTimeout(3*time.Minute))
}
