// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package kubernetes_test runs the operator with pods as sandboxes, on a control plane whose one node is a fake that really runs them.
package kubernetes_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/kubelet"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed  *testbed.Bed
	node *kubelet.Kubelet
)

// pods is the namespace of the cluster provider's.
const pods = "sandboxes"

func TestTheOperatorWithPods(t *testing.T) { testbed.RunSuite(t, "The operator with pods") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	// What is to be seen is that the watch tells, not the inventory.
	bed, err = testbed.Start(ctx, testbed.Options{Arguments: []string{"--backends=kubernetes", "--provider-period=1h"}})
	Expect(err).NotTo(HaveOccurred())
	node, err = kubelet.Start(ctx, kubelet.Options{
		Config: bed.Plane.Config, Dir: GinkgoT().TempDir(), StartDelay: 300 * time.Millisecond,
	})
	Expect(err).NotTo(HaveOccurred())
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	bed.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pods, Labels: labels}},
		builders.MakeClusterProvider("pods", "kubernetes").Parameters(`{"namespace": "sandboxes", "image": "example.com/tools:1"}`).Obj())
	Expect(bed.StartManager()).To(Succeed())
})

// All namespaces of specs are deleted by now: no pod may be left.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	DeferCleanup(node.Stop)
	var left corev1.PodList
	Eventually(func(g Gomega) {
		g.Expect(bed.Client.List(ctx, &left)).To(Succeed())
		g.Expect(left.Items).To(BeEmpty())
	}).WithTimeout(testbed.Patience).Should(Succeed(), bed.LogTail)
})

func sandbox(room *testbed.Room, name string) *builders.SandboxBuilder {
	return builders.MakeSandbox(room.Namespace, name).ClusterProvider("pods")
}
