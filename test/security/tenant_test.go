// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package security_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

var _ = Describe("A tenant", func() {
	It("reaches no Secret of another namespace by any reference", func(ctx context.Context) {
		victim, tenant := bed.NewRoom(ctx), bed.NewRoom(ctx)
		victim.Secret(ctx, "treasure", map[string]string{"token": "victims-own-value", "apiKey": "victims-own-value"})
		before := bed.Proxy.Now()
		treasure := builders.SecretKey("treasure", "token")
		for _, box := range []*builders.SandboxBuilder{
			tenant.Sandbox("box"), tenant.Sandbox("with-env").EnvFrom("T", treasure),
			tenant.Sandbox("with-all").EnvFromAll(builders.AllOfSecret("treasure", "T_")),
		} {
			tenant.Ready(ctx, box)
		}

		By("naming it everywhere")
		objects := map[client.Object]string{
			builders.MakeProvider(tenant.Namespace, "provider", "daytona").Credentials("treasure").Obj(): v1alpha1.ReasonCredentialsMissing,
			tenant.Exec("run-with-env", "with-env").Command("env").Obj():                                 v1alpha1.ReasonReferenceNotFound,
			tenant.Exec("run-with-all", "with-all").Command("env").Obj():                                 v1alpha1.ReasonReferenceNotFound,
			tenant.Sandbox("file").FileFrom("/workspace/t", 0o600, treasure).Obj():                       v1alpha1.ReasonReferenceNotFound,
			tenant.Exec("run-env", "box").EnvFrom("T", treasure).Command("true").Obj():                   v1alpha1.ReasonReferenceNotFound,
			tenant.Exec("run-stdin", "box").Stdin(builders.From(treasure)).Command("cat").Obj():          v1alpha1.ReasonReferenceNotFound,
			tenant.Exec("run-input", "box").InputFrom("/t", 0o600, treasure).Command("true").Obj():       v1alpha1.ReasonReferenceNotFound,
			tenant.Exec("run-code", "box").CodeFrom(v1alpha1.LanguageShell, treasure).Obj():              v1alpha1.ReasonReferenceNotFound,
		}
		for object := range objects {
			tenant.Create(ctx, object)
		}
		for object, reason := range objects {
			bed.Eventually(ctx, object, "be refused", func() bool {
				ready := meta.FindStatusCondition(conditionsOf(object), v1alpha1.ConditionReady)
				return ready != nil && ready.Reason == reason
			})
		}

		By("seeing that the victim's was not even asked for")
		asked := 0
		for _, request := range bed.Proxy.Since(before) {
			Expect(request.Path).NotTo(ContainSubstring("/namespaces/" + victim.Namespace + "/secrets"))
			if strings.Contains(request.Path, "/namespaces/"+tenant.Namespace+"/secrets/treasure") {
				asked++
			}
		}
		Expect(asked).To(BeNumerically(">=", len(objects)-1), "it should have been looked for in the tenant's own namespace")
	})

	It("can not name a Secret by a path that leads elsewhere", func(ctx context.Context) {
		victim, tenant := bed.NewRoom(ctx), bed.NewRoom(ctx)
		victim.Secret(ctx, "treasure", map[string]string{"token": "victims-own-value"})
		before := bed.Proxy.Now()
		for i, name := range []string{"../../" + victim.Namespace + "/secrets/treasure", "..", "treasure?", "a%2f..%2ftreasure"} {
			box := tenant.Sandbox(fmt.Sprintf("box-%d", i)).FileFrom("/workspace/t", 0o600, builders.SecretKey(name, "token")).Obj()
			tenant.Create(ctx, box)
			bed.EventuallyNotReady(ctx, box, v1alpha1.ReasonReferenceNotFound)
		}
		for _, request := range bed.Proxy.Since(before) {
			Expect(request.Path).NotTo(ContainSubstring(victim.Namespace + "/secrets"))
		}
	})

	It("can not adopt another's remote, whose ID it knows", func(ctx context.Context) {
		victim, tenant := bed.NewRoom(ctx), bed.NewRoom(ctx)
		theirs := victim.Ready(ctx, victim.Sandbox("box"))
		taker := tenant.Sandbox("taker").Obj()
		taker.Spec.SandboxID = theirs.Status.SandboxID
		tenant.Create(ctx, taker)
		bed.Eventually(ctx, taker, "be refused", func() bool {
			return meta.IsStatusConditionTrue(taker.Status.Conditions, v1alpha1.ConditionStalled)
		})
		Expect(taker.Status.SandboxID).To(BeEmpty())
		bed.Delete(ctx, taker)
		bed.EventuallyGone(ctx, taker)
		bed.EventuallyReady(ctx, theirs)
		bed.EventuallyRemotes(ctx, victim.Namespace, 1)
	})

	It("leaves another's remote alone with a journal that was copied from its object", func(ctx context.Context) {
		victim, tenant := bed.NewRoom(ctx), bed.NewRoom(ctx)
		theirs := victim.Ready(ctx, victim.Sandbox("box"))
		copied := tenant.Sandbox("box").Obj()
		copied.Annotations, copied.Finalizers, copied.Labels = theirs.Annotations, theirs.Finalizers, theirs.Labels
		Expect(copied.Annotations).NotTo(BeEmpty(), "the victim should have a journal")
		tenant.Create(ctx, copied)
		bed.EventuallyReady(ctx, copied)
		Expect(copied.Status.SandboxID).NotTo(Equal(theirs.Status.SandboxID))
		bed.Delete(ctx, copied)
		bed.EventuallyGone(ctx, copied)
		bed.EventuallyRemotes(ctx, victim.Namespace, 1)
		bed.EventuallyReady(ctx, theirs)
	})
})

var _ = Describe("Metrics", func() {
	It("have no value of a Secret, no command and no output", func(ctx context.Context) {
		const value = "plugh-1a2b3c4d-xyzzy"
		room := bed.NewRoom(ctx)
		room.Secret(ctx, "keys", map[string]string{"token": value})
		token := builders.SecretKey("keys", "token")
		room.Ready(ctx, room.Sandbox("box").EnvFrom("TOKEN", token))
		room.Run(ctx, room.Exec("run", "box").EnvFrom("MINE", token).Shell(`echo "$MINE$TOKEN" said-by-command; exit 4`))
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+metrics+"/metrics", http.NoBody)
		Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		defer http.DefaultClient.CloseIdleConnections()
		defer func() { _ = response.Body.Close() }()
		var text bytes.Buffer
		_, err = text.ReadFrom(response.Body)
		Expect(err).NotTo(HaveOccurred())
		Expect(text.String()).To(ContainSubstring("sandbox_operator_"), "there should be the operator's own")
		for _, secret := range []string{value, value[:len(value)-6], "said-by-command", "TOKEN"} {
			Expect(text.String()).NotTo(ContainSubstring(secret))
		}
	})
})

func freeAddress() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
