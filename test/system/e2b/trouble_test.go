// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2b_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("Trouble with E2B", func() {
	var (
		room *testbed.Room
		// own is a cloud that a spec may spoil.
		own *fake.Cloud
	)

	newCloud := func(options fake.Options) *fake.Cloud {
		made, err := fake.Start(options)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(made.Close()).To(Succeed()) })
		return made
	}

	BeforeEach(func(ctx context.Context) {
		own = newCloud(fake.Options{})
		room = bed.NewRoom(ctx)
	})

	// eventually waits until a provider is not Ready for this reason, and returns the sentence.
	eventually := func(ctx context.Context, p *v1alpha1.SandboxProvider, reason string) string {
		GinkgoHelper()
		room.Create(ctx, p)
		var message string
		room.Eventually(ctx, p, reason, func() bool {
			c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
			if c == nil {
				return false
			}
			message = c.Message
			return c.Reason == reason
		})
		return message
	}

	It("without a key says how to make the Secret", func(ctx context.Context) {
		p := provider(ctx, room, "e2b", own, fake.Key).Obj()
		room.Secret(ctx, "empty", map[string]string{"other": "x"})
		p.Spec.Credentials.SecretRef.Name = "empty"
		Expect(eventually(ctx, p, v1alpha1.ReasonCredentialsMissing)).To(And(
			ContainSubstring("apiKey"), ContainSubstring("kubectl patch secret empty"), ContainSubstring("https://e2b.dev/dashboard")))
	})

	It("with a malformed key says what one looks like", func(ctx context.Context) {
		message := eventually(ctx, provider(ctx, room, "e2b", own, "hunter2-is-no-key").Obj(), v1alpha1.ReasonInvalidParameters)
		Expect(message).To(And(ContainSubstring("must begin with e2b_"), Not(ContainSubstring("hunter2"))))
	})

	It("with a revoked key says so, and works when the Secret has another", func(ctx context.Context) {
		own.Revoke(fake.Key)
		p := provider(ctx, room, "e2b", own, fake.Key).Obj()
		Expect(eventually(ctx, p, v1alpha1.ReasonUnauthorized)).To(And(
			ContainSubstring("refuses the API key"), Not(ContainSubstring(fake.Key))))
		own.Admit(fake.Key)
		room.Eventually(ctx, p, "Ready", func() bool { return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady) })
	})

	It("with a blocked team tells E2B's reason", func(ctx context.Context) {
		own.Block("Team is blocked: unpaid invoice")
		Expect(eventually(ctx, provider(ctx, room, "e2b", own, fake.Key).Obj(), v1alpha1.ReasonUnauthorized)).
			To(ContainSubstring("unpaid invoice"))
		own.Block("")
	})

	It("with a certificate that nobody trusts says what to do", func(ctx context.Context) {
		server := httptest.NewTLSServer(http.NotFoundHandler())
		certificates := server.TLS.Certificates
		server.Close()
		private := newCloud(fake.Options{TLS: &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12}})
		Expect(eventually(ctx, provider(ctx, room, "e2b", private, fake.Key).Obj(), v1alpha1.ReasonUnavailable)).
			To(ContainSubstring("spec.caBundle"))
	})

	Describe("a sandbox", func() {
		BeforeEach(func(ctx context.Context) {
			room.Create(ctx, provider(ctx, room, "e2b", own, fake.Key).Default().Obj())
		})

		refused := func(ctx context.Context, builder *builders.SandboxBuilder, reason string) string {
			GinkgoHelper()
			box := builder.Obj()
			room.Create(ctx, box)
			message := room.EventuallyNotReady(ctx, box, reason).Message
			room.Delete(ctx, box)
			room.EventuallyGone(ctx, box)
			Expect(own.Sandboxes()).To(BeEmpty())
			return message
		}

		It("of an unknown template is stalled", func(ctx context.Context) {
			Expect(refused(ctx, builders.MakeSandbox(room.Namespace, "box").Template("no-such"), v1alpha1.ReasonInvalid)).
				To(ContainSubstring("no such template for this team"))
		})

		It("that asks for other CPUs than its template's is told which these are", func(ctx context.Context) {
			Expect(refused(ctx, builders.MakeSandbox(room.Namespace, "box").CPU("8"), v1alpha1.ReasonInvalid)).
				To(ContainSubstring("cpu: 2, memory: 512Mi"))
		})

		It("of an image is told how to make a template", func(ctx context.Context) {
			Expect(refused(ctx, builders.MakeSandbox(room.Namespace, "box").Image("python:3"), v1alpha1.ReasonUnsupported)).NotTo(BeEmpty())
		})

		It("beyond the quota waits for room", func(ctx context.Context) {
			own.SetQuota(0)
			box := builders.MakeSandbox(room.Namespace, "box").Obj()
			room.Create(ctx, box)
			Expect(room.EventuallyNotReady(ctx, box, v1alpha1.ReasonQuotaExceeded).Message).
				To(ContainSubstring("maximum number of concurrent E2B sandboxes"))
			own.SetQuota(10)
			room.EventuallyReady(ctx, box)
		})

		It("that ends in the middle of a command loses it, and says so", func(ctx context.Context) {
			box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box"))
			run := room.Exec("run", "box").Shell("sleep 300").Obj()
			room.Create(ctx, run)
			room.EventuallySeenRunning(ctx, run)
			Expect(own.Kill(box.Status.SandboxID)).To(BeTrue())
			room.EventuallyFinished(ctx, run)
			Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSandboxLost))
			room.EventuallyNotReady(ctx, box, v1alpha1.ReasonRemoteGone)
		})

		It("whose host does not answer while the API does is waited for", func(ctx context.Context) {
			room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box"))
			undo := own.Fail(fake.Fault{Plane: fake.PlaneSandbox, Status: http.StatusBadGateway,
				Body: `{"sandboxId":"x","message":"The sandbox was not found","code":502}`})
			run := room.Exec("run", "box").Shell("echo ran").Obj()
			room.Create(ctx, run)
			room.Eventually(ctx, run, "a word about it", func() bool {
				for _, c := range run.Status.Conditions {
					if c.Message != "" && c.Reason != v1alpha1.ReasonStarting {
						return true
					}
				}
				return false
			})
			undo()
			room.EventuallyFinished(ctx, run)
			Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded))
			Expect(run.Status.Stdout.Head).To(Equal("ran\n"))
		})
	})
})
