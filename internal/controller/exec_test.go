// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

func inNamespace(ns string) client.DeleteAllOfOption { return client.InNamespace(ns) }

var _ = Describe("A SandboxExec", func() {
	var ns, ran string
	var sandbox *v1alpha1.Sandbox
	p := providers["named"]
	BeforeEach(func(ctx SpecContext) {
		ns = newNamespace(ctx)
		ran = filepath.Join(GinkgoT().TempDir(), "ran")
		create(ctx, builders.MakeProvider(ns, "named", "named").Obj())
		sandbox = builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").Obj()
	})
	ready := func(ctx SpecContext) {
		GinkgoHelper()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
	}
	finished := func(ctx SpecContext, exec *v1alpha1.SandboxExec, outcome v1alpha1.ExecOutcome) {
		GinkgoHelper()
		eventually(ctx, exec, v1alpha1.ConditionFinished, "True/"+string(outcome))
		Expect(exec.Status.Outcome).To(Equal(outcome))
	}
	times := func() int {
		content, _ := os.ReadFile(ran)
		return strings.Count(string(content), "\n")
	}

	It("costs one call when its command is short", func(ctx SpecContext) {
		ready(ctx)
		before := p.Calls(memory.OperationRunCommand)
		exec := builders.MakeExec(ns, "e", "sbx").Command("echo", "hello").Obj()
		create(ctx, exec)
		finished(ctx, exec, v1alpha1.OutcomeSucceeded)
		Expect(exec.Status.Stdout.Head).To(Equal("hello\n"))
		Expect(exec.Status.ExitCode).To(HaveValue(BeZero()))
		Expect(condition(ctx, exec, v1alpha1.ConditionComplete)).To(HavePrefix("True"))
		Expect(condition(ctx, exec, v1alpha1.ConditionReady)).To(HavePrefix("True"))
		Expect(p.Calls(memory.OperationRunCommand) - before).To(Equal(1))
		Expect(exec.Finalizers).To(BeEmpty())
	})

	It("runs once when the answer to its start got lost", func(ctx SpecContext) {
		ready(ctx)
		remove := p.Inject(memory.Fault{
			Operation: memory.OperationRunCommand, Times: 2, After: true, Err: memory.Error(backends.Ambiguous, 0),
		})
		defer remove()
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo ran >>" + ran + "; echo done").Obj()
		create(ctx, exec)
		finished(ctx, exec, v1alpha1.OutcomeSucceeded)
		Expect(exec.Status.Stdout.Head).To(Equal("done\n"))
		Expect(times()).To(Equal(1))
	})

	It("brings its whole result through an outage", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo ran >>" + ran + "; echo one; sleep 2; echo two").Obj()
		create(ctx, exec)
		Eventually(func() []string { return refresh(ctx, exec).Finalizers }).Should(ContainElement(v1alpha1.ExecFinalizer))
		remove := p.Inject(memory.Fault{Operation: memory.OperationRunCommand, Times: 4, Err: memory.Error(backends.Unavailable, 0)})
		defer remove()
		finished(ctx, exec, v1alpha1.OutcomeSucceeded)
		Expect(exec.Status.Stdout.Head).To(Equal("one\ntwo\n"))
		Expect(times()).To(Equal(1))
	})

	It("waits for its Sandbox, and says so", func(ctx SpecContext) {
		exec := builders.MakeExec(ns, "e", "sbx").Command("true").Obj()
		create(ctx, exec)
		eventually(ctx, exec, v1alpha1.ConditionReady, `False/WaitingForSandbox: Sandbox "sbx" does not exist`)
		create(ctx, sandbox)
		finished(ctx, exec, v1alpha1.OutcomeSucceeded)
	})

	It("ends when its Sandbox never comes", func(ctx SpecContext) {
		exec := builders.MakeExec(ns, "e", "sbx").Command("true").StartDeadline(1).Obj()
		create(ctx, exec)
		finished(ctx, exec, v1alpha1.OutcomeStartFailed)
		Expect(exec.Status.Reason).To(Equal(v1alpha1.ReasonStartDeadlineExceeded))
		Expect(condition(ctx, exec, v1alpha1.ConditionStalled)).To(ContainSubstring("does not exist"))
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(refresh(ctx, exec).Status.StartTime).To(BeNil())
	})

	It("waits for a Secret that it names, and never stores its value", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").EnvFrom("TOKEN", builders.SecretKey("s", "k")).
			Shell("echo token=$TOKEN").StartDeadline(60).Obj()
		create(ctx, exec)
		eventually(ctx, exec, v1alpha1.ConditionReady, "False/ReferenceNotFound")
		create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, StringData: map[string]string{"k": "tops3cret"},
		})
		Eventually(func() v1alpha1.ExecOutcome { return refresh(ctx, exec).Status.Outcome }, 40*time.Second).
			Should(Equal(v1alpha1.OutcomeSucceeded))
		Expect(exec.Status.Stdout.Head).To(Equal("token=[redacted]\n"))
	})

	It("withholds output when the Secrets have changed since", func(ctx SpecContext) {
		ready(ctx)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, StringData: map[string]string{"k": "tops3cret"}}
		create(ctx, secret)
		exec := builders.MakeExec(ns, "e", "sbx").EnvFrom("TOKEN", builders.SecretKey("s", "k")).Shell("sleep 2; echo $TOKEN").Obj()
		create(ctx, exec)
		Eventually(func() []string { return refresh(ctx, exec).Finalizers }).Should(ContainElement(v1alpha1.ExecFinalizer))
		secret.StringData = map[string]string{"k": "rotated"}
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		finished(ctx, exec, v1alpha1.OutcomeSucceeded)
		Expect(exec.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionWithheld))
		Expect(exec.Status.Stdout.Head).To(BeEmpty())
	})

	It("withholds output when a Secret among its sandbox's files has changed since", func(ctx SpecContext) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, StringData: map[string]string{"k": "tops3cret"}}
		create(ctx, secret)
		sandbox = builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").
			FileFrom("/data/token", 0o600, builders.SecretKey("s", "k")).Obj()
		ready(ctx)
		before := builders.MakeExec(ns, "before", "sbx").Shell("echo tops3cret").Obj()
		create(ctx, before)
		finished(ctx, before, v1alpha1.OutcomeSucceeded)
		Expect(before.Status.Stdout.Head).To(Equal("[redacted]\n"))
		secret.StringData = map[string]string{"k": "rotated"}
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		after := builders.MakeExec(ns, "after", "sbx").Shell("echo tops3cret").Obj()
		create(ctx, after)
		finished(ctx, after, v1alpha1.OutcomeSucceeded)
		Expect(after.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionWithheld))
		Expect(after.Status.Stdout.Head).To(BeEmpty())
	})

	It("goes on past its start deadline when its start was not seen", func(ctx SpecContext) {
		ready(ctx)
		remove := p.Inject(memory.Fault{Operation: memory.OperationRunCommand, After: true, Err: memory.Error(backends.Ambiguous, 0)})
		defer remove()
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo ran >>" + ran + "; sleep 4; echo done").StartDeadline(2).Obj()
		create(ctx, exec)
		Eventually(times).Should(Equal(1))
		Eventually(func() bool { return time.Since(refresh(ctx, exec).CreationTimestamp.Time) > 3*time.Second }).Should(BeTrue())
		remove()
		finished(ctx, exec, v1alpha1.OutcomeSucceeded)
		Expect(exec.Status.Stdout.Head).To(Equal("done\n"))
		Expect(times()).To(Equal(1))
	})

	It("ends when its Sandbox has failed", func(ctx SpecContext) {
		ready(ctx)
		Expect(p.Stop(sandbox.Status.SandboxID)).To(BeTrue())
		eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/RemoteStopped")
		exec := builders.MakeExec(ns, "e", "sbx").Command("true").Obj()
		create(ctx, exec)
		finished(ctx, exec, v1alpha1.OutcomeStartFailed)
		Expect(exec.Status.Reason).To(Equal(v1alpha1.ReasonSandboxFailed))
	})

	It("is killed with all that it started when it is cancelled", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo so far; sleep 60").Obj()
		create(ctx, exec)
		Eventually(func() []string { return refresh(ctx, exec).Finalizers }).Should(ContainElement(v1alpha1.ExecFinalizer))
		exec.Spec.DesiredState = v1alpha1.ExecCancelled
		Expect(k8s.Update(ctx, exec)).To(Succeed())
		finished(ctx, exec, v1alpha1.OutcomeCancelled)
		Expect(exec.Status.Stdout.Head).To(Equal("so far\n"))
	})

	It("never starts when it is cancelled before", func(ctx SpecContext) {
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo ran >>" + ran).Cancelled().Obj()
		create(ctx, exec)
		finished(ctx, exec, v1alpha1.OutcomeCancelled)
		ready(ctx)
		Expect(times()).To(BeZero())
	})

	It("takes the fence when it is cancelled before its start was seen", func(ctx SpecContext) {
		ready(ctx)
		remove := p.Inject(memory.Fault{Operation: memory.OperationRunCommand, Err: memory.Error(backends.Unavailable, 0)})
		defer remove()
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo ran >>" + ran).Obj()
		create(ctx, exec)
		Eventually(func() *metav1.Time { return refresh(ctx, exec).Status.StartTime }).ShouldNot(BeNil())
		exec.Spec.DesiredState = v1alpha1.ExecCancelled
		Expect(k8s.Update(ctx, exec)).To(Succeed())
		remove()
		finished(ctx, exec, v1alpha1.OutcomeCancelled)
		Expect(times()).To(BeZero())
	})

	It("is lost with its sandbox", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Shell("sleep 60").Obj()
		create(ctx, exec)
		Eventually(func() []string { return refresh(ctx, exec).Finalizers }).Should(ContainElement(v1alpha1.ExecFinalizer))
		Expect(p.Kill(sandbox.Status.SandboxID)).To(BeTrue())
		finished(ctx, exec, v1alpha1.OutcomeSandboxLost)
		Expect(exec.Status.Reason).To(Equal(v1alpha1.ReasonRemoteGone))
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/RemoteGone")
	})

	It("is lost with its Sandbox object, and not followed in one of the same name", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo ran >>" + ran + "; sleep 60").Obj()
		create(ctx, exec)
		Eventually(func() []string { return refresh(ctx, exec).Finalizers }).Should(ContainElement(v1alpha1.ExecFinalizer))
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		sandbox = builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").Obj()
		ready(ctx)
		finished(ctx, exec, v1alpha1.OutcomeSandboxLost)
		Expect(exec.Status.Reason).To(Equal(v1alpha1.ReasonSandboxDeleted))
		Expect(times()).To(Equal(1))
	})

	// runs says that the process lives whose ID a command has written.
	runs := func() bool {
		text, err := os.ReadFile(ran)
		pid, numberErr := strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && numberErr == nil && syscall.Kill(pid, 0) == nil
	}

	It("does not outlive its object", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo $$ >" + ran + "; sleep 300; true").Obj()
		create(ctx, exec)
		Eventually(func() []string { return refresh(ctx, exec).Finalizers }).Should(ContainElement(v1alpha1.ExecFinalizer))
		Expect(runs()).To(BeTrue())
		Expect(k8s.Delete(ctx, exec)).To(Succeed())
		gone(ctx, exec)
		Eventually(runs).Should(BeFalse())
	})

	It("is killed when its object goes during the first call", func(ctx SpecContext) {
		ready(ctx)
		gate := memory.NewGate()
		remove := p.Inject(memory.Fault{Operation: memory.OperationRunCommand, Times: 1, Gate: gate})
		defer remove()
		exec := builders.MakeExec(ns, "e", "sbx").Shell("echo $$ >" + ran + "; sleep 300; true").Obj()
		create(ctx, exec)
		Eventually(gate.Reached()).Should(BeClosed())
		Expect(k8s.Delete(ctx, exec)).To(Succeed())
		gone(ctx, exec)
		gate.Open()
		Eventually(func() string { content, _ := os.ReadFile(ran); return string(content) }).ShouldNot(BeEmpty())
		Eventually(runs).Should(BeFalse())
	})

	It("is deleted after its time to live", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Command("true").TTL(3).Obj()
		create(ctx, exec)
		finished(ctx, exec, v1alpha1.OutcomeSucceeded)
		gone(ctx, exec)
	})
})
