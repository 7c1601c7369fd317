// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// add puts a remote in place that no call made, an hour old.
func add(backend, namespace, uid string, change func(*backends.Remote)) string {
	GinkgoHelper()
	remote := backends.Remote{
		CreatedAt: time.Now().Add(-time.Hour),
		Mark: backends.Mark{
			Installation: installation, Namespace: namespace, Name: "forgotten", UID: uid, Incarnation: 1, DeletionPolicy: "Delete",
		},
	}
	if change != nil {
		change(&remote)
	}
	added, err := providers[backend].Add(remote)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { providers[backend].Kill(added.ID) })
	return added.ID
}

func exists(backend, id string) bool {
	for _, remote := range providers[backend].Remotes() {
		if remote.ID == id {
			return true
		}
	}
	return false
}

// annotate sets an annotation.
func annotate(ctx context.Context, object client.Object, key, value string) {
	GinkgoHelper()
	before, _ := object.DeepCopyObject().(client.Object)
	annotations := map[string]string{key: value}
	maps.Copy(annotations, object.GetAnnotations())
	annotations[key] = value
	object.SetAnnotations(annotations)
	Expect(k8s.Patch(ctx, object, client.MergeFrom(before))).To(Succeed())
}

// change patches the spec of an object.
func change[T client.Object](ctx context.Context, object T, change func(T)) {
	GinkgoHelper()
	refresh(ctx, object)
	before, _ := object.DeepCopyObject().(client.Object)
	change(object)
	Expect(k8s.Patch(ctx, object, client.MergeFrom(before))).To(Succeed())
}

// token makes the Secret of a provider of the backend "accounts".
func token(namespace, value string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "key"}, StringData: map[string]string{"token": value},
	}
}

