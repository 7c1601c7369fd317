// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"

	evaluationsv1 "example.com/evaluation/api/v1"
	"example.com/evaluation/controller"
)

// suite is an API server with the operator and the controller.
type suite struct {
	client   client.Client
	operator *sandboxtest.Operator
}

func TestEvaluations(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an API server")
	}
	s := start(t)
	t.Run("pass when every task ends with exit code 0", s.testPassed)
	t.Run("fail when a task does, and say how", s.testFailed)
	t.Run("run a task again whose sandbox was lost, where that is allowed", s.testLost)
	t.Run("run a task again whose Sandbox was deleted under it", s.testDeleted)
	t.Run("do not wait for a Sandbox that gets no other sandbox", s.testStalled)
	t.Run("leave the Sandbox of somebody else alone", s.testStranger)
	t.Run("are inconclusive when nobody knows", s.testInconclusive)
	t.Run("own what they make, and leave no sandbox behind", s.testOwnership)
}

func start(t *testing.T) suite {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{"../config/crd"}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	if err != nil {
		t.Fatal("starting an API server (KUBEBUILDER_ASSETS says where its programs are; hack/with-binaries sets it):", err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := suite{operator: sandboxtest.Start(t, config)}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, evaluationsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	if s.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	startController(t, config, scheme)
	return s
}

func startController(t *testing.T, restConfig *rest.Config, scheme *runtime.Scheme) {
	manager, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&controller.Reconciler{Client: manager.GetClient()}).SetupWithManager(manager); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- manager.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// evaluate makes an Evaluation of one task for each name, whose command is the name, and waits for its end.
func (s suite) evaluate(t *testing.T, name string, repeat int32, tasks ...string) *evaluationsv1.Evaluation {
	evaluation := s.create(t, name, repeat, tasks...)
	s.await(t, evaluation)
	return evaluation
}

// await waits for the end of an Evaluation.
func (s suite) await(t *testing.T, evaluation *evaluationsv1.Evaluation) {
	NewWithT(t).Eventually(func(g Gomega) {
		g.Expect(s.client.Get(t.Context(), client.ObjectKeyFromObject(evaluation), evaluation)).To(Succeed())
		g.Expect(meta.IsStatusConditionTrue(evaluation.Status.Conditions, evaluationsv1.ConditionFinished)).To(BeTrue())
	}, "30s", "20ms").Should(Succeed(), "%+v", evaluation.Status)
}

func (s suite) create(t *testing.T, name string, repeat int32, tasks ...string) *evaluationsv1.Evaluation {
	evaluation := &evaluationsv1.Evaluation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       evaluationsv1.EvaluationSpec{RepeatLost: repeat},
	}
	for _, task := range tasks {
		evaluation.Spec.Tasks = append(evaluation.Spec.Tasks, evaluationsv1.Task{Name: task, Command: []string{task}})
	}
	NewWithT(t).Expect(s.client.Create(t.Context(), evaluation)).To(Succeed())
	return evaluation
}

func summary(evaluation *evaluationsv1.Evaluation) string {
	finished := meta.FindStatusCondition(evaluation.Status.Conditions, evaluationsv1.ConditionFinished)
	return finished.Reason + ": " + finished.Message
}

func (s suite) testPassed(t *testing.T) {
	g := NewWithT(t)
	g.Expect(summary(s.evaluate(t, "good", 0, "build", "test"))).To(Equal("Passed: 2 passed, 0 failed, 0 inconclusive"))
	for _, program := range []string{"build", "test"} {
		g.Expect(s.operator.Commands(sandboxtest.Program(program))).To(HaveLen(1), program)
	}
}

func (s suite) testFailed(t *testing.T) {
	g := NewWithT(t)
	t.Cleanup(s.operator.On(sandboxtest.Program("lint"), sandboxtest.Result{ExitCode: 2}))
	evaluation := s.evaluate(t, "bad", 0, "compile", "lint")
	g.Expect(summary(evaluation)).To(Equal("Failed: 1 passed, 1 failed, 0 inconclusive"))
	g.Expect(evaluation.Status.Tasks[1].Message).To(Equal("Failed: The command ended with exit code 2"))
}

func (s suite) testLost(t *testing.T) {
	g := NewWithT(t)
	t.Cleanup(s.operator.On(sandboxtest.Program("fragile"),
		sandboxtest.Result{LoseSandbox: true}, sandboxtest.Result{}))
	evaluation := s.evaluate(t, "lost", 1, "fragile")
	g.Expect(summary(evaluation)).To(Equal("Passed: 1 passed, 0 failed, 0 inconclusive"), "%+v", evaluation.Status.Tasks)
	g.Expect(evaluation.Status.Tasks[0].Attempt).To(BeEquivalentTo(2))
	g.Expect(s.operator.Commands(sandboxtest.Program("fragile"))).To(HaveLen(2))
}

func (s suite) testDeleted(t *testing.T) {
	g := NewWithT(t)
	var again atomic.Bool
	t.Cleanup(s.operator.OnFunc(sandboxtest.Program("evicted"), func(ctx context.Context, c *sandboxtest.Command) sandboxtest.Result {
		if again.Swap(true) {
			return sandboxtest.Result{}
		}
		sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Sandbox}}
		if err := s.client.Delete(t.Context(), sandbox); err != nil { // not in ctx, which ends with the sandbox
			t.Error(err)
		}
		return sandboxtest.Result{Hang: true}
	}))
	evaluation := s.evaluate(t, "deleted", 1, "evicted")
	g.Expect(summary(evaluation)).To(Equal("Passed: 1 passed, 0 failed, 0 inconclusive"), "%+v", evaluation.Status.Tasks)
	g.Expect(evaluation.Status.Tasks[0].Attempt).To(BeEquivalentTo(2))
}

