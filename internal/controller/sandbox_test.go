// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

var _ = Describe("A Sandbox", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) { ns = newNamespace(ctx) })

	// sandboxAt makes a Sandbox of a provider of the backend.
	sandboxAt := func(ctx SpecContext, backend string) *v1alpha1.Sandbox {
		GinkgoHelper()
		create(ctx, builders.MakeProvider(ns, backend, backend).Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider(backend).Obj()
		create(ctx, sandbox)
		return sandbox
	}

	It("becomes Ready with one call, and goes with its remote", func(ctx SpecContext) {
		before := providers["named"].Calls(memory.OperationCreate)
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(providers["named"].Calls(memory.OperationCreate) - before).To(Equal(1))
		remotes := remotesOf("named", ns)
		Expect(remotes).To(HaveLen(1))
		Expect(remotes[0].ID).To(Equal(sandbox.Status.SandboxID))
		Expect(remotes[0].Mark).To(Equal(backends.Mark{
			Installation: installation, Namespace: ns, Name: "sbx", UID: string(sandbox.UID), Incarnation: 1, DeletionPolicy: "Delete",
		}))
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		Expect(remotesOf("named", ns)).To(BeEmpty())
	})

	DescribeTable("has exactly one remote when the answer to its creation got lost",
		func(ctx SpecContext, backend string, after bool) {
			remove := providers[backend].Inject(memory.Fault{
				Operation: memory.OperationCreate, Times: 1, After: after, Err: memory.Error(backends.Ambiguous, 0),
			})
			defer remove()
			sandbox := sandboxAt(ctx, backend)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(remotesOf(backend, ns)).To(HaveLen(1))
			Expect(sandbox.Status.Incarnation).To(BeEquivalentTo(1))
		},
		Entry("unique names, after the effect", "named", true),
		Entry("unique names, before the effect", "named", false),
		Entry("marks only, after the effect", "listed", true),
		Entry("marks only, before the effect", "listed", false),
	)

	It("makes no second remote while the first may still appear", func(ctx SpecContext) {
		p := providers["listed"]
		p.Change(func(o *memory.Options) { o.ListLag = 300 * time.Millisecond })
		defer p.Change(func(o *memory.Options) { o.ListLag = 0 })
		remove := p.Inject(memory.Fault{
			Operation: memory.OperationCreate, Times: 1, After: true, Err: memory.Error(backends.Ambiguous, 0),
		})
		defer remove()
		before := p.Calls(memory.OperationCreate)
		sandbox := sandboxAt(ctx, "listed")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(p.Calls(memory.OperationCreate) - before).To(Equal(1))
	})

	It("leaves nothing behind when it is deleted while its creation is not known", func(ctx SpecContext) {
		remove := providers["named"].Inject(memory.Fault{
			Operation: memory.OperationCreate, After: true, Err: memory.Error(backends.Ambiguous, 0),
		})
		defer remove()
		removeFind := providers["named"].Inject(memory.Fault{
			Operation: memory.OperationFindByName, Times: 3, Err: memory.Error(backends.Unavailable, 0),
		})
		defer removeFind()
		sandbox := sandboxAt(ctx, "named")
		Eventually(func() []backends.Remote { return remotesOf("named", ns) }).Should(HaveLen(1))
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		Expect(remotesOf("named", ns)).To(BeEmpty())
	})

	DescribeTable("says why it is not Ready, and tries again",
		func(ctx SpecContext, code backends.Code, reason string) {
			remove := providers["named"].Inject(memory.Fault{
				Operation: memory.OperationCreate, Err: memory.Error(code, 200*time.Millisecond),
			})
			defer remove()
			sandbox := sandboxAt(ctx, "named")
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/"+reason)
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReconciling)).To(HavePrefix("True/" + reason))
			remove()
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReconciling)).To(Equal("none"))
		},
		Entry("rate limit", backends.RateLimited, v1alpha1.ReasonRateLimited),
		Entry("quota", backends.QuotaExceeded, v1alpha1.ReasonQuotaExceeded),
		Entry("outage", backends.Unavailable, v1alpha1.ReasonUnavailable),
		Entry("refused credentials", backends.Unauthorized, v1alpha1.ReasonUnauthorized),
	)

	It("is Stalled, and not tried again, when its spec can never work", func(ctx SpecContext) {
		remove := providers["named"].Inject(memory.Fault{Operation: memory.OperationCreate, Err: memory.Error(backends.Invalid, 0)})
		defer remove()
		before := providers["named"].Calls(memory.OperationCreate)
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/Invalid")
		Consistently(func() int { return providers["named"].Calls(memory.OperationCreate) - before }, time.Second).Should(Equal(1))
	})

	It("is told what its backend can't do before anything is made", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "imageless", "imageless").Obj())
		before := providers["imageless"].Calls(memory.OperationCreate)
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("imageless").Image("busybox").Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/Unsupported")
		Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(ContainSubstring("source.image"))
		Expect(providers["imageless"].Calls(memory.OperationCreate)).To(Equal(before))
	})

	It("waits for a provider that creates slowly", func(ctx SpecContext) {
		p := providers["named"]
		p.Change(func(o *memory.Options) { o.HoldCreating = true })
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/Creating")
		p.Change(func(o *memory.Options) { o.HoldCreating = false })
		Expect(p.SetState(sandbox.Status.SandboxID, backends.StateRunning, "")).To(BeTrue())
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
	})

	It("writes its files before it is Ready, also when that fails at first", func(ctx SpecContext) {
		remove := providers["named"].Inject(memory.Fault{
			Operation: memory.OperationWriteFile, Times: 2, Err: memory.Error(backends.Unavailable, 0),
		})
		defer remove()
		create(ctx, builders.MakeProvider(ns, "named", "named").Obj(),
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "cm"}, BinaryData: map[string][]byte{"k": {0, 1, 0xff}}})
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").
			File("/data/a.txt", "text").FileFrom("/data/b.bin", 0o600, builders.ConfigMapKey("cm", "k")).Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(condition(ctx, sandbox, v1alpha1.ConditionFilesWritten)).To(HavePrefix("True"))
	})

	It("waits for a ConfigMap that its files name, and says which", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "named", "named").Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").
			FileFrom("/data/b.bin", 0o600, builders.ConfigMapKey("absent", "k")).Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, `False/ReferenceNotFound: file /data/b.bin: ConfigMap "absent" does not exist`)
		Expect(remotesOf("named", ns)).To(BeEmpty())
	})

	It("is told when its remote vanished or ended by itself", func(ctx SpecContext) {
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(providers["named"].Stop(sandbox.Status.SandboxID)).To(BeTrue())
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/RemoteStopped")
		Expect(providers["named"].Kill(sandbox.Status.SandboxID)).To(BeTrue())
		eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/RemoteGone")
		Expect(sandbox.Status.State).To(Equal(v1alpha1.SandboxGone))
	})

	It("says why its deletion has not ended, and ends it", func(ctx SpecContext) {
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		remove := providers["named"].Inject(memory.Fault{Operation: memory.OperationDestroy, Err: memory.Error(backends.Unavailable, 0)})
		defer remove()
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		eventually(ctx, sandbox, v1alpha1.ConditionDeleting, "True/DestroyFailed")
		remove()
		gone(ctx, sandbox)
	})

	It("goes at once when its remote is abandoned", func(ctx SpecContext) {
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		remove := providers["named"].Inject(memory.Fault{Operation: memory.OperationDestroy, Err: memory.Error(backends.Unauthorized, 0)})
		defer remove()
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		eventually(ctx, sandbox, v1alpha1.ConditionDeleting, "True/DestroyFailed")
		refresh(ctx, sandbox).Annotations[v1alpha1.AbandonAnnotation] = "true"
		Expect(k8s.Update(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		Expect(providers["named"].Kill(remotesOf("named", ns)[0].ID)).To(BeTrue())
	})

	It("is not gone before the provider says so", func(ctx SpecContext) {
		p := providers["named"]
		p.Change(func(o *memory.Options) { o.DestroyDelay = 700 * time.Millisecond })
		defer p.Change(func(o *memory.Options) { o.DestroyDelay = 0 })
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		Expect(remotesOf("named", ns)).To(BeEmpty())
	})

	It("is destroyed although the provider denies at first that it exists", func(ctx SpecContext) {
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		id := sandbox.Status.SandboxID
		defer providers["named"].Inject(memory.Fault{
			Operation: memory.OperationDestroy, Times: 1, Err: memory.Error(backends.NotFound, 0),
			If: func(call memory.Call) bool { return call.ID == id },
		})()
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		Expect(remotesOf("named", ns)).To(BeEmpty())
	})

	It("leaves nothing behind when a create arrives after its deletion, although names are unique", func(ctx SpecContext) {
		defer providers["slow"].Inject(memory.Fault{
			Operation: memory.OperationCreate, Err: memory.Error(backends.Ambiguous, 0),
		})()
		sandbox := sandboxAt(ctx, "slow")
		Eventually(func() string { return refresh(ctx, sandbox).Annotations[v1alpha1.JournalAnnotation] }).ShouldNot(BeEmpty())
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		_, err := providers["slow"].Add(backends.Remote{
			Name: "sbx-" + string(sandbox.UID) + "-1",
			Mark: backends.Mark{Installation: installation, Namespace: ns, Name: "sbx", UID: string(sandbox.UID), Incarnation: 1},
		})
		Expect(err).NotTo(HaveOccurred())
		gone(ctx, sandbox)
		Expect(remotesOf("slow", ns)).To(BeEmpty())
	})

	It("leaves its remote where deletionPolicy is Retain", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "named", "named").Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").Retain().Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		left := remotesOf("named", ns)
		Expect(left).To(HaveLen(1))
		Expect(providers["named"].Kill(left[0].ID)).To(BeTrue())
	})

	It("gets its finalizer back when a manifest is replaced", func(ctx SpecContext) {
		sandbox := sandboxAt(ctx, "named")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		replaced := builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").Obj()
		replaced.ResourceVersion = sandbox.ResourceVersion
		Expect(k8s.Update(ctx, replaced)).To(Succeed())
		Eventually(func() []string { return refresh(ctx, sandbox).Finalizers }).Should(ContainElement(v1alpha1.SandboxFinalizer))
		Expect(remotesOf("named", ns)).To(HaveLen(1))
	})

	It("ignores a journal that was copied from another object", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "named", "named").Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").Annotation(v1alpha1.JournalAnnotation,
			`{"uid":"somebody-else","incarnation":7,"attempt":1,"time":"2026-01-01T00:00:00Z",`+
				`"provider":{"kind":"SandboxProvider","name":"x","uid":"y","backend":"named"}}`).Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(sandbox.Status.Incarnation).To(BeEquivalentTo(1))
	})

	Describe("of a cluster that was cloned and got another installation ID", func() {
		// clone has the journal say that another installation wrote it, as it does in the clone.
		clone := func(ctx SpecContext, sandbox *v1alpha1.Sandbox) {
			GinkgoHelper()
			journal := refresh(ctx, sandbox).Annotations[v1alpha1.JournalAnnotation]
			Expect(journal).To(ContainSubstring(`"installation":"` + installation + `"`))
			annotate(ctx, sandbox, v1alpha1.JournalAnnotation, strings.Replace(journal, installation, "the-original", 1))
		}

		It("is left alone, with its command, and goes without its remote", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "named", "named").Obj())
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").Obj()
			create(ctx, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			id := sandbox.Status.SandboxID
			running := builders.MakeExec(ns, "running", "sbx").Shell("sleep 60").Obj()
			create(ctx, running)
			Eventually(func() []string { return refresh(ctx, running).Finalizers }).ShouldNot(BeEmpty())

			clone(ctx, sandbox)
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DesiredState = v1alpha1.DesiredPaused })
			eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/OtherInstallation")
			Expect(condition(ctx, sandbox, v1alpha1.ConditionStalled)).To(And(
				ContainSubstring("--installation-id=the-original"), ContainSubstring(id)))
			outcome := func(exec *v1alpha1.SandboxExec) func() v1alpha1.ExecOutcome {
				return func() v1alpha1.ExecOutcome { return refresh(ctx, exec).Status.Outcome }
			}
			Eventually(outcome(running)).Should(Equal(v1alpha1.OutcomeSandboxLost))
			later := builders.MakeExec(ns, "later", "sbx").Command("true").Obj()
			create(ctx, later)
			Eventually(outcome(later)).Should(Equal(v1alpha1.OutcomeStartFailed))

			Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
			Eventually(func() bool {
				return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(sandbox), sandbox))
			}).Should(BeTrue())
			Expect(remotesOf("named", ns)).To(ConsistOf(And(HaveField("ID", id), HaveField("State", backends.StateRunning))))
			providers["named"].Kill(id)
		})
	})
})

