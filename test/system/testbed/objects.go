// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testbed

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// Patience is how long anything may take that a test waits for, unless it says otherwise: much longer than it should, for
// machines that are busy.
const Patience = 30 * time.Second

const poll = 25 * time.Millisecond

// Room is a namespace of one test's own.
type Room struct {
	*Bed
	// Namespace is its name.
	Namespace string
}

// NewRoom makes a namespace for the running spec. When the spec ends, it is deleted, and with it all that is in it.
func (b *Bed) NewRoom(ctx context.Context) *Room {
	GinkgoHelper()
	return b.NewRoomWith(ctx, nil)
}

// NewRoomWith makes one with labels.
func (b *Bed) NewRoomWith(ctx context.Context, labels map[string]string) *Room {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "room-", Labels: labels}}
	Expect(b.Client.Create(ctx, namespace)).To(Succeed())
	room := &Room{Bed: b, Namespace: namespace.Name}
	DeferCleanup(func(ctx context.Context) {
		if CurrentSpecReport().Failed() {
			AddReportEntry("what there is in "+room.Namespace, b.Report(room.Namespace)) //nolint:contextcheck // see there
		}
		Expect(client.IgnoreNotFound(b.Client.Delete(ctx, namespace))).To(Succeed())
	})
	return room
}

// Sandbox begins a Sandbox of the cluster's provider local.
func (r *Room) Sandbox(name string) *builders.SandboxBuilder {
	return builders.MakeSandbox(r.Namespace, name).ClusterProvider("local")
}

// Exec begins a SandboxExec.
func (r *Room) Exec(name, sandbox string) *builders.ExecBuilder {
	return builders.MakeExec(r.Namespace, name, sandbox)
}

// Secret makes a Secret.
func (r *Room) Secret(ctx context.Context, name string, data map[string]string) {
	GinkgoHelper()
	secret := r.SecretObject(name)
	secret.StringData = data
	Expect(r.Client.Create(ctx, secret)).To(Succeed())
}

// SecretObject names a Secret.
func (r *Room) SecretObject(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name}}
}

// ConfigMap makes a ConfigMap.
func (r *Room) ConfigMap(ctx context.Context, name string, data map[string]string, binary map[string][]byte) {
	GinkgoHelper()
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name}, Data: data, BinaryData: binary}
	Expect(r.Client.Create(ctx, configMap)).To(Succeed())
}

// Create makes objects.
func (b *Bed) Create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(b.Client.Create(ctx, object)).To(Succeed())
	}
}

// Delete deletes objects, and does not wait.
func (b *Bed) Delete(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(b.Client.Delete(ctx, object)).To(Succeed())
	}
}

// Eventually waits until the object is as it should be, and brings it up to date.
func (b *Bed) Eventually(ctx context.Context, object client.Object, what string, holds func() bool) {
	GinkgoHelper()
	key := client.ObjectKeyFromObject(object)
	Eventually(func(g Gomega) {
		g.Expect(b.Client.Get(ctx, key, object)).To(Succeed())
		g.Expect(holds()).To(BeTrue(), func() string { return "it should be " + what + ":\n" + StateOf(object) + b.LogTail() })
	}).WithContext(ctx).WithTimeout(Patience).WithPolling(poll).Should(Succeed())
}

// EventuallyGone waits until the API server has the object no more.
func (b *Bed) EventuallyGone(ctx context.Context, object client.Object) {
	GinkgoHelper()
	key := client.ObjectKeyFromObject(object)
	Eventually(func() bool { return apierrors.IsNotFound(b.Client.Get(ctx, key, object)) }).
		WithContext(ctx).WithTimeout(Patience).WithPolling(poll).
		Should(BeTrue(), func() string { return "it should be gone:\n" + StateOf(object) + b.LogTail() })
}

// Ready creates the Sandbox and waits until it is Ready.
func (r *Room) Ready(ctx context.Context, builder *builders.SandboxBuilder) *v1alpha1.Sandbox {
	GinkgoHelper()
	sandbox := builder.Obj()
	r.Create(ctx, sandbox)
	r.EventuallyReady(ctx, sandbox)
	return sandbox
}

// EventuallyReady waits until the Sandbox is Ready.
func (b *Bed) EventuallyReady(ctx context.Context, sandbox *v1alpha1.Sandbox) {
	GinkgoHelper()
	b.Eventually(ctx, sandbox, "Ready", func() bool {
		return meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady)
	})
}

// EventuallyNotReady waits until the Sandbox says why it is not Ready, and returns that condition.
func (b *Bed) EventuallyNotReady(ctx context.Context, sandbox *v1alpha1.Sandbox, reason string) *metav1.Condition {
	GinkgoHelper()
	b.Eventually(ctx, sandbox, "not Ready with the reason "+reason, func() bool {
		c := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady)
		return c != nil && c.Status == metav1.ConditionFalse && c.Reason == reason
	})
	return meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady)
}

// Run creates the SandboxExec and waits until it is Finished.
func (r *Room) Run(ctx context.Context, builder *builders.ExecBuilder) *v1alpha1.SandboxExec {
	GinkgoHelper()
	exec := builder.Obj()
	r.Create(ctx, exec)
	r.EventuallyFinished(ctx, exec)
	return exec
}

// Output runs a shell line, and returns what it prints.
func (r *Room) Output(ctx context.Context, name, sandbox, line string) string {
	GinkgoHelper()
	exec := r.Run(ctx, r.Exec(name, sandbox).Shell(line))
	Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), StateOf(exec))
	return exec.Status.Stdout.Head
}

// EventuallyFinished waits until the SandboxExec is Finished.
func (b *Bed) EventuallyFinished(ctx context.Context, exec *v1alpha1.SandboxExec) {
	GinkgoHelper()
	b.Eventually(ctx, exec, "Finished", func() bool { return IsFinished(exec) })
}

// IsFinished says whether the SandboxExec has an outcome.
func IsFinished(exec *v1alpha1.SandboxExec) bool {
	return meta.IsStatusConditionTrue(exec.Status.Conditions, v1alpha1.ConditionFinished)
}

// EventuallySeenRunning waits until the operator has seen the command of a SandboxExec running.
func (b *Bed) EventuallySeenRunning(ctx context.Context, exec *v1alpha1.SandboxExec) {
	GinkgoHelper()
	b.Eventually(ctx, exec, "seen running", func() bool { return len(exec.Finalizers) > 0 })
}

// Cancel asks for the end of a SandboxExec.
func (b *Bed) Cancel(ctx context.Context, exec *v1alpha1.SandboxExec) {
	GinkgoHelper()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"Cancelled"}}`))
	Expect(b.Client.Patch(ctx, exec, patch)).To(Succeed())
}

// EventuallyRemotes waits until the provider has so many remotes for a namespace, and returns them.
func (b *Bed) EventuallyRemotes(ctx context.Context, namespace string, count int) []backends.Remote {
	GinkgoHelper()
	var remotes []backends.Remote
	Eventually(func(g Gomega) {
		var err error
		remotes, err = b.Remotes(ctx, namespace)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(remotes).To(HaveLen(count), func() string { return b.Report(namespace) }) //nolint:contextcheck // see there
	}).WithContext(ctx).WithTimeout(Patience).WithPolling(poll).Should(Succeed())
	return remotes
}

// ExitCode is the exit code of a finished run, -1 where there is none.
func ExitCode(exec *v1alpha1.SandboxExec) int32 { return ptr.Deref(exec.Status.ExitCode, -1) }