func (s suite) testStalled(t *testing.T) {
	g := NewWithT(t)
	t.Cleanup(s.operator.OnFunc(sandboxtest.Program("last"), func(context.Context, *sandboxtest.Command) sandboxtest.Result {
		t.Cleanup(s.operator.Trouble(sandboxtest.Trouble{
			Operation: sandboxtest.Create, Sandbox: "stalled", Failure: sandboxtest.Invalid, Message: "the image is gone",
		}))
		return sandboxtest.Result{LoseSandbox: true}
	}))
	evaluation := s.evaluate(t, "stalled", 3, "last")
	g.Expect(summary(evaluation)).To(Equal("Inconclusive: 0 passed, 0 failed, 1 inconclusive"))
	g.Expect(evaluation.Status.Tasks[0].Message).To(And(HavePrefix("SandboxLost: "), ContainSubstring("the image is gone")))
}

func (s suite) testStranger(t *testing.T) {
	g := NewWithT(t)
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "taken"}}
	g.Expect(s.client.Create(t.Context(), sandbox)).To(Succeed())
	evaluation := s.create(t, "taken", 0, "trespass")
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(evaluation)}
	_, err := (&controller.Reconciler{Client: s.client}).Reconcile(t.Context(), request)
	g.Expect(err).To(MatchError(ContainSubstring("somebody else's")))
	result, err := (&controller.Reconciler{Client: unheard{s.client}}).Reconcile(t.Context(), request)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.RequeueAfter).NotTo(BeZero())
	g.Expect(s.client.Get(t.Context(), client.ObjectKeyFromObject(sandbox), sandbox)).To(Succeed())
	g.Expect(sandbox.OwnerReferences).To(BeEmpty())
	g.Expect(s.operator.Commands(sandboxtest.Program("trespass"))).To(BeEmpty())
	// The controller goes on with it until it is gone.
	g.Expect(s.client.Delete(t.Context(), evaluation)).To(Succeed())
}

// unheard is a cache that was not told of any Sandbox yet.
type unheard struct{ client.Client }

func (u unheard) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*v1alpha1.Sandbox); ok {
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("sandboxes").GroupResource(), key.Name)
	}
	return u.Client.Get(ctx, key, object, options...)
}

func (s suite) testInconclusive(t *testing.T) {
	g := NewWithT(t)
	t.Cleanup(s.operator.On(sandboxtest.Program("doomed"), sandboxtest.Result{LoseSandbox: true}))
	evaluation := s.evaluate(t, "unknown", 0, "doomed")
	g.Expect(summary(evaluation)).To(Equal("Inconclusive: 0 passed, 0 failed, 1 inconclusive"))
	g.Expect(evaluation.Status.Tasks[0].Message).To(HavePrefix("SandboxLost: "))

	t.Cleanup(s.operator.Trouble(sandboxtest.Trouble{
		Operation: sandboxtest.Create, Sandbox: "refused", Failure: sandboxtest.Invalid, Message: "there is no such image",
	}))
	evaluation = s.evaluate(t, "refused", 3, "never")
	g.Expect(evaluation.Status.Tasks[0].Message).To(HavePrefix("StartFailed: "))
	g.Expect(evaluation.Status.Tasks[0].Message).To(ContainSubstring("there is no such image"))
	g.Expect(s.operator.Commands(sandboxtest.Program("never"))).To(BeEmpty())
}

func (s suite) testOwnership(t *testing.T) {
	g := NewWithT(t)
	t.Cleanup(s.operator.On(sandboxtest.Program("slow"), sandboxtest.Result{Delay: 500 * time.Millisecond}))
	evaluation := s.create(t, "owner", 0, "slow")
	sandbox, exec := &v1alpha1.Sandbox{}, &v1alpha1.SandboxExec{}
	g.Eventually(func(g Gomega) {
		g.Expect(s.client.Get(t.Context(), client.ObjectKeyFromObject(evaluation), sandbox)).To(Succeed())
		g.Expect(s.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "owner-slow-1"}, exec)).To(Succeed())
	}, "30s", "20ms").Should(Succeed())
	// Who collects garbage in a cluster goes by these; envtest has nobody who does.
	g.Expect(metav1.IsControlledBy(sandbox, evaluation)).To(BeTrue())
	g.Expect(metav1.IsControlledBy(exec, evaluation)).To(BeTrue())
	g.Eventually(func(g Gomega) {
		g.Expect(s.client.Get(t.Context(), client.ObjectKeyFromObject(exec), exec)).To(Succeed())
		g.Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded))
		g.Expect(client.IgnoreNotFound(s.client.Get(t.Context(), client.ObjectKeyFromObject(sandbox), sandbox))).To(Succeed())
		for _, remote := range s.operator.Sandboxes() {
			g.Expect(remote.Name).NotTo(Equal("owner"), "the sandbox is still there")
		}
	}, "30s", "20ms").Should(Succeed())
}
