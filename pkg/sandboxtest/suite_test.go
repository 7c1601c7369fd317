// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"
)

var (
	k8s      client.Client
	operator *sandboxtest.Operator
	scheme   = runtime.NewScheme()
)

func TestSandboxtest(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an API server")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	log.SetLogger(GinkgoLogr)
	RunSpecs(t, "Package sandboxtest")
}

// The suite is as an outsider's: envtest, with nothing of ours in it.
var _ = BeforeSuite(func(ctx SpecContext) {
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	environment := &envtest.Environment{}
	config, err := environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	k8s, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	// The suite's own connection is there before the operator is.
	Expect(k8s.List(ctx, &corev1.NamespaceList{})).To(Succeed())
	before := goleak.IgnoreCurrent()
	DeferCleanup(func() { Eventually(func() error { return goleak.Find(before) }).Should(Succeed()) })
	operator = sandboxtest.Start(GinkgoTB(), config)
})

var namespaces atomic.Int32

func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	name := fmt.Sprintf("spec-%d", namespaces.Add(1))
	Expect(k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	return name
}

func makeSandbox(ctx context.Context, namespace, name string, change ...func(*v1alpha1.SandboxSpec)) *v1alpha1.Sandbox {
	GinkgoHelper()
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, c := range change {
		c(&sandbox.Spec)
	}
	Expect(k8s.Create(ctx, sandbox)).To(Succeed())
	return sandbox
}

func makeExec(ctx context.Context, namespace, name, sandbox string, change ...func(*v1alpha1.SandboxExecSpec)) *v1alpha1.SandboxExec {
	GinkgoHelper()
	exec := &v1alpha1.SandboxExec{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.SandboxExecSpec{
			SandboxRef: &v1alpha1.LocalReference{Name: sandbox}, Command: []string{name, "argument"},
		},
	}
	for _, c := range change {
		c(&exec.Spec)
	}
	Expect(k8s.Create(ctx, exec)).To(Succeed())
	return exec
}

// outcome waits for the end of the run.
func outcome(ctx context.Context, exec *v1alpha1.SandboxExec) v1alpha1.ExecOutcome {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(exec), exec)).To(Succeed())
		g.Expect(exec.Status.Outcome).NotTo(BeEmpty(), "%s", message(exec.Status.Conditions))
	}).Should(Succeed())
	return exec.Status.Outcome
}

func message(conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "no condition Ready"
	}
	return fmt.Sprintf("%s/%s: %s", ready.Status, ready.Reason, ready.Message)
}

// readiness waits until the Sandbox says so.
func readiness(ctx context.Context, sandbox *v1alpha1.Sandbox, prefix string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(k8s.Get(ctx, client.ObjectKeyFromObject(sandbox), sandbox)).To(Succeed())
		g.Expect(message(sandbox.Status.Conditions)).To(HavePrefix(prefix))
	}).Should(Succeed())
}

func gone(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Expect(k8s.Delete(ctx, object)).To(Succeed())
	Eventually(func() bool {
		return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(object), object))
	}).Should(BeTrue(), "the object does not go")
}
