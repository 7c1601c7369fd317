// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// podsRole is the role that the operator, or whoever its kubeconfig is of, needs where sandboxes are pods.
const podsRole = "sandbox-operator-sandbox-pods"

// room is a namespace of one spec's own, with pods as sandboxes.
type room struct {
	*cluster
	name string
}

// newRoom makes a namespace whose pods must meet the restricted standard, lets the operator make pods in it, and makes the namespace's
// default provider. It is deleted with the spec.
func newRoom(ctx context.Context) *room {
	GinkgoHelper()
	r := newBareRoom(ctx)
	r.provider(ctx, `{"image": "`+r.busybox+`", "imagePullPolicy": "IfNotPresent"}`)
	return r
}

func newBareRoom(ctx context.Context) *room {
	GinkgoHelper()
	r := &room{cluster: at, name: newNamespace(ctx)}
	r.allowPods(ctx, r.name)
	return r
}

// newGuestRoom makes a namespace where not the operator may make pods, but a user.
func newGuestRoom(ctx context.Context, user string) *room {
	GinkgoHelper()
	r := &room{cluster: at, name: newNamespace(ctx)}
	r.ctl(ctx, "create", "rolebinding", "sandbox-pods", "-n", r.name, "--clusterrole="+podsRole, "--user="+user)
	return r
}

// newNamespace makes a namespace for the spec, which is deleted with it.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	Expect(at.Create(ctx, namespace)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			AddReportEntry("what there is in "+namespace.Name, at.report(ctx, namespace.Name))
		}
		Expect(client.IgnoreNotFound(at.Delete(ctx, namespace))).To(Succeed())
		at.eventuallyGone(ctx, namespace)
	}, NodeTimeout(3*time.Minute))
	return namespace.Name
}

// allowPods does what docs/providers/kubernetes.md says an administrator does.
func (c *cluster) allowPods(ctx context.Context, namespace string) {
	GinkgoHelper()
	c.ctl(ctx, "create", "rolebinding", "sandbox-pods", "-n", namespace, "--clusterrole="+podsRole,
		"--serviceaccount="+system+":sandbox-operator-controller-manager")
}

func (r *room) provider(ctx context.Context, parameters string) {
	GinkgoHelper()
	r.create(ctx, builders.MakeProvider(r.name, "pods", "kubernetes").Default().Parameters(parameters).Obj())
}

func (r *room) create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(r.Create(ctx, object)).To(Succeed())
	}
}

// ready makes a Sandbox and waits until it is Ready.
func (r *room) ready(ctx context.Context, name string) *v1alpha1.Sandbox {
	GinkgoHelper()
	sandbox := builders.MakeSandbox(r.name, name).Obj()
	r.create(ctx, sandbox)
	r.eventually(ctx, sandbox, "Ready", func() bool {
		return meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady)
	})
	return sandbox
}

// start makes a SandboxExec of a shell line and waits until it is known to run.
func (r *room) start(ctx context.Context, name, sandbox, line string) *v1alpha1.SandboxExec {
	GinkgoHelper()
	exec := builders.MakeExec(r.name, name, sandbox).Shell(line).Obj()
	r.create(ctx, exec)
	r.eventually(ctx, exec, "started", func() bool {
		return meta.IsStatusConditionTrue(exec.Status.Conditions, v1alpha1.ConditionStarted)
	})
	return exec
}

// run runs a shell line to its end, and returns what it printed.
func (r *room) run(ctx context.Context, name, sandbox, line string) string {
	GinkgoHelper()
	exec := builders.MakeExec(r.name, name, sandbox).Shell(line).Obj()
	r.create(ctx, exec)
	r.finished(ctx, exec)
	Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), func() string { return state(exec) })
	return exec.Status.Stdout.Head
}

func (r *room) finished(ctx context.Context, exec *v1alpha1.SandboxExec) {
	GinkgoHelper()
	r.eventually(ctx, exec, "finished", func() bool { return exec.Status.Outcome != "" })
}

// eventually waits until the object is as it should be. An API server that does not answer is waited for as well.
func (c *cluster) eventually(ctx context.Context, object client.Object, what string, holds func() bool) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(c.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
		g.Expect(holds()).To(BeTrue(), func() string { return "it should be " + what + ":\n" + state(object) })
	}).WithContext(ctx).Should(Succeed())
}

func (c *cluster) eventuallyGone(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Eventually(func() bool { return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(object), object)) }).
		WithContext(ctx).Should(BeTrue(), func() string { return "it should be gone:\n" + state(object) })
}

// pods are those of the room that are not over.
func (r *room) pods(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(r.List(ctx, &pods, client.InNamespace(r.name))).To(Succeed())
	return pods.Items
}

// podOf is the pod that is the Sandbox.
func (r *room) podOf(ctx context.Context, sandbox *v1alpha1.Sandbox) *corev1.Pod {
	GinkgoHelper()
	for _, pod := range r.pods(ctx) {
		if sandbox.Status.SandboxID == pod.Namespace+"/"+pod.Name+"/"+string(pod.UID) {
			return &pod
		}
	}
	Fail(fmt.Sprintf("no pod is the sandbox %s", sandbox.Status.SandboxID))
	return nil
}

func condition(conditions []metav1.Condition, kind string) string {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func state(object client.Object) string {
	object = object.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy of the same type
	object.SetManagedFields(nil)
	text, err := yaml.Marshal(object)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
