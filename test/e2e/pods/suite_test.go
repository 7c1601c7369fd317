// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package pods_test holds the backend kubernetes to its contract on a real cluster, and looks what it makes of what happens to pods there:
// a part of `make e2e`, which needs no operator. With KUBECONFIG set it runs in that cluster, with SANDBOX_IMAGE (default busybox) and,
// where they are set, SANDBOX_IMAGE_NO_SHELL and SANDBOX_IMAGE_NO_TAR.
package pods_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubernetesclient "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/kubernetes"
	"github.com/sandbox-operator/sandbox-operator/test/node"
)

func TestPods(t *testing.T) {
	if os.Getenv("E2E") == "" {
		t.Skip("make e2e runs this: it wants root and some of Debian's packages, or a cluster")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(2 * time.Minute)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Sandboxes in pods of a real cluster")
}

var (
	cluster   *rest.Config
	client    *kubernetesclient.Clientset
	namespace string
	// The images: empty ones are not there.
	busybox, noShell, noTar string
)

var _ = BeforeSuite(func(ctx SpecContext) {
	if file := os.Getenv("KUBECONFIG"); file != "" {
		var err error
		cluster, err = clientcmd.BuildConfigFromFlags("", file)
		Expect(err).NotTo(HaveOccurred())
		busybox = cmp.Or(os.Getenv("SANDBOX_IMAGE"), "busybox")
		noShell, noTar = os.Getenv("SANDBOX_IMAGE_NO_SHELL"), os.Getenv("SANDBOX_IMAGE_NO_TAR")
	} else {
		Expect(node.CanRun()).To(Succeed(), "set KUBECONFIG to run in a cluster that is there")
		started, err := node.Start(ctx, node.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(started.Stop()).To(Succeed()) })
		cluster, busybox, noShell, noTar = started.Config, node.Busybox, node.NoShell, node.NoTar
	}
	client = kubernetesclient.NewForConfigOrDie(cluster)
	made, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "pods-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	namespace = made.Name
	DeferCleanup(func(ctx SpecContext) {
		Expect(client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})).To(Succeed())
	})
}, NodeTimeout(5*time.Minute))

// connect builds the backend with parameters over those of the suite.
func connect(parameters map[string]any) backends.Backend {
	GinkgoHelper()
	all := map[string]any{"namespace": namespace, "image": busybox, "imagePullPolicy": "IfNotPresent"}
	for name, value := range parameters {
		all[name] = value
	}
	raw, err := json.Marshal(all)
	Expect(err).NotTo(HaveOccurred())
	made, err := kubernetes.Registration().New(context.Background(), backends.Config{
		Parameters: raw, Cluster: cluster, Reach: backends.Reach{Trusted: true},
	})
	Expect(err).NotTo(HaveOccurred())
	return made
}

var _ = conformance.Describe("kubernetes on a real node", func() conformance.Subject {
	return conformance.Subject{
		Registration: kubernetes.Registration(), Backend: connect(nil), Another: connect(nil), Patience: 2 * time.Minute,
		Overhead: 20 * time.Second, Sources: []backends.Source{{}, {Image: busybox}},
		// Pods' addresses are their cluster's: whether endpoints lead anywhere is looked at from another pod.
	}
})

// create makes a sandbox that goes with the spec.
func create(ctx SpecContext, b backends.Backend, change func(*backends.CreateRequest)) backends.Remote {
	GinkgoHelper()
	uid := fmt.Sprint(time.Now().UnixNano())
	request := backends.CreateRequest{
		Name: "sbx-" + uid + "-1",
		Mark: backends.Mark{Installation: "e2e", Namespace: "default", Name: "one", UID: uid, Incarnation: 1, DeletionPolicy: "Delete"},
	}
	if change != nil {
		change(&request)
	}
	remote, err := b.Create(ctx, request)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { _ = b.Destroy(ctx, remote.ID) })
	return remote
}

func running(ctx SpecContext, b backends.Backend, change func(*backends.CreateRequest)) backends.Remote {
	GinkgoHelper()
	remote := create(ctx, b, change)
	Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).Should(HaveField("State", backends.StateRunning))
	return remote
}
