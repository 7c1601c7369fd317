// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	apply "github.com/sandbox-operator/sandbox-operator/pkg/client/applyconfiguration/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/pkg/client/clientset/versioned"
	"github.com/sandbox-operator/sandbox-operator/pkg/client/clientset/versioned/fake"
	"github.com/sandbox-operator/sandbox-operator/pkg/client/informers/externalversions"
	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"
)

func TestTheClientOnARealAPIServer(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an API server")
	}
	environment := &envtest.Environment{}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	operator := sandboxtest.Start(t, config)
	operator.On(sandboxtest.Any(), sandboxtest.Result{Stdout: "hello\n"})
	t.Run("runs the examples", func(t *testing.T) { testExamples(t, config) })
	clientset, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("merges lists as the API server does", func(t *testing.T) { testApply(t, clientset) })
	t.Run("follows objects", func(t *testing.T) { testInformer(t, clientset) })
}

func testExamples(t *testing.T, config *rest.Config) {
	g := NewWithT(t)
	for _, run := range []func(context.Context, *rest.Config, string) (string, error){runByClientset, runByControllerRuntime} {
		g.Expect(run(t.Context(), config, "default")).To(Equal("hello\n"))
	}
}

// testApply has two managers own a part each of what the schema calls a map, and of what it calls atomic only one.
func testApply(t *testing.T, clientset versioned.Interface) {
	g := NewWithT(t)
	sandboxes := clientset.SandboxesV1alpha1().Sandboxes("default")
	as := func(manager string) metav1.ApplyOptions { return metav1.ApplyOptions{FieldManager: manager} }
	with := func(number int32) *apply.SandboxApplyConfiguration {
		return apply.Sandbox("shared", "default").WithSpec(apply.SandboxSpec().
			WithPorts(apply.SandboxPort().WithName("p").WithPort(number)))
	}
	port := with(8080)
	first, err := sandboxes.Apply(t.Context(), port, as("first"))
	g.Expect(err).NotTo(HaveOccurred())
	labelled := apply.Sandbox("shared", "default").WithLabels(map[string]string{"team": "a"})
	second, err := sandboxes.Apply(t.Context(), labelled, as("second"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(second.Spec).To(Equal(first.Spec), "what another applies stays")

	// Extract needs the schema: what a manager owns of a live object.
	mine, err := apply.ExtractSandbox(second, "first")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(mine.Spec).To(Equal(port.Spec))
	g.Expect(mine.Labels).To(BeEmpty())
	again, err := sandboxes.Apply(t.Context(), mine, as("first"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.Spec).To(Equal(first.Spec))
	_, err = sandboxes.Apply(t.Context(), with(9090), as("second"))
	g.Expect(err).To(MatchError(ContainSubstring(`conflict with "first"`)))
}

func testInformer(t *testing.T, clientset versioned.Interface) {
	g := NewWithT(t)
	factory := externalversions.NewSharedInformerFactoryWithOptions(clientset, 0, externalversions.WithNamespace("default"))
	lister := factory.Sandboxes().V1alpha1().Sandboxes().Lister()
	ctx, cancel := context.WithCancel(t.Context())
	defer factory.Shutdown()
	defer cancel()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	_, err := clientset.SandboxesV1alpha1().Sandboxes("default").Create(ctx,
		&v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: "followed"}}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func(g Gomega) {
		found, err := lister.Sandboxes("default").Get("followed")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found.Status.SandboxID).NotTo(BeEmpty())
	}, "30s", "20ms").Should(Succeed())
	g.Expect(lister.List(labels.Everything())).NotTo(BeEmpty())
}

func TestTheFakeClientAppliesAsTheAPIServerDoes(t *testing.T) {
	g := NewWithT(t)
	execs := fake.NewClientset().SandboxesV1alpha1().SandboxExecs("default")
	variable := func(name string) *apply.SandboxExecApplyConfiguration {
		return apply.SandboxExec("run", "default").WithSpec(apply.SandboxExecSpec().
			WithCommand("env").WithEnv(apply.EnvVar().WithName(name).WithValue("1")))
	}
	for _, name := range []string{"A", "B"} {
		_, err := execs.Apply(t.Context(), variable(name), metav1.ApplyOptions{FieldManager: name, Force: true})
		g.Expect(err).NotTo(HaveOccurred())
	}
	run, err := execs.Get(t.Context(), "run", metav1.GetOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(run.Spec.Env).To(HaveLen(2), "env is a map by name: each manager has its own entry")
	g.Expect(run.Spec.Command).To(Equal([]string{"env"}))
}
