// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"sync/atomic"
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

// remoteOf is the remote that the Sandbox's status names, as the provider has it; nil = there is none.
func remoteOf(backend string, sandbox *v1alpha1.Sandbox) *backends.Remote {
	for _, remote := range providers[backend].Remotes() {
		if remote.ID == sandbox.Status.SandboxID {
			return &remote
		}
	}
	return nil
}

// finishes waits until a run is over and returns its outcome.
func finishes(ctx context.Context, exec *v1alpha1.SandboxExec) v1alpha1.ExecOutcome {
	GinkgoHelper()
	Eventually(func() v1alpha1.ExecOutcome { return refresh(ctx, exec).Status.Outcome }).ShouldNot(BeEmpty(), "the run does not end")
	return exec.Status.Outcome
}

var _ = Describe("The life of a Sandbox", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) { ns = newNamespace(ctx) })

	// ready makes a Sandbox at a provider "p" of the backend, and waits until it is Ready.
	ready := func(ctx SpecContext, backend string, sandbox *builders.SandboxBuilder) *v1alpha1.Sandbox {
		GinkgoHelper()
		create(ctx, builders.MakeProvider(ns, "p", backend).Obj())
		made := sandbox.NamespacedProvider("p").Obj()
		create(ctx, made)
		eventually(ctx, made, v1alpha1.ConditionReady, "True/Ready")
		return made
	}
	lifetime := func(life v1alpha1.SandboxLifetime) *builders.SandboxBuilder {
		return builders.MakeSandbox(ns, "sbx").Lifetime(life)
	}

	It("can be given up where somebody else wrote its status", func(ctx SpecContext) {
		strange := builders.MakeSandbox(ns, "strange").NamespacedProvider("none").Obj()
		create(ctx, strange)
		eventually(ctx, strange, v1alpha1.ConditionReady, "False/ProviderNotFound")
		before := refresh(ctx, strange).DeepCopy()
		strange.Status.SandboxID, strange.Status.Incarnation, strange.Status.State = "made-up", 1, v1alpha1.SandboxRunning
		Expect(k8s.Status().Patch(ctx, strange, client.MergeFrom(before))).To(Succeed())
		before = strange.DeepCopy()
		strange.Annotations = map[string]string{v1alpha1.AbandonAnnotation: "true"}
		Expect(k8s.Patch(ctx, strange, client.MergeFrom(before))).To(Succeed())
		Expect(k8s.Delete(ctx, strange)).To(Succeed())
		gone(ctx, strange)
	})

	Describe("its lifetime", func() {
		It("ends at its hard limit, and the object stays and says why", func(ctx SpecContext) {
			sandbox := ready(ctx, "plain", lifetime(v1alpha1.SandboxLifetime{TimeoutSeconds: 2}))
			Expect(sandbox.Status.ExpiresAt.Time).To(Equal(sandbox.Status.CreatedAt.Add(2 * time.Second)))
			eventually(ctx, sandbox, v1alpha1.ConditionFinished, "True/Expired: The sandbox was destroyed after its 2 seconds")
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("False/Expired"))
			Expect(sandbox.Status.State).To(Equal(v1alpha1.SandboxGone))
			Expect(sandbox.Status.FinishedAt).NotTo(BeNil())
			Expect(remotesOf("plain", ns)).To(BeEmpty())
			exec := builders.MakeExec(ns, "late", "sbx").Command("true").Obj()
			create(ctx, exec)
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeStartFailed))
		})

		It("ends at its hard limit while a command runs in it", func(ctx SpecContext) {
			ready(ctx, "plain", lifetime(v1alpha1.SandboxLifetime{TimeoutSeconds: 3, IdleTimeoutSeconds: 1}))
			exec := builders.MakeExec(ns, "e", "sbx").Command("sleep", "60").Obj()
			create(ctx, exec)
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSandboxLost))
		})

		It("is given to the provider, so that the remote ends without the operator", func(ctx SpecContext) {
			sandbox := ready(ctx, "mortal", lifetime(v1alpha1.SandboxLifetime{TimeoutSeconds: 4}))
			Expect(remoteOf("mortal", sandbox).ExpiresAt).To(BeTemporally("~", sandbox.Status.ExpiresAt.Time, 2*time.Second))
			stopManager()
			Eventually(func() *backends.Remote { return remoteOf("mortal", sandbox) }).Should(BeNil())
			stopManager = startManager()
			eventually(ctx, sandbox, v1alpha1.ConditionFinished, "True/Expired")
		})

		It("can be changed while it runs", func(ctx SpecContext) {
			sandbox := ready(ctx, "mortal", lifetime(v1alpha1.SandboxLifetime{TimeoutSeconds: 600}))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.Lifetime.TimeoutSeconds = 1200 })
			Eventually(func() time.Duration {
				refresh(ctx, sandbox)
				return sandbox.Status.ExpiresAt.Sub(sandbox.Status.CreatedAt.Time)
			}).Should(Equal(20 * time.Minute))
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("True/Ready"))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.Lifetime.TimeoutSeconds = 30 })
			Eventually(func() time.Time { return remoteOf("mortal", sandbox).ExpiresAt }).
				Should(BeTemporally("<", time.Now().Add(35*time.Second)))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.Lifetime.TimeoutSeconds = 2 })
			eventually(ctx, sandbox, v1alpha1.ConditionFinished, "True/Expired")
		})

		DescribeTable("names the provider's bounds where it is out of them",
			func(ctx SpecContext, seconds int32) {
				create(ctx, builders.MakeProvider(ns, "p", "mortal").Obj())
				sandbox := lifetime(v1alpha1.SandboxLifetime{TimeoutSeconds: seconds}).NamespacedProvider("p").Obj()
				create(ctx, sandbox)
				eventually(ctx, sandbox, v1alpha1.ConditionStalled, fmt.Sprintf(
					`True/LifetimeOutOfBounds: lifetime.timeoutSeconds is %d; backend "mortal" takes 2 to 3600`, seconds))
				Expect(remotesOf("mortal", ns)).To(BeEmpty())
				change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.Lifetime.TimeoutSeconds = 60 })
				eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			},
			Entry("too short", int32(1)), Entry("too long", int32(3601)),
		)

		It("comes from the provider where the Sandbox says nothing, also when that changes", func(ctx SpecContext) {
			provider := builders.MakeProvider(ns, "p", "plain").
				Defaults(v1alpha1.SandboxDefaults{Lifetime: &v1alpha1.SandboxLifetime{TimeoutSeconds: 600}}).Obj()
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
			create(ctx, provider, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(sandbox.Status.ExpiresAt.Sub(sandbox.Status.CreatedAt.Time)).To(Equal(10 * time.Minute))
			change(ctx, provider, func(p *v1alpha1.SandboxProvider) { p.Spec.Defaults.Lifetime.TimeoutSeconds = 1 })
			eventually(ctx, sandbox, v1alpha1.ConditionFinished, "True/Expired")
		})

		It("deletes the object of a remote that ended only where that was asked for", func(ctx SpecContext) {
			sandbox := ready(ctx, "plain", lifetime(v1alpha1.SandboxLifetime{TimeoutSeconds: 1, TTLSecondsAfterFinished: new(int32(1))}))
			gone(ctx, sandbox)
		})
	})

	Describe("idleness", func() {
		It("destroys the remote that nobody used", func(ctx SpecContext) {
			sandbox := ready(ctx, "plain", lifetime(v1alpha1.SandboxLifetime{IdleTimeoutSeconds: 2}))
			eventually(ctx, sandbox, v1alpha1.ConditionFinished, "True/IdleTimeout: The sandbox was destroyed, as nobody used it for 2")
			Expect(remotesOf("plain", ns)).To(BeEmpty())
		})

		It("does not count while a command runs, and counts from its end", func(ctx SpecContext) {
			sandbox := ready(ctx, "plain", lifetime(v1alpha1.SandboxLifetime{IdleTimeoutSeconds: 2}))
			exec := builders.MakeExec(ns, "e", "sbx").Command("sleep", "4").Obj()
			create(ctx, exec)
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
			eventually(ctx, sandbox, v1alpha1.ConditionFinished, "True/IdleTimeout")
			Expect(sandbox.Status.FinishedAt.Time).To(BeTemporally(">=", exec.Status.CompletionTime.Add(2*time.Second)))
		})

		It("pauses the remote where that was asked for, and the next run resumes it", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", lifetime(v1alpha1.SandboxLifetime{IdleTimeoutSeconds: 1, OnIdle: v1alpha1.OnIdlePause}))
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Idle")
			Expect(sandbox.Status.State).To(Equal(v1alpha1.SandboxPaused))
			Expect(remoteOf("named", sandbox).State).To(Equal(backends.StatePaused))
			resumed := providers["named"].Calls(memory.OperationResume)
			Consistently(func() int { return providers["named"].Calls(memory.OperationResume) }, 3*period).
				Should(Equal(resumed), "observing resumed it")
			for i := range 2 {
				exec := builders.MakeExec(ns, fmt.Sprintf("e%d", i), "sbx").Command("true").Obj()
				create(ctx, exec)
				Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
				eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Idle")
			}
		})

		It("remembers over a restart that it was the one who paused", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", lifetime(v1alpha1.SandboxLifetime{IdleTimeoutSeconds: 1, OnIdle: v1alpha1.OnIdlePause}))
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Idle")
			stopManager()
			stopManager = startManager()
			exec := builders.MakeExec(ns, "e", "sbx").Command("true").Obj()
			create(ctx, exec)
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
		})
	})

	Describe("pause and resume", func() {
		It("follow desiredState, and a run waits for its owner", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx"))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DesiredState = v1alpha1.DesiredPaused })
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Paused")
			Expect(remoteOf("named", sandbox).State).To(Equal(backends.StatePaused))
			exec := builders.MakeExec(ns, "e", "sbx").Command("true").Obj()
			create(ctx, exec)
			eventually(ctx, exec, v1alpha1.ConditionReady, "False/WaitingForSandbox")
			Consistently(func() backends.State { return remoteOf("named", sandbox).State }, 3*period).Should(Equal(backends.StatePaused))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DesiredState = "" })
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
		})

		It("holds a running command still, which then goes on", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx"))
			exec := builders.MakeExec(ns, "e", "sbx").Command("sleep", "2").Obj()
			create(ctx, exec)
			eventually(ctx, exec, v1alpha1.ConditionStarted, "True")
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DesiredState = v1alpha1.DesiredPaused })
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Paused")
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DesiredState = v1alpha1.DesiredRunning })
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
		})

		It("makes a Sandbox that shall be paused from the start, with its files", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "p", "named").Obj())
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").File("/a", "text").Paused().Obj()
			create(ctx, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Paused")
			Expect(condition(ctx, sandbox, v1alpha1.ConditionFilesWritten)).To(HavePrefix("True"))
		})

		It("does not touch what somebody else paused at the provider", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx"))
			Expect(providers["named"].SetState(sandbox.Status.SandboxID, backends.StatePaused, "")).To(BeTrue())
			eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/RemotePaused")
			Expect(providers["named"].SetState(sandbox.Status.SandboxID, backends.StateRunning, "")).To(BeTrue())
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		})

		It("that comes through late, after the sandbox was resumed, is taken back", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx"))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DesiredState = v1alpha1.DesiredPaused })
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Paused")
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DesiredState = v1alpha1.DesiredRunning })
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			before := providers["named"].Calls(memory.OperationResume)
			Expect(providers["named"].SetState(sandbox.Status.SandboxID, backends.StatePaused, "")).To(BeTrue())
			Eventually(func() int { return providers["named"].Calls(memory.OperationResume) }).Should(Equal(before + 1))
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(remoteOf("named", sandbox).State).To(Equal(backends.StateRunning))
		})

		It("is refused before anything is made where the backend can't", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "p", "plain").Obj())
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Paused().Obj()
			create(ctx, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/Unsupported")
			Expect(remotesOf("plain", ns)).To(BeEmpty())
		})
	})

	Describe("loss", func() {
		recreate := v1alpha1.SandboxLifetime{OnLoss: v1alpha1.OnLossRecreate}

		It("makes another remote with its files, and ends the runs of the lost one", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", lifetime(recreate).File("/data/a", "text"))
			exec := builders.MakeExec(ns, "e", "sbx").Command("sleep", "60").Obj()
			create(ctx, exec)
			eventually(ctx, exec, v1alpha1.ConditionStarted, "True")
			first := sandbox.Status.SandboxID
			Expect(providers["named"].Kill(first)).To(BeTrue())
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSandboxLost))
			Eventually(func() int64 { return refresh(ctx, sandbox).Status.Incarnation }).Should(BeEquivalentTo(2))
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(sandbox.Status.SandboxID).NotTo(Equal(first))
			Expect(sandbox.Status.FinishedAt).To(BeNil())
			check := builders.MakeExec(ns, "check", "sbx").Command("true").Obj()
			create(ctx, check)
			Expect(finishes(ctx, check)).To(Equal(v1alpha1.OutcomeSucceeded))
			Expect(remotesOf("named", ns)).To(HaveLen(1))
		})

		It("makes another in the place of one that stopped, which is destroyed first", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", lifetime(recreate))
			Expect(providers["named"].Stop(sandbox.Status.SandboxID)).To(BeTrue())
			Eventually(func() int64 { return refresh(ctx, sandbox).Status.Incarnation }).Should(BeEquivalentTo(2))
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(remotesOf("named", ns)).To(HaveLen(1))
		})

		It("is not believed on one look", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", lifetime(recreate))
			id := sandbox.Status.SandboxID
			var gets atomic.Int32
			defer providers["named"].Inject(memory.Fault{
				Operation: memory.OperationGet, Times: 1, Err: memory.Error(backends.NotFound, 0),
				If: func(c memory.Call) bool {
					return c.ID == id && gets.Add(1) > 0
				},
			})()
			show := providers["named"].Hide(id)
			Eventually(gets.Load).Should(BeNumerically(">=", 1))
			show()
			Consistently(func() int64 { return refresh(ctx, sandbox).Status.Incarnation }, 4*period).Should(BeEquivalentTo(1))
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("True/Ready"))
		})

		It("leaves exactly one remote when the answer to making another got lost", func(ctx SpecContext) {
			sandbox := ready(ctx, "listed", lifetime(recreate))
			defer providers["listed"].Inject(memory.Fault{
				Operation: memory.OperationCreate, Times: 1, After: true, Err: memory.Error(backends.Ambiguous, 0),
			})()
			Expect(providers["listed"].Kill(sandbox.Status.SandboxID)).To(BeTrue())
			Eventually(func() int64 { return refresh(ctx, sandbox).Status.Incarnation }).Should(BeEquivalentTo(2))
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(remotesOf("listed", ns)).To(HaveLen(1))
		})

		It("is made again where it was, though the default has changed", func(ctx SpecContext) {
			first := builders.MakeProvider(ns, "first", "named").Default().Obj()
			sandbox := lifetime(recreate).Obj()
			create(ctx, first, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			annotate(ctx, first, v1alpha1.DefaultProviderAnnotation, "false")
			create(ctx, builders.MakeProvider(ns, "second", "listed").Default().Obj())
			Expect(providers["named"].Kill(sandbox.Status.SandboxID)).To(BeTrue())
			Eventually(func() int64 { return refresh(ctx, sandbox).Status.Incarnation }).Should(BeEquivalentTo(2))
			Expect(sandbox.Status.Provider.Name).To(Equal("first"))
		})

		It("ends it for good where nothing else is said, and is told with an object that can be deleted by its ttl", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", lifetime(v1alpha1.SandboxLifetime{TTLSecondsAfterFinished: new(int32(1))}))
			Expect(providers["named"].Kill(sandbox.Status.SandboxID)).To(BeTrue())
			gone(ctx, sandbox)
		})
	})

	Describe("leases", func() {
		It("are renewed all the time, so that the remote outlives them", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "p", "mortal").Lease(3).Obj())
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
			create(ctx, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Consistently(func() *backends.Remote { return remoteOf("mortal", sandbox) }, 6*time.Second).ShouldNot(BeNil())
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("True/Ready"))
			Expect(sandbox.Status.ExpiresAt).To(BeNil())
		})

		It("end what the operator does not look after any more", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "p", "mortal").Lease(3).Obj())
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
			create(ctx, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			stopManager()
			Eventually(func() *backends.Remote { return remoteOf("mortal", sandbox) }).Should(BeNil())
			stopManager = startManager()
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "False/RemoteGone")
		})

		It("are a day, or the provider's most, where nothing is said", func(ctx SpecContext) {
			sandbox := ready(ctx, "mortal", builders.MakeSandbox(ns, "sbx"))
			request, _ := providers["mortal"].Request(sandbox.Status.SandboxID)
			Expect(request.Lifetime).To(Equal(time.Hour))
		})

		It("are refused out of the provider's bounds", func(ctx SpecContext) {
			provider := builders.MakeProvider(ns, "p", "mortal").Lease(1).Obj()
			create(ctx, provider)
			eventually(ctx, provider, v1alpha1.ConditionStalled,
				`True/LifetimeOutOfBounds: spec.leaseSeconds is 1; backend "mortal" takes 2 to 3600`)
		})

		It("are lifted from what is retained", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "p", "named").Lease(60).Obj())
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Retain().Obj()
			create(ctx, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(remoteOf("named", sandbox).ExpiresAt).NotTo(BeZero())
			Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
			gone(ctx, sandbox)
			Expect(remoteOf("named", sandbox).ExpiresAt).To(BeZero())
			Expect(providers["named"].Kill(sandbox.Status.SandboxID)).To(BeTrue())
		})
	})

	DescribeTable("what is retained late is no orphan, though its mark is from its creation",
		func(ctx SpecContext, backend string) {
			sandbox := ready(ctx, backend, builders.MakeSandbox(ns, "sbx"))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.DeletionPolicy = v1alpha1.DeletionPolicyRetain })
			Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
			gone(ctx, sandbox)
			Consistently(func() *backends.Remote { return remoteOf(backend, sandbox) }, orphanGrace+4*period).ShouldNot(BeNil())
			Expect(providers[backend].Kill(sandbox.Status.SandboxID)).To(BeTrue())
		},
		Entry("where labels can be changed", "named"), Entry("where they can't", "plain"),
	)

	Describe("adoption", func() {
		nobodys := func(r *backends.Remote) { r.Mark = backends.Mark{} }
		adopting := func(ctx SpecContext, name, id string) *v1alpha1.Sandbox {
			sandbox := builders.MakeSandbox(ns, name).NamespacedProvider("p").Adopt(id).Obj()
			create(ctx, sandbox)
			return sandbox
		}

		It("takes a remote that exists, runs commands in it, and destroys it with the object", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "p", "named").AllowAdoption().Obj())
			id := add("named", ns, "", nobodys)
			creates := providers["named"].Calls(memory.OperationCreate)
			sandbox := adopting(ctx, "sbx", id)
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
			Expect(sandbox.Status.SandboxID).To(Equal(id))
			exec := builders.MakeExec(ns, "e", "sbx").Command("true").Obj()
			create(ctx, exec)
			Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))
			Consistently(func() string { return condition(ctx, sandbox, v1alpha1.ConditionReady) }, 3*period).
				Should(HavePrefix("True/Ready"))
			Expect(providers["named"].Calls(memory.OperationCreate)).To(Equal(creates))
			Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
			gone(ctx, sandbox)
			Expect(exists("named", id)).To(BeFalse())
		})

		It("is refused unless the provider allows it", func(ctx SpecContext) {
			provider := builders.MakeProvider(ns, "p", "named").Obj()
			create(ctx, provider)
			id := add("named", ns, "", nobodys)
			sandbox := adopting(ctx, "sbx", id)
			eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/AdoptionForbidden")
			change(ctx, provider, func(p *v1alpha1.SandboxProvider) { p.Spec.Adoption = v1alpha1.AdoptionAllowed })
			eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		})

		It("is refused for what does not exist, what an operator made, and what another Sandbox has", func(ctx SpecContext) {
			create(ctx, builders.MakeProvider(ns, "p", "named").AllowAdoption().Obj())
			eventually(ctx, adopting(ctx, "wrong", "nonsense"), v1alpha1.ConditionStalled,
				`True/AdoptionFailed: The provider knows no sandbox "nonsense"`)
			others := add("named", ns, "theirs", func(r *backends.Remote) { r.Mark.Installation = "another" })
			eventually(ctx, adopting(ctx, "marked", others), v1alpha1.ConditionStalled,
				`True/AdoptionFailed: The sandbox "`+others+`" was made by an operator`)
			id := add("named", ns, "", nobodys)
			first := adopting(ctx, "first", id)
			eventually(ctx, first, v1alpha1.ConditionReady, "True/Ready")
			second := adopting(ctx, "second", id)
			eventually(ctx, second, v1alpha1.ConditionStalled, "True/AdoptionFailed: Sandbox "+ns+"/first has the remote")
			Expect(k8s.Delete(ctx, second)).To(Succeed())
			gone(ctx, second)
			Expect(exists("named", id)).To(BeTrue(), "deleting the one that was refused destroyed the remote of the other")
		})

		It("gives a remote that two ask for at once to one of them", func(ctx SpecContext) {
			id := add("named", ns, "", nobodys)
			sandboxes := []*v1alpha1.Sandbox{adopting(ctx, "a", id), adopting(ctx, "b", id)}
			create(ctx, builders.MakeProvider(ns, "p", "named").AllowAdoption().Obj())
			Eventually(func(g Gomega) {
				var reasons []string
				for _, sandbox := range sandboxes {
					reasons = append(reasons, condition(ctx, sandbox, v1alpha1.ConditionReady))
				}
				g.Expect(reasons).To(ConsistOf(HavePrefix("True/Ready"), HavePrefix("False/AdoptionFailed")))
			}).Should(Succeed())
		})
	})

	Describe("ports", func() {
		It("have a URL each, which follows the spec", func(ctx SpecContext) {
			sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx").Port("web", 8080, "").Port("db", 5432, v1alpha1.PortTCP))
			Expect(sandbox.Status.Endpoints).To(ConsistOf(
				v1alpha1.SandboxEndpoint{Name: "web", URL: "http://127.0.0.1:8080"},
				v1alpha1.SandboxEndpoint{Name: "db", URL: "tcp://127.0.0.1:5432"},
			))
			change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.Ports = s.Spec.Ports[1:] })
			Eventually(func() []v1alpha1.SandboxEndpoint { return refresh(ctx, sandbox).Status.Endpoints }).
				Should(ConsistOf(HaveField("Name", "db")))
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("True/Ready"))
		})

		It("whose URL needs a token have it in a Secret of the Sandbox's, and nowhere else", func(ctx SpecContext) {
			p := providers["named"]
			p.Change(func(o *memory.Options) { o.EndpointToken = "hush-hush" })
			defer p.Change(func(o *memory.Options) { o.EndpointToken = "" })
			sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx").Port("web", 8080, ""))
			Expect(sandbox.Status.Endpoints).To(ConsistOf(
				HaveField("SecretRef", HaveValue(Equal(v1alpha1.LocalReference{Name: "sbx-endpoints"})))))
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sbx-endpoints"}}
			Expect(refresh(ctx, secret).Data).To(Equal(map[string][]byte{"web." + memory.EndpointHeader: []byte("hush-hush")}))
			Expect(metav1.IsControlledBy(secret, sandbox)).To(BeTrue())
			Expect(fmt.Sprint(sandbox)).NotTo(ContainSubstring("hush-hush"))
		})

		It("whose URL is signed have it in the Secret, and another in time", func(ctx SpecContext) {
			p := providers["named"]
			p.Change(func(o *memory.Options) { o.EndpointSigned = backends.SignedURLRenewal + 2*time.Second })
			defer p.Change(func(o *memory.Options) { o.EndpointSigned = 0 })
			sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx").Port("web", 8080, ""))
			Expect(sandbox.Status.Endpoints).To(ConsistOf(HaveField("URL", "http://127.0.0.1:8080")))
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sbx-endpoints"}}
			first, end := string(refresh(ctx, secret).Data["web.url"]), sandbox.Status.Endpoints[0].ExpiresAt
			Expect(first).To(HavePrefix("http://127.0.0.1:8080/?signature="))
			Expect(end.Time).To(BeTemporally("~", time.Now().Add(backends.SignedURLRenewal), 10*time.Second))
			p.Change(func(o *memory.Options) { o.EndpointSigned = time.Hour })
			Eventually(func() string { return string(refresh(ctx, secret).Data["web.url"]) }).ShouldNot(Equal(first))
			Eventually(func() bool { return end.Before(refresh(ctx, sandbox).Status.Endpoints[0].ExpiresAt) }).Should(BeTrue())
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(HavePrefix("True/Ready"))
			Expect(fmt.Sprint(sandbox)).NotTo(ContainSubstring("signature="))
		})

		It("never overwrite a Secret that is somebody else's", func(ctx SpecContext) {
			p := providers["named"]
			p.Change(func(o *memory.Options) { o.EndpointToken = "hush-hush" })
			defer p.Change(func(o *memory.Options) { o.EndpointToken = "" })
			secret := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "sbx-endpoints"}, StringData: map[string]string{"mine": "x"},
			}
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Port("web", 8080, "").Obj()
			create(ctx, secret, builders.MakeProvider(ns, "p", "named").Obj(), sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/EndpointFailed")
			Expect(refresh(ctx, secret).Data).To(Equal(map[string][]byte{"mine": []byte("x")}))
		})
	})

	It("reaches the provider with everything that the spec says", func(ctx SpecContext) {
		sandbox := ready(ctx, "named", builders.MakeSandbox(ns, "sbx").CPU("500m").RemoteLabel("team", "a").
			Network(v1alpha1.SandboxNetwork{
				Policy: v1alpha1.NetworkRestricted, Hosts: []string{"*.example.com"}, CIDRs: []string{"10.0.0.0/8"},
			}).
			With(func(spec *v1alpha1.SandboxSpec) {
				spec.User = "app"
				spec.Source = &v1alpha1.SandboxSource{Snapshot: "snap"}
				spec.Resources.GPU = &v1alpha1.SandboxGPU{Count: 2, Model: "H100"}
			}))
		request, _ := providers["named"].Request(sandbox.Status.SandboxID)
		Expect(request).To(And(HaveField("User", "app"), HaveField("Source", backends.Source{Snapshot: "snap"}),
			HaveField("Network", backends.Network{
				Policy: backends.NetworkRestricted, Hosts: []string{"*.example.com"}, CIDRs: []string{"10.0.0.0/8"},
			}),
			HaveField("Resources", backends.Resources{MilliCPU: 500, GPUs: 2, GPUModel: "H100"}),
			HaveField("Labels", map[string]string{"team": "a"}), HaveField("Lifetime", 24*time.Hour)))
		Expect(sandbox.Status.Image).To(Equal("snap"))
		change(ctx, sandbox, func(s *v1alpha1.Sandbox) { s.Spec.RemoteLabels = map[string]string{"team": "b"} })
		Eventually(func() map[string]string { return remoteOf("named", sandbox).Labels }).Should(Equal(map[string]string{"team": "b"}))
	})

	It("takes source and resources from the provider where it says nothing", func(ctx SpecContext) {
		create(ctx, builders.MakeProvider(ns, "p", "named").Defaults(v1alpha1.SandboxDefaults{
			Source:    &v1alpha1.SandboxSource{Image: "busybox"},
			Resources: &v1alpha1.SandboxResources{GPU: &v1alpha1.SandboxGPU{Count: 1}},
		}).Obj())
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		request, _ := providers["named"].Request(sandbox.Status.SandboxID)
		Expect(request.Source.Image).To(Equal("busybox"))
		Expect(request.Resources.GPUs).To(BeEquivalentTo(1))
	})

	DescribeTable("is told what its backend can't do, before anything is made",
		func(ctx SpecContext, field string, change func(*v1alpha1.SandboxSpec)) {
			create(ctx, builders.MakeProvider(ns, "p", "plain").Obj())
			sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("p").With(change).Obj()
			create(ctx, sandbox)
			eventually(ctx, sandbox, v1alpha1.ConditionStalled, "True/Unsupported")
			Expect(condition(ctx, sandbox, v1alpha1.ConditionReady)).To(ContainSubstring("spec." + field))
			Expect(remotesOf("plain", ns)).To(BeEmpty())
		},
		Entry("network", "network", func(s *v1alpha1.SandboxSpec) { s.Network = &v1alpha1.SandboxNetwork{Policy: v1alpha1.NetworkDeny} }),
		Entry("user", "user", func(s *v1alpha1.SandboxSpec) { s.User = "app" }),
		Entry("snapshot", "source.snapshot", func(s *v1alpha1.SandboxSpec) { s.Source = &v1alpha1.SandboxSource{Snapshot: "s"} }),
		Entry("ports", "ports", func(s *v1alpha1.SandboxSpec) { s.Ports = []v1alpha1.SandboxPort{{Name: "a", Port: 1}} }),
		Entry("gpu", "resources.gpu", func(s *v1alpha1.SandboxSpec) {
			s.Resources = &v1alpha1.SandboxResources{GPU: &v1alpha1.SandboxGPU{Count: 1}}
		}),
	)

	DescribeTable("is refused at once where the spec makes no sense",
		func(ctx SpecContext, message string, change func(*v1alpha1.SandboxSpec)) {
			err := k8s.Create(ctx, builders.MakeSandbox(ns, "sbx").With(change).Obj())
			Expect(err).To(MatchError(ContainSubstring(message)))
		},
		Entry("hosts without Restricted", "set hosts or cidrs together with policy: Restricted", func(s *v1alpha1.SandboxSpec) {
			s.Network = &v1alpha1.SandboxNetwork{Policy: v1alpha1.NetworkDeny, Hosts: []string{"a"}}
		}),
		Entry("no CIDR", "must be an address range", func(s *v1alpha1.SandboxSpec) {
			s.Network = &v1alpha1.SandboxNetwork{Policy: v1alpha1.NetworkRestricted, CIDRs: []string{"a"}}
		}),
		Entry("the operator's labels", "the operator's own", func(s *v1alpha1.SandboxSpec) {
			s.RemoteLabels = map[string]string{"sandboxes.run/uid": "x"}
		}),
		Entry("onIdle alone", "set that, too", func(s *v1alpha1.SandboxSpec) {
			s.Lifetime = &v1alpha1.SandboxLifetime{OnIdle: v1alpha1.OnIdlePause}
		}),
		Entry("adoption of what is to be made", "adopts what exists as it is", func(s *v1alpha1.SandboxSpec) {
			s.SandboxID, s.Source = "x", &v1alpha1.SandboxSource{Image: "busybox"}
		}),
		Entry("two sources", "exactly one of image, template and snapshot", func(s *v1alpha1.SandboxSpec) {
			s.Source = &v1alpha1.SandboxSource{Image: "busybox", Snapshot: "s"}
		}),
	)
})