var _ = Describe("A provider", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) { ns = newNamespace(ctx) })

	It("teaches how to make the Secret that is missing, and works when it is there", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "secured").Credentials("key").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, provider, sandbox)
		eventually(ctx, provider, v1alpha1.ConditionReady, "False/CredentialsMissing")
		Expect(condition(ctx, provider, v1alpha1.ConditionReady)).
			To(ContainSubstring("kubectl create secret generic key -n " + ns + " --from-literal=token=..."))
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/CredentialsMissing")
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "key"}, StringData: map[string]string{"other": "x"},
		}
		create(ctx, secret)
		eventually(ctx, provider, v1alpha1.ConditionReady,
			`False/CredentialsMissing: Secret "key" in namespace "`+ns+`" has no key "token"`)
		secret.StringData = map[string]string{"token": "wrong-token"}
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionReady, "False/Unauthorized")
		Expect(condition(ctx, provider, v1alpha1.ConditionReady)).NotTo(ContainSubstring("wrong-token"))
		secret.StringData = map[string]string{"token": "right-token"}
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionReady, "True/Ready")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
	})

	It("destroys what it has after its Secret and itself were deleted first", func(ctx SpecContext) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "key"}, StringData: map[string]string{"token": "right-token"},
		}
		provider := builders.MakeProvider(ns, "p", "secured").Credentials("key").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, secret, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(k8s.Delete(ctx, secret)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionReady, "False/CredentialsMissing")
		Expect(k8s.Delete(ctx, provider)).To(Succeed())
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		gone(ctx, provider)
		Expect(remotesOf("secured", ns)).To(BeEmpty())
	})

	It("names the backends and parameters that there are", func(ctx SpecContext) {
		unknown := builders.MakeProvider(ns, "unknown", "nonsense").Obj()
		wrong := builders.MakeProvider(ns, "wrong", "named").Parameters(`{"nonsense":1}`).Obj()
		create(ctx, unknown, wrong)
		eventually(ctx, unknown, v1alpha1.ConditionStalled, `True/UnknownBackend: unknown backend "nonsense" (this operator has: `)
		eventually(ctx, wrong, v1alpha1.ConditionStalled, "True/InvalidParameters")
		Expect(condition(ctx, wrong, v1alpha1.ConditionReady)).To(ContainSubstring("known: maxRemotes"))
	})

	It("is kept until the sandboxes that it has are destroyed", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "named").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(k8s.Delete(ctx, provider)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionReady, "False/InUse")
		late := builders.MakeSandbox(ns, "late").NamespacedProvider("p").Obj()
		create(ctx, late)
		eventually(ctx, late, v1alpha1.ConditionReady, "False/ProviderNotFound")
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		gone(ctx, provider)
	})

	It("is chosen by default within its namespace before the cluster's", func(ctx SpecContext) {
		sandbox := builders.MakeSandbox(ns, "sbx").Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/NoDefaultProvider")
		cluster := builders.MakeClusterProvider("cluster-default", "listed").Default().Obj()
		create(ctx, cluster)
		DeferCleanup(func(ctx SpecContext) {
			Expect(k8s.Delete(ctx, cluster)).To(Succeed())
			gone(ctx, cluster)
		})
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(sandbox.Status.Provider.Name).To(Equal("cluster-default"))
		create(ctx, builders.MakeProvider(ns, "own", "named").Default().Obj())
		second := builders.MakeSandbox(ns, "second").Obj()
		create(ctx, second)
		eventually(ctx, second, v1alpha1.ConditionReady, "True/Ready")
		Expect(second.Status.Provider.Name).To(Equal("own"))
		create(ctx, builders.MakeProvider(ns, "another", "named").Default().Obj())
		third := builders.MakeSandbox(ns, "third").Obj()
		create(ctx, third)
		eventually(ctx, third, v1alpha1.ConditionReady, "False/SeveralDefaultProviders")
		Expect(k8s.DeleteAllOf(ctx, &v1alpha1.Sandbox{}, inNamespace(ns))).To(Succeed())
		gone(ctx, sandbox)
	})

	It("admits the namespaces that it selects, and no others", func(ctx SpecContext) {
		cluster := builders.MakeClusterProvider("selective", "named").AllowedNamespaces(map[string]string{"team": "a"}).Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").ClusterProvider("selective").Obj()
		create(ctx, cluster, sandbox)
		DeferCleanup(func(ctx SpecContext) {
			Expect(k8s.Delete(ctx, cluster)).To(Succeed())
			gone(ctx, cluster)
		})
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/NamespaceNotAllowed")
		Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(ContainSubstring("team=a"))
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
	})
})
