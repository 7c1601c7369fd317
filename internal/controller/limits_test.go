// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

var _ = Describe("The limits of a provider", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) { ns = newNamespace(ctx) })

	sandboxes := func(ctx SpecContext, provider string, n int) []*v1alpha1.Sandbox {
		GinkgoHelper()
		var made []*v1alpha1.Sandbox
		for i := range n {
			made = append(made, builders.MakeSandbox(ns, fmt.Sprintf("%s-%02d", provider, i)).NamespacedProvider(provider).Obj())
			create(ctx, made[i])
		}
		return made
	}
	readyOf := func(ctx SpecContext, all []*v1alpha1.Sandbox) (ready []string) {
		for _, sandbox := range all {
			if meta.IsStatusConditionTrue(refresh(ctx, sandbox).Status.Conditions, v1alpha1.ConditionReady) {
				ready = append(ready, sandbox.Name)
			}
		}
		return ready
	}

	It("hold back in the order of creation, and let on who is next when a place is free", func(ctx SpecContext) {
		all := sandboxes(ctx, "p", 4)
		create(ctx, builders.MakeProvider(ns, "p", "named").Limits(v1alpha1.ProviderLimits{MaxSandboxes: new(int32(2))}).Obj())
		eventually(ctx, all[0], v1alpha1.ConditionReady, "True/Ready")
		eventually(ctx, all[1], v1alpha1.ConditionReady, "True/Ready")
		eventually(ctx, all[2], v1alpha1.ConditionReady, "False/LimitReached: The provider may have 2 sandboxes")
		eventually(ctx, all[3], v1alpha1.ConditionReady, "False/LimitReached")
		waits := all[3].ResourceVersion
		Expect(k8s.Delete(ctx, all[0])).To(Succeed())
		eventually(ctx, all[2], v1alpha1.ConditionReady, "True/Ready")
		Consistently(func() []string { return readyOf(ctx, all[1:]) }, 2*period).Should(ConsistOf("p-01", "p-02"))
		Expect(refresh(ctx, all[3]).ResourceVersion).To(Equal(waits), "a place in the queue was written down")
		Expect(remotesOf("named", ns)).To(HaveLen(2))
	})

	It("end nothing when they are lowered below what exists, and count what ended", func(ctx SpecContext) {
		provider := builders.MakeProvider(ns, "p", "named").Obj()
		create(ctx, provider)
		all := sandboxes(ctx, "p", 3)
		Eventually(func() []string { return readyOf(ctx, all) }).Should(HaveLen(3))
		change(ctx, provider, func(p *v1alpha1.SandboxProvider) {
			p.Spec.Limits = &v1alpha1.ProviderLimits{MaxSandboxes: new(int32(1))}
		})
		late := builders.MakeSandbox(ns, "late").NamespacedProvider("p").Obj()
		create(ctx, late)
		eventually(ctx, late, v1alpha1.ConditionReady, "False/LimitReached")
		Expect(readyOf(ctx, all)).To(HaveLen(3))
		for _, sandbox := range all {
			providers["named"].Kill(sandbox.Status.SandboxID)
		}
		eventually(ctx, late, v1alpha1.ConditionReady, "True/Ready")
	})

	It("do not let one that can never be made hold up those behind it", func(ctx SpecContext) {
		never := builders.MakeSandbox(ns, "a-never").NamespacedProvider("p").Image("busybox").Obj()
		create(ctx, never, builders.MakeProvider(ns, "p", "plain").Limits(v1alpha1.ProviderLimits{MaxSandboxes: new(int32(1))}).Obj())
		eventually(ctx, never, v1alpha1.ConditionStalled, "True/Unsupported")
		next := builders.MakeSandbox(ns, "next").NamespacedProvider("p").Obj()
		create(ctx, next)
		eventually(ctx, next, v1alpha1.ConditionReady, "True/Ready")
	})

	It("hold for creations within a minute, over all objects", func(ctx SpecContext) {
		create(ctx, token(ns, "account-a/per-minute"),
			builders.MakeProvider(ns, "p", "accounts").Credentials("key").Limits(v1alpha1.ProviderLimits{CreatesPerMinute: 3}).Obj())
		before := providers["account-a"].Calls(memory.OperationCreate)
		all := sandboxes(ctx, "p", 6)
		Eventually(func() []string { return readyOf(ctx, all) }).Should(HaveLen(3))
		Consistently(func() int { return providers["account-a"].Calls(memory.OperationCreate) - before }, 3*time.Second).Should(Equal(3))
	})

	It("hold for calls at once, and one account's outage holds up no other", func(ctx SpecContext) {
		gate := memory.NewGate()
		defer gate.Open()
		var under, most atomic.Int32
		defer providers["account-b"].Inject(memory.Fault{Operation: memory.OperationCreate, Gate: gate, If: func(memory.Call) bool {
			most.Store(max(most.Load(), under.Add(1)))
			return true
		}})()
		create(ctx, token(ns, "account-b/slow"), builders.MakeProvider(ns, "fast", "named").Obj(),
			builders.MakeProvider(ns, "slow", "accounts").Credentials("key").Limits(v1alpha1.ProviderLimits{MaxConcurrentCalls: 4}).Obj())
		slow := sandboxes(ctx, "slow", 40)
		Eventually(under.Load).Should(BeEquivalentTo(4))
		began := time.Now()
		fast := sandboxes(ctx, "fast", 5)
		Eventually(func() []string { return readyOf(ctx, fast) }).Should(HaveLen(5))
		Expect(time.Since(began)).To(BeNumerically("<", 10*time.Second))
		Expect(most.Load()).To(BeEquivalentTo(4))
		gate.Open()
		Eventually(func() []string { return readyOf(ctx, slow) }).Should(HaveLen(40))
	})

	It("are the only ones: all of a crowd are at their provider at once, though not all begin at once", func(ctx SpecContext) {
		gate := memory.NewGate()
		defer gate.Open()
		there := make(chan string, 300)
		defer providers["named"].Inject(memory.Fault{Operation: memory.OperationCreate, Gate: gate, If: func(call memory.Call) bool {
			there <- call.Name
			return true
		}})()
		create(ctx, builders.MakeProvider(ns, "p", "named").Obj())
		all := sandboxes(ctx, "p", 30)
		// No call was given up by then: that takes ten seconds.
		Eventually(there, 8*time.Second).Should(HaveLen(30))
		gate.Open()
		Eventually(func() []string { return readyOf(ctx, all) }).Should(HaveLen(30))
	})

	It("leave workers to an account that answers, however many others don't", func(ctx SpecContext) {
		gate := memory.NewGate()
		defer gate.Open()
		for _, account := range []string{"account-a", "account-b"} {
			defer providers[account].Inject(memory.Fault{Operation: memory.OperationCreate, Gate: gate})()
			key := token(ns, account+"/slow")
			key.Name = account
			create(ctx, key, builders.MakeProvider(ns, account, "accounts").Credentials(account).Obj())
		}
		create(ctx, builders.MakeProvider(ns, "fast", "named").Obj())
		slow := append(sandboxes(ctx, "account-a", 40), sandboxes(ctx, "account-b", 40)...)
		Eventually(gate.Reached()).Should(BeClosed())
		fast := sandboxes(ctx, "fast", 5)
		Eventually(func() []string { return readyOf(ctx, fast) }).Should(HaveLen(5))
		Expect(readyOf(ctx, slow)).To(BeEmpty())
		gate.Open()
		Eventually(func() []string { return readyOf(ctx, slow) }).Should(HaveLen(80))
	})

	DescribeTable("are shared by namespaces, so that one's crowd is not between another and its one sandbox",
		func(ctx SpecContext, limits v1alpha1.ProviderLimits, crowd int) {
			other := newNamespace(ctx)
			for _, namespace := range []string{ns, other} {
				p := builders.MakeProvider(namespace, "p", "accounts").Credentials("key").Limits(limits).Obj()
				create(ctx, token(namespace, "account-a/shared-"+ns), p)
				DeferCleanup(func(ctx SpecContext) { change(ctx, p, func(p *v1alpha1.SandboxProvider) { p.Spec.Limits = nil }) })
			}
			defer providers["account-a"].Inject(memory.Fault{Operation: memory.OperationCreate, Delay: 100 * time.Millisecond})()
			sandboxes(ctx, "p", crowd)
			Eventually(func() int { return len(remotesOf("account-a", ns)) }).Should(BeNumerically(">", 2))
			one := builders.MakeSandbox(other, "one").NamespacedProvider("p").Obj()
			before := len(remotesOf("account-a", ns))
			create(ctx, one)
			eventually(ctx, one, v1alpha1.ConditionReady, "True/Ready")
			Expect(len(remotesOf("account-a", ns))-before).To(BeNumerically("<", crowd/3), "made for the crowd meanwhile")
		},
		Entry("calls at once", v1alpha1.ProviderLimits{MaxConcurrentCalls: 2}, 90),
		Entry("calls in a second", v1alpha1.ProviderLimits{RequestsPerSecond: 15, Burst: 1}, 90),
	)
})

var _ = Describe("The parameters of a Sandbox", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) { ns = newNamespace(ctx) })

	It("may be written in another order, but not changed", func(ctx SpecContext) {
		create(ctx, token(ns, "account-a/1"), builders.MakeProvider(ns, "p", "accounts").Credentials("key").Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Parameters(`{"a":1,"b":{"c":2,"d":3}}`).Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		id := sandbox.Status.SandboxID
		request, _ := providers["account-a"].Request(id)
		Expect(request.Parameters).To(MatchJSON(`{"a":1,"b":{"c":2,"d":3}}`))
		change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.Parameters.Raw = []byte(`{"a":2,"b":{"c":2,"d":3}}`) })
		eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/ParametersChanged")
		change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.Parameters.Raw = []byte(`{"b":{"d":3,"c":2},"a":1}`) })
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		Expect(sandbox.Status.SandboxID).To(Equal(id))
	})

	It("are refused by a backend that would ignore them", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "p", "named").Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Parameters(`{}`).Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/Unsupported: named create: this backend does not support spec.parameters")
	})
})
