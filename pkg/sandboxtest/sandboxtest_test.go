// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"
)

var _ = Describe("An operator in a test", func() {
	var namespace string

	BeforeEach(func(ctx SpecContext) { namespace = newNamespace(ctx) })

	It("has a Sandbox Ready, runs a command in it once, and leaves nothing of either", func(ctx SpecContext) {
		sandbox := makeSandbox(ctx, namespace, "box")
		exec := makeExec(ctx, namespace, "anything", "box")
		Expect(outcome(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
		Expect(*exec.Status.ExitCode).To(BeEquivalentTo(0))
		readiness(ctx, sandbox, "True/Ready")
		ran := operator.Commands(sandboxtest.InNamespace(namespace))
		Expect(ran).To(HaveLen(1))
		Expect(ran[0].Argv).To(Equal([]string{"anything", "argument"}))
		Expect([]string{ran[0].Exec, ran[0].Sandbox}).To(Equal([]string{"anything", "box"}))
		gone(ctx, exec)
		gone(ctx, sandbox)
		Expect(remotes(namespace)).To(BeEmpty())
	})

	It("does what it was told to of the commands that match, the youngest rule first", func(ctx SpecContext) {
		makeSandbox(ctx, namespace, "box")
		DeferCleanup(operator.On(sandboxtest.InNamespace(namespace), sandboxtest.Result{ExitCode: 3, Stderr: "no\n"}))
		remove := operator.On(sandboxtest.All(sandboxtest.InNamespace(namespace), sandboxtest.Program("make", "test")),
			sandboxtest.Result{Stdout: "ok\n", Files: map[string]string{"/out/report.txt": "all well"}})
		test := func(spec *v1alpha1.SandboxExecSpec) {
			spec.Command, spec.Outputs = []string{"make", "test", "-j4"}, []v1alpha1.ExecOutput{{Path: "/out/report.txt"}}
		}
		good, bad := makeExec(ctx, namespace, "good", "box", test), makeExec(ctx, namespace, "bad", "box")
		Expect(outcome(ctx, good)).To(Equal(v1alpha1.OutcomeSucceeded))
		Expect(good.Status.Stdout.Head).To(Equal("ok\n"))
		Expect(good.Status.Outputs[0].Content).To(Equal("all well"))
		Expect(outcome(ctx, bad)).To(Equal(v1alpha1.OutcomeFailed))
		Expect(*bad.Status.ExitCode).To(BeEquivalentTo(3))
		Expect(bad.Status.Stderr.Head).To(Equal("no\n"))
		remove()
		Expect(outcome(ctx, makeExec(ctx, namespace, "now-bad", "box", test))).To(Equal(v1alpha1.OutcomeFailed))
	})

	It("gives one result after the other, so that a retry can succeed", func(ctx SpecContext) {
		makeSandbox(ctx, namespace, "box")
		DeferCleanup(operator.On(sandboxtest.InNamespace(namespace), sandboxtest.Result{ExitCode: 1}, sandboxtest.Result{}))
		exec := makeExec(ctx, namespace, "flaky", "box", func(spec *v1alpha1.SandboxExecSpec) {
			spec.Retry = &v1alpha1.ExecRetry{
				Limit: 1, Outcomes: []v1alpha1.RetriedOutcome{"Failed"}, BackoffSeconds: new(int32(0)),
			}
		})
		Expect(outcome(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
		Expect(operator.Commands(sandboxtest.Exec(namespace, "flaky"))).To(HaveLen(2))
	})

	It("gives a command its environment, its standard input, its inputs and the files of its sandbox", func(ctx SpecContext) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "keys"}, StringData: map[string]string{"key": "hush-hush-hush"},
		}
		Expect(k8s.Create(ctx, secret)).To(Succeed())
		makeSandbox(ctx, namespace, "box", func(spec *v1alpha1.SandboxSpec) {
			spec.Env = []v1alpha1.EnvVar{{Name: "FROM", Value: new("sandbox")}, {Name: "BOTH", Value: new("sandbox")}}
			spec.Files = []v1alpha1.File{{Path: "/etc/app.conf", Content: v1alpha1.Content{Content: new("verbose")}}}
		})
		reader := sandboxtest.Exec(namespace, "reader")
		DeferCleanup(operator.OnFunc(reader, func(_ context.Context, c *sandboxtest.Command) sandboxtest.Result {
			conf, _ := c.ReadFile("/etc/app.conf")
			input, _ := c.ReadFile("/in/data")
			_, _ = fmt.Fprintf(c.Stdout(), "%s %s %d %s %s %s", c.Env["FROM"], c.Env["BOTH"], len(c.Env["KEY"]), conf, input, c.Stdin)
			return sandboxtest.Result{}
		}))
		exec := makeExec(ctx, namespace, "reader", "box", func(spec *v1alpha1.SandboxExecSpec) {
			spec.Env = []v1alpha1.EnvVar{{Name: "BOTH", Value: new("exec")}, {Name: "KEY", ValueFrom: &v1alpha1.ValueSource{
				SecretKeyRef: &v1alpha1.KeyReference{Name: "keys", Key: "key"},
			}}}
			spec.Inputs = []v1alpha1.File{{Path: "/in/data", Content: v1alpha1.Content{Content: new("input")}}}
			spec.Stdin = &v1alpha1.Content{Content: new("stdin")}
		})
		Expect(outcome(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded), message(exec.Status.Conditions))
		Expect(exec.Status.Stdout.Head).To(Equal("sandbox exec 14 verbose input stdin"))
		Expect(operator.ReadFile(namespace, "box", "/in/data")).To(BeEquivalentTo("input"))
	})

	It("runs code, by an interpreter or by the provider itself", func(ctx SpecContext) {
		makeSandbox(ctx, namespace, "box")
		DeferCleanup(operator.On(sandboxtest.All(sandboxtest.InNamespace(namespace), sandboxtest.Language("python"),
			sandboxtest.Contains("print(6*7)")), sandboxtest.Result{Stdout: "42\n"}))
		for _, engine := range []v1alpha1.CodeEngine{"", v1alpha1.EngineNative} {
			name := "code" + strings.ToLower(string(engine))
			exec := makeExec(ctx, namespace, name, "box", func(spec *v1alpha1.SandboxExecSpec) {
				spec.Command = nil
				spec.Code = &v1alpha1.ExecCode{Language: v1alpha1.LanguagePython, Source: "print(6*7)", Engine: engine}
			})
			Expect(outcome(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded), message(exec.Status.Conditions))
			Expect(exec.Status.Stdout.Head).To(Equal("42\n"))
			Expect(operator.Commands(sandboxtest.Exec(namespace, name))).To(HaveLen(1), "the run is not known by its name")
		}
	})

	It("has a command hang until it is cancelled, until its time is over, and until its object goes", func(ctx SpecContext) {
		makeSandbox(ctx, namespace, "box")
		DeferCleanup(operator.On(sandboxtest.InNamespace(namespace), sandboxtest.Result{Hang: true, Stdout: "begun\n"}))
		cancelled, deleted := makeExec(ctx, namespace, "cancelled", "box"), makeExec(ctx, namespace, "deleted", "box")
		late := makeExec(ctx, namespace, "late", "box", func(spec *v1alpha1.SandboxExecSpec) { spec.TimeoutSeconds = new(int32(1)) })
		Eventually(func() int { return len(operator.Commands(sandboxtest.InNamespace(namespace))) }).Should(Equal(3))
		Expect(k8s.Patch(ctx, cancelled, client.RawPatch("application/merge-patch+json",
			[]byte(`{"spec":{"desiredState":"Cancelled"}}`)))).To(Succeed())
		Expect(outcome(ctx, cancelled)).To(Equal(v1alpha1.OutcomeCancelled))
		Expect(cancelled.Status.Stdout.Head).To(Equal("begun\n"))
		Expect(outcome(ctx, late)).To(Equal(v1alpha1.OutcomeTimedOut))
		gone(ctx, deleted)
	})

	It("loses a sandbox under a command, and by itself", func(ctx SpecContext) {
		sandbox := makeSandbox(ctx, namespace, "box")
		DeferCleanup(operator.On(sandboxtest.InNamespace(namespace), sandboxtest.Result{Delay: 100 * time.Millisecond, LoseSandbox: true}))
		exec := makeExec(ctx, namespace, "fatal", "box")
		Expect(outcome(ctx, exec)).To(Equal(v1alpha1.OutcomeSandboxLost))
		readiness(ctx, sandbox, "False/")

		other := makeSandbox(ctx, namespace, "other", func(spec *v1alpha1.SandboxSpec) {
			spec.Lifetime = &v1alpha1.SandboxLifetime{OnLoss: v1alpha1.OnLossRecreate}
		})
		readiness(ctx, other, "True/Ready")
		Expect(operator.Lose(namespace, "other")).To(BeTrue())
		Eventually(func() []int64 {
			var all []int64
			for _, remote := range remotes(namespace) {
				all = append(all, remote.Incarnation)
			}
			return all
		}).Should(Equal([]int64{2}))
	})

	It("says why it can't create, and goes on when it can", func(ctx SpecContext) {
		remove := operator.Trouble(sandboxtest.Trouble{
			Operation: sandboxtest.Create, Namespace: namespace, Sandbox: "full", Failure: sandboxtest.QuotaExceeded, Message: "no room",
		})
		DeferCleanup(remove)
		DeferCleanup(operator.Trouble(sandboxtest.Trouble{
			Operation: sandboxtest.Create, Namespace: namespace, Sandbox: "wrong", Failure: sandboxtest.Invalid, Message: "no such image",
		}))
		full, wrong := makeSandbox(ctx, namespace, "full"), makeSandbox(ctx, namespace, "wrong")
		readiness(ctx, full, "False/QuotaExceeded")
		Expect(message(full.Status.Conditions)).To(ContainSubstring("no room"))
		readiness(ctx, wrong, "False/Invalid")
		Expect(remotes(namespace)).To(BeEmpty())
		remove()
		readiness(ctx, full, "True/Ready")
	})

	It("takes the manifests of providers of any backend", func(ctx SpecContext) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "e2b"}, StringData: map[string]string{"apiKey": "e2b_0000"},
		}
		provider := &v1alpha1.SandboxProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "e2b"},
			Spec: v1alpha1.ProviderSpec{Backend: "e2b", Credentials: &v1alpha1.ProviderCredentials{
				SecretRef: v1alpha1.LocalReference{Name: "e2b"},
			}},
		}
		Expect(k8s.Create(ctx, secret)).To(Succeed())
		Expect(k8s.Create(ctx, provider)).To(Succeed())
		sandbox := makeSandbox(ctx, namespace, "box", func(spec *v1alpha1.SandboxSpec) {
			spec.ProviderRef = &v1alpha1.ProviderReference{Kind: v1alpha1.KindSandboxProvider, Name: "e2b"}
		})
		readiness(ctx, sandbox, "True/Ready")
	})

	It("makes a one-shot's own Sandbox, and destroys it with the end", func(ctx SpecContext) {
		exec := makeExec(ctx, namespace, "single", "", func(spec *v1alpha1.SandboxExecSpec) {
			spec.SandboxRef, spec.Sandbox = nil, &v1alpha1.SandboxSpec{}
		})
		Expect(outcome(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
		Eventually(func() []sandboxtest.Sandbox { return remotes(namespace) }).Should(BeEmpty())
	})

	It("runs beside another on another API server, and ends without a trace", func(ctx SpecContext) {
		environment := &envtest.Environment{CRDs: sandboxtest.CRDs()}
		config, err := environment.Start()
		Expect(err).NotTo(HaveOccurred())
		defer func() { Expect(environment.Stop()).To(Succeed()) }()
		there, err := client.New(config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
		Expect(there.List(ctx, &v1alpha1.SandboxList{})).To(Succeed())
		before := goleak.IgnoreCurrent()
		other, err := sandboxtest.New(ctx, config, sandboxtest.Options{DefaultProvider: "mine", CreateTime: 10 * time.Millisecond})
		Expect(err).NotTo(HaveOccurred())
		sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "box"}}
		Expect(there.Create(ctx, sandbox)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(there.Get(ctx, client.ObjectKeyFromObject(sandbox), sandbox)).To(Succeed())
			g.Expect(message(sandbox.Status.Conditions)).To(HavePrefix("True/Ready"))
		}).Should(Succeed())
		Expect(other.Sandboxes()).To(HaveLen(1))
		for _, here := range operator.Sandboxes() {
			Expect(here.Namespace).NotTo(Equal("default"), "the other's sandbox is here")
		}
		Expect(other.Stop()).To(Succeed())
		Expect(other.Stop()).To(Succeed(), "the second time")
		Eventually(func() error {
			return goleak.Find(before)
		}).Should(Succeed())
	})
})

// remotes are what the provider has for a namespace.
func remotes(namespace string) []sandboxtest.Sandbox {
	var all []sandboxtest.Sandbox
	for _, sandbox := range operator.Sandboxes() {
		if sandbox.Namespace == namespace {
			all = append(all, sandbox)
		}
	}
	return all
}