var _ = Describe("Inventory", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) { ns = newNamespace(ctx) })

	It("destroys what no Sandbox has any more, and nothing else", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "p", "swept").Obj())
		orphan := add("swept", ns, "gone", nil)
		kept := []string{
			add("swept", ns, "gone", func(r *backends.Remote) { r.Mark.DeletionPolicy = "Retain" }),
			add("swept", ns, "gone", func(r *backends.Remote) { r.Mark.Installation = "another" }),
			add("swept", ns, "gone", func(r *backends.Remote) { r.Mark = backends.Mark{} }),
			add("swept", ns, "gone", func(r *backends.Remote) { r.CreatedAt = time.Now().Add(time.Hour) }),
		}
		Eventually(func() bool { return exists("swept", orphan) }).Should(BeFalse())
		Consistently(func(g Gomega) {
			for i, id := range kept {
				g.Expect(exists("swept", id)).To(BeTrue(), "number %d was destroyed", i)
			}
		}, 3*period).Should(Succeed())
	})

	It("destroys nothing while the API server refuses to say whose it is", func(ctx SpecContext) {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "manager-role"}}
		mayGet := func(ctx SpecContext, may bool) {
			change(ctx, role, func(r *rbacv1.ClusterRole) {
				for i := range r.Rules {
					if rule := &r.Rules[i]; slices.Equal(rule.Resources, []string{"sandboxes"}) {
						rule.Verbs = slices.DeleteFunc(rule.Verbs, func(verb string) bool { return verb == "get" })
						if may {
							rule.Verbs = append(rule.Verbs, "get")
						}
					}
				}
			})
		}
		mayGet(ctx, false)
		DeferCleanup(func(ctx SpecContext) { mayGet(ctx, true) })
		provider := builders.MakeProvider(ns, "p", "swept").Obj()
		create(ctx, provider)
		orphan := add("swept", ns, "gone", nil)
		Eventually(func() []v1alpha1.OrphanRemote { return refresh(ctx, provider).Status.Orphans }).Should(HaveLen(1))
		Consistently(func() bool { return exists("swept", orphan) }, 4*period).Should(BeTrue())
		mayGet(ctx, true)
		Eventually(func() bool { return exists("swept", orphan) }).Should(BeFalse())
	})

	It("destroys an orphan that is found at the first list only at a later one", func(ctx SpecContext) {
		// A key of its own, so that no list is there already.
		provider := builders.MakeProvider(ns, "p", "accounts").Credentials("key").Obj()
		orphan := add("account-a", ns, "gone", nil)
		gate := memory.NewGate()
		defer gate.Open()
		var lists atomic.Int32
		defer providers["account-a"].Inject(memory.Fault{Operation: memory.OperationList, Gate: gate, If: func(memory.Call) bool {
			return lists.Add(1) == 2
		}})()
		create(ctx, token(ns, "account-a/first-list"), provider)
		Eventually(gate.Reached()).Should(BeClosed())
		Expect(refresh(ctx, provider).Status.Orphans).To(ConsistOf(HaveField("SandboxID", orphan)))
		Expect(exists("account-a", orphan)).To(BeTrue())
		gate.Open()
		Eventually(func() bool { return exists("account-a", orphan) }).Should(BeFalse())
	})

	It("reports orphans where the policy says so, and destroys the one that an annotation names", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "swept").Orphans(v1alpha1.OrphanReport).Obj()
		create(ctx, provider)
		first := add("swept", ns, "gone", nil)
		second := add("swept", ns, "gone-too", func(r *backends.Remote) { r.CreatedAt = time.Now().Add(-2 * time.Hour) })
		Eventually(func() []v1alpha1.OrphanRemote { return refresh(ctx, provider).Status.Orphans }).Should(HaveLen(2))
		Expect(provider.Status.Orphans[0]).To(And(HaveField("SandboxID", second), HaveField("Namespace", ns),
			HaveField("Name", "forgotten"), HaveField("UID", "gone-too"), HaveField("CreatedAt", Not(BeNil()))))
		Expect(provider.Status.OrphanCount).To(HaveValue(BeEquivalentTo(2)))
		Consistently(func() bool { return exists("swept", first) && exists("swept", second) }, 3*period).Should(BeTrue())
		annotate(ctx, provider, v1alpha1.DestroyOrphanAnnotation, second+",nonsense")
		Eventually(func() bool { return exists("swept", second) }).Should(BeFalse())
		Eventually(func() map[string]string { return refresh(ctx, provider).Annotations }).
			ShouldNot(HaveKey(v1alpha1.DestroyOrphanAnnotation))
		Eventually(func() []v1alpha1.OrphanRemote { return refresh(ctx, provider).Status.Orphans }).Should(HaveLen(1))
		Expect(exists("swept", first)).To(BeTrue())
	})

	It("destroys what a Sandbox has beside its own, whatever the policy says", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "p", "swept").Orphans(v1alpha1.OrphanReport).Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		surplus := add("swept", ns, string(sandbox.UID), func(r *backends.Remote) { r.Mark.Name = "sbx" })
		Eventually(func() bool { return exists("swept", surplus) }).Should(BeFalse())
		Expect(exists("swept", sandbox.Status.SandboxID)).To(BeTrue())
	})

	It("leaves alone what belongs to a Sandbox that names no remote yet", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "p", "swept").Obj(), builders.MakeProvider(ns, "absent", "nonsense").Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("absent").Obj()
		create(ctx, sandbox)
		id := add("swept", ns, string(sandbox.UID), func(r *backends.Remote) { r.Mark.Name = "sbx" })
		Consistently(func() bool { return exists("swept", id) }, 4*period).Should(BeTrue())
	})

	It("makes one list an account and period, and no write while nothing happens", func(ctx SpecContext) {
		first, second := builders.MakeProvider(ns, "first", "swept").Obj(), builders.MakeProvider(ns, "second", "swept").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("first").Obj()
		create(ctx, first, second, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		eventually(ctx, first, v1alpha1.ConditionReady, "True/Ready")
		eventually(ctx, second, v1alpha1.ConditionReady, "True/Ready")
		Eventually(func() *int32 { return refresh(ctx, first).Status.SandboxCount }).Should(HaveValue(BeEquivalentTo(1)))
		versions := func() string {
			return refresh(ctx, first).ResourceVersion + " " + refresh(ctx, second).ResourceVersion + " " +
				refresh(ctx, sandbox).ResourceVersion
		}
		was := ""
		Eventually(func() bool {
			now := versions()
			settled := now == was
			was = now
			return settled
		}).WithPolling(2*period).Should(BeTrue(), "the objects do not settle")
		before := providers["swept"].Counts()
		began := time.Now()
		Consistently(versions, 6*period).Should(Equal(was))
		after, periods := providers["swept"].Counts(), int(time.Since(began)/(period*3/4))+1
		Expect(after[memory.OperationList]-before[memory.OperationList]).To(BeNumerically("<=", periods), "lists of an account")
		after[memory.OperationList] = before[memory.OperationList]
		Expect(after).To(Equal(before), "idle objects cost calls")
	})

	It("declares nothing lost and makes nothing with the key of another account", func(ctx SpecContext) {
		secret, provider := token(ns, "account-a/1"), builders.MakeProvider(ns, "p", "accounts").Credentials("key").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, secret, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		id := sandbox.Status.SandboxID
		By("taking the key of another account")
		secret.StringData = map[string]string{"token": "account-b/1"}
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionStalled, "True/AccountChanged: The account does not show")
		another := builders.MakeSandbox(ns, "another").NamespacedProvider("p").Obj()
		create(ctx, another)
		eventually(ctx, another, v1alpha1.ConditionReady, "False/AccountChanged")
		Consistently(func() string { return condition(ctx, sandbox, v1alpha1.ConditionReady) }, 3*period).Should(HavePrefix("True/Ready"))
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		eventually(ctx, sandbox, v1alpha1.ConditionDeleting, "True/DestroyFailed")
		lists := providers["account-b"].Calls(memory.OperationList)
		Eventually(func() int { return providers["account-b"].Calls(memory.OperationList) - lists }).Should(BeNumerically(">", 2))
		Expect(exists("account-a", id)).To(BeTrue())
		Expect(condition(ctx, sandbox, v1alpha1.ConditionDeleting)).To(HavePrefix("True/DestroyFailed"),
			"another account knows nothing of it")
		By("taking a rotated key of the first one")
		secret.StringData = map[string]string{"token": "account-a/2"}
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionReady, "True/Ready")
		gone(ctx, sandbox)
		Expect(exists("account-a", id)).To(BeFalse())
		eventually(ctx, another, v1alpha1.ConditionReady, "True/Ready")
		Expect(remotesOf("account-b", ns)).To(BeEmpty())
	})

	It("sees another account also when the key was changed while the operator was down", func(ctx SpecContext) {
		secret, provider := token(ns, "account-a/1"), builders.MakeProvider(ns, "p", "accounts").Credentials("key").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, secret, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		stopManager()
		secret.StringData = map[string]string{"token": "account-b/1"}
		Expect(k8s.Update(ctx, secret)).To(Succeed())
		stopManager = startManager()
		eventually(ctx, provider, v1alpha1.ConditionStalled, "True/AccountChanged")
		Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("True/Ready"))
		By("saying that what is missing is lost")
		annotate(ctx, provider, v1alpha1.AcceptLossesAnnotation, "true")
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/RemoteGone")
		eventually(ctx, provider, v1alpha1.ConditionReady, "True/Ready")
		Expect(refresh(ctx, provider).Annotations).NotTo(HaveKey(v1alpha1.AcceptLossesAnnotation))
		for _, left := range remotesOf("account-a", ns) {
			providers["account-a"].Kill(left.ID)
		}
	})

	It("keeps what it has when the endpoint of its provider changes", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "accounts").Credentials("key").Endpoint("https://account-a").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, token(ns, "any/1"), provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		change(ctx, provider, func(p *v1alpha1.SandboxProvider) { p.Spec.Endpoint = "https://account-b" })
		eventually(ctx, provider, v1alpha1.ConditionStalled, "True/AccountChanged")
		Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("True/Ready"))
		change(ctx, provider, func(p *v1alpha1.SandboxProvider) { p.Spec.Endpoint = "https://account-a" })
		eventually(ctx, provider, v1alpha1.ConditionReady, "True/Ready")
	})

	It("refuses an endpoint that the backend would ignore", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "named").Endpoint("https://elsewhere").Obj()
		create(ctx, provider)
		eventually(ctx, provider, v1alpha1.ConditionStalled, `True/InvalidParameters: backend "named" has no endpoint`)
	})

	It("takes a cluster that was restored from an old backup for what it is", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "swept").Obj()
		var ids []string
		for i := range 7 {
			ids = append(ids, add("swept", ns, fmt.Sprintf("forgotten-%d", i), nil))
		}
		create(ctx, provider)
		eventually(ctx, provider, v1alpha1.ConditionStalled, "True/AccountChanged: The account does not show")
		Consistently(func(g Gomega) {
			for _, id := range ids {
				g.Expect(exists("swept", id)).To(BeTrue())
			}
		}, 3*period).Should(Succeed())
		annotate(ctx, provider, v1alpha1.AcceptLossesAnnotation, "true")
		Eventually(func() []backends.Remote { return remotesOf("swept", ns) }).Should(BeEmpty())
	})

	It("has its provider kept, also where somebody takes the finalizer away again and again", func(ctx SpecContext) {
		p := builders.MakeProvider(ns, "kept", "plain").Obj()
		create(ctx, p)
		var sandboxes []*v1alpha1.Sandbox
		for i := range 10 {
			sandbox := builders.MakeSandbox(ns, fmt.Sprintf("box-%d", i)).NamespacedProvider("kept").Obj()
			create(ctx, sandbox)
			change(ctx, p, func(p *v1alpha1.SandboxProvider) { p.Finalizers = nil })
			sandboxes = append(sandboxes, sandbox)
		}
		for _, sandbox := range sandboxes {
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		}
		last := builders.MakeSandbox(ns, "last").NamespacedProvider("kept").Obj()
		create(ctx, last)
		eventually(ctx, last, v1alpha1.ConditionReady, "True/Ready")
		refresh(ctx, p)
		Expect(p.Finalizers).To(ContainElement(v1alpha1.InUseFinalizer))
	})

	It("remembers what was given up, keeps its provider, and destroys it when that can be done", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "swept").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		remove := providers["swept"].Inject(memory.Fault{Operation: memory.OperationDestroy, Err: memory.Error(backends.Unavailable, 0)})
		defer remove()
		annotate(ctx, sandbox, v1alpha1.AbandonAnnotation, "true")
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		Expect(refresh(ctx, provider).Status.Abandoned).To(ConsistOf(And(HaveField("SandboxID", sandbox.Status.SandboxID),
			HaveField("Sandbox", ns+"/sbx"), HaveField("UID", string(sandbox.UID)))))
		Expect(k8s.Delete(ctx, provider)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionReady, "False/InUse")
		remove()
		gone(ctx, provider)
		Expect(remotesOf("swept", ns)).To(BeEmpty())
	})

	It("lets a provider go whose remotes can't be destroyed, at last", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "swept").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		defer providers["swept"].Inject(memory.Fault{Operation: memory.OperationDestroy, Err: memory.Error(backends.Unavailable, 0)})()
		annotate(ctx, sandbox, v1alpha1.AbandonAnnotation, "true")
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		gone(ctx, sandbox)
		Expect(k8s.Delete(ctx, provider)).To(Succeed())
		gone(ctx, provider)
		providers["swept"].Kill(sandbox.Status.SandboxID)
	})

	It("destroys what it has after Secret, provider and the operator's memory went first", func(ctx SpecContext) {
		secret, provider := token(ns, "account-a/1"), builders.MakeProvider(ns, "p", "accounts").Credentials("key").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, secret, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		copied := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "provider-" + string(provider.UID)}}
		Expect(refresh(ctx, copied).Data).To(HaveKeyWithValue("token", []byte("account-a/1")))
		stopManager()
		Expect(k8s.Delete(ctx, secret)).To(Succeed())
		Expect(k8s.Delete(ctx, provider)).To(Succeed())
		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		stopManager = startManager()
		gone(ctx, sandbox)
		gone(ctx, provider)
		Expect(remotesOf("account-a", ns)).To(BeEmpty())
		Eventually(func() bool { return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(copied), copied)) }).Should(BeTrue())
	})

	It("never makes a new sandbox with the copied credentials", func(ctx SpecContext) {
		secret, provider := token(ns, "account-a/1"), builders.MakeProvider(ns, "p", "accounts").Credentials("key").Obj()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, secret, provider, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(k8s.Delete(ctx, secret)).To(Succeed())
		eventually(ctx, provider, v1alpha1.ConditionReady, "False/CredentialsMissing")
		late := builders.MakeSandbox(ns, "late").NamespacedProvider("p").Obj()
		create(ctx, late)
		eventually(ctx, late, v1alpha1.ConditionReady, "False/CredentialsMissing")
		Expect(remotesOf("account-a", ns)).To(HaveLen(1))
	})
})
