// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitops_test asks what GitOps tools ask: kstatus, by Flux's own library, and Argo CD's health scripts, by the Lua interpreter
// that Argo CD has, how our objects are over their whole life; kustomize what becomes of names; and a real API server whether to apply
// a manifest again changes anything. docs/gitops.md is what users are told of it.
package gitops_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
)

const root = "../.."

var (
	plane    *controlplane.ControlPlane
	k8s      client.Client
	operator *sandboxtest.Operator
	scheme   = runtime.NewScheme()
)

func TestGitOps(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an API server")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	log.SetLogger(GinkgoLogr)
	RunSpecs(t, "GitOps")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	var err error
	plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{"config/crd/bases"}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(plane.Stop()).To(Succeed()) })
	k8s, err = client.New(plane.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	operator = sandboxtest.Start(GinkgoTB(), plane.Config)
})

var namespaces atomic.Int32

func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	name := fmt.Sprintf("spec-%d", namespaces.Add(1))
	Expect(k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	// What one spec leaves behind would take the providers of the next.
	DeferCleanup(func(ctx SpecContext) {
		for _, kind := range []string{"SandboxExec", "Sandbox", "SandboxProvider"} {
			all := &unstructured.UnstructuredList{}
			all.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
			Expect(k8s.DeleteAllOf(ctx, object(kind, name, "", nil), client.InNamespace(name))).To(Succeed())
			Eventually(func(g Gomega) {
				g.Expect(k8s.List(ctx, all, client.InNamespace(name))).To(Succeed())
				g.Expect(all.Items).To(BeEmpty(), "a %s does not go", kind)
			}).Should(Succeed())
		}
	})
	return name
}

// object is a new object of ours.
func object(kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

func run(namespace, name, sandbox string, more map[string]any) *unstructured.Unstructured {
	spec := map[string]any{"sandboxRef": map[string]any{"name": sandbox}, "command": []any{name}}
	for key, value := range more {
		spec[key] = value
	}
	return object("SandboxExec", namespace, name, spec)
}

func create(ctx context.Context, objects ...*unstructured.Unstructured) {
	GinkgoHelper()
	for _, o := range objects {
		Expect(k8s.Create(ctx, o)).To(Succeed())
	}
}

// refresh reads the object anew.
func refresh(ctx context.Context, o *unstructured.Unstructured) *unstructured.Unstructured {
	GinkgoHelper()
	Expect(k8s.Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
	return o
}

func gone(ctx context.Context, o client.Object) {
	GinkgoHelper()
	Eventually(func() bool {
		return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(o), o))
	}).Should(BeTrue(), "%s does not go", o.GetName())
}
