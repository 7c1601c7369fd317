// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package byhand_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// What it finds is the whole cluster's: nothing else runs meanwhile.
var _ = Describe("The doctor", Serial, func() {
	var me person
	BeforeEach(func(ctx context.Context) { me = admin.in(bed.NewRoom(ctx).Namespace) })

	It("finds nothing where all is well, and has run a command", func(ctx context.Context) {
		// The manager may have been started a moment ago.
		Eventually(func() string { return me.types(ctx, "doctor").out }).WithContext(ctx).WithTimeout(testbed.Patience).
			Should(SatisfyAll(Not(ContainSubstring("fail")), MatchRegexp(`(?m)^ok +manager `)))
		a := me.types(ctx, "doctor", "--try")
		Expect(a.code).To(BeZero(), a.out)
		Expect(a.out).NotTo(ContainSubstring("fail"))
		for _, check := range []string{"cluster", "CRDs", "rights", "manager", "default", "provider", "quota", "try"} {
			Expect(a.out).To(MatchRegexp(`(?m)^ok +%s `, check))
		}
		bed.EventuallyRemotes(ctx, me.namespace, 0)
	})

	It("sees two defaults", func(ctx context.Context) {
		second := builders.MakeClusterProvider("second", "local").Default().Obj()
		bed.Create(ctx, second)
		DeferCleanup(func(ctx context.Context) {
			bed.Delete(ctx, second)
			bed.EventuallyGone(ctx, second)
		})
		a := me.types(ctx, "doctor")
		Expect(a.code).To(Equal(1))
		Expect(a.out).To(MatchRegexp(
			`(?m)^fail +default +there are 2 defaults, .*\n` +
				` +-> leave one: kubectl annotate csbxp second sandboxes.run/is-default-provider-$`))
	})

	It("sees which rights are missing, and says what it could not see", func(ctx context.Context) {
		config, err := bed.Plane.User("eve-" + me.namespace)
		Expect(err).NotTo(HaveOccurred())
		a := newPerson(config).in(me.namespace).types(ctx, "doctor", "-o", "json")
		Expect(a.code).To(Equal(1))
		var findings []map[string]string
		Expect(json.Unmarshal([]byte(a.out), &findings)).To(Succeed())
		Expect(findings).To(ContainElement(SatisfyAll(HaveKeyWithValue("check", "rights"), HaveKeyWithValue("level", "fail"),
			HaveKeyWithValue("message", ContainSubstring("you may not create, get, watch sandboxexecs")))))
		Expect(findings).To(ContainElement(SatisfyAll(HaveKeyWithValue("check", "manager"), HaveKeyWithValue("level", "warn"))))
	})

	It("sees that no operator works", func(ctx context.Context) {
		Expect(bed.StopManager()).To(Succeed())
		DeferCleanup(func() { Expect(bed.StartManager()).To(Succeed()) })
		Eventually(func() string { return me.types(ctx, "doctor").out }).WithContext(ctx).WithTimeout(2 * testbed.Patience).
			Should(MatchRegexp(`(?m)^fail +manager .*no operator works`))
	})

	It("sees that the operator is not installed, and that no cluster is there", func(ctx context.Context) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/version" {
				_, _ = w.Write([]byte(`{"major":"1","minor":"36","gitVersion":"v1.36.0"}`))
				return
			}
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
				Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound, Message: "the server could not find the requested resource",
			})
		}))
		other := newPerson(&rest.Config{Host: server.URL})
		a := other.types(ctx, "doctor")
		Expect(a.code).To(Equal(1))
		Expect(a.out).To(MatchRegexp(`(?m)^fail +CRDs +not installed: .*\n +-> install the operator`))
		Expect(other.isTold(ctx, 125, "ls", "box")).To(ContainSubstring("sandbox-operator is not installed in this cluster"))
		server.Close()
		Expect(other.types(ctx, "doctor").out).To(MatchRegexp(`^fail +cluster .* can't be reached`))
	})
})
