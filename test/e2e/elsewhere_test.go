// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// elsewhere has sandboxes in a cluster that a kubeconfig in a Secret leads to. It is the same cluster by another door: a user who may
// do nothing but what the page of the provider asks for, in one namespace.
func elsewhere() {
	It("has sandboxes where a kubeconfig leads, with that user's rights alone", func(ctx SpecContext) {
		if at.node == nil {
			Skip("needs a cluster of the suite's own, for a user of it")
		}
		there := newGuestRoom(ctx, "guest")
		kubeconfig, err := at.node.KubeconfigInside("guest")
		Expect(err).NotTo(HaveOccurred())
		here := &room{cluster: at, name: newNamespace(ctx)}
		name := here.name + "-there"
		here.create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name},
			Data:       map[string][]byte{"kubeconfig": kubeconfig},
		})
		provider := builders.MakeClusterProvider(name, "kubernetes").Credentials(name).
			Parameters(`{"namespace": "` + there.name + `", "image": "` + at.busybox + `", "imagePullPolicy": "IfNotPresent"}`).Obj()
		here.create(ctx, provider)
		sandbox := builders.MakeSandbox(here.name, "box").ClusterProvider(name).Obj()
		here.create(ctx, sandbox)
		here.eventually(ctx, sandbox, "Ready", func() bool {
			return condition(sandbox.Status.Conditions, v1alpha1.ConditionReady) == "True/"+v1alpha1.ReasonReady
		})
		Expect(there.podOf(ctx, sandbox)).NotTo(BeNil())
		Expect(here.pods(ctx)).To(BeEmpty())
		Expect(here.run(ctx, "run", "box", "echo there")).To(Equal("there\n"))

		By("taking it away again")
		Expect(at.Delete(ctx, sandbox)).To(Succeed())
		at.eventuallyGone(ctx, sandbox)
		Expect(there.pods(ctx)).To(BeEmpty())
		Expect(at.Delete(ctx, provider)).To(Succeed())
		at.eventuallyGone(ctx, provider)
		Expect(at.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name}})).To(Succeed())
	}, NodeTimeout(3*time.Minute))
}
