// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// families are the operator's metrics by name.
func families() map[string]*dto.MetricFamily {
	GinkgoHelper()
	all, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	ours := map[string]*dto.MetricFamily{}
	for _, family := range all {
		if strings.HasPrefix(family.GetName(), "sandbox_operator_") {
			ours[family.GetName()] = family
		}
	}
	return ours
}

// metric is the one of a family whose labels have these values, in the order of their names; nil = there is none.
func metric(family string, values ...string) *dto.Metric {
	GinkgoHelper()
	for _, m := range families()[family].GetMetric() {
		var has []string
		for _, label := range m.GetLabel() {
			has = append(has, label.GetValue())
		}
		if strings.Join(has, " ") == strings.Join(values, " ") {
			return m
		}
	}
	return nil
}

// Serial, as other specs' objects would be counted too.
var _ = Describe("The metrics", Serial, func() {
	It("say what a Sandbox cost and what a run came to, and leave the provider's time out of the operator's", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		create(ctx, builders.MakeProvider(ns, "p", "plain").Obj())
		const slowCreate = 3 * time.Second
		providers["plain"].Inject(memory.Fault{Operation: memory.OperationCreate, Delay: slowCreate, Times: 1})
		patches, statuses := metric("sandbox_operator_api_writes_total", "Sandbox", "patch").GetCounter().GetValue(),
			metric("sandbox_operator_api_writes_total", "Sandbox", "patch_status").GetCounter().GetValue()
		ready := metric("sandbox_operator_sandboxes_ready_total").GetCounter().GetValue()
		succeeded := metric("sandbox_operator_execs_finished_total", "Succeeded").GetCounter().GetValue()
		overhead := metric("sandbox_operator_overhead_seconds", "create", "Sandbox").GetHistogram()
		before, count := overhead.GetSampleSum(), overhead.GetSampleCount()

		sandbox := builders.MakeSandbox(ns, "box").NamespacedProvider("p").Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
		exec := builders.MakeExec(ns, "run", "box").Command("true").Obj()
		create(ctx, exec)
		Expect(finishes(ctx, exec)).To(Equal(v1alpha1.OutcomeSucceeded))

		Eventually(func() float64 {
			return metric("sandbox_operator_execs_finished_total", "Succeeded").GetCounter().GetValue()
		}).
			Should(Equal(succeeded + 1))
		Expect(metric("sandbox_operator_sandboxes_ready_total").GetCounter().GetValue()).To(Equal(ready + 1))
		Expect(metric("sandbox_operator_api_writes_total", "Sandbox", "patch").GetCounter().GetValue()).To(Equal(patches + 1))
		Expect(metric("sandbox_operator_api_writes_total", "Sandbox", "patch_status").GetCounter().GetValue()).To(Equal(statuses + 1))
		overhead = metric("sandbox_operator_overhead_seconds", "create", "Sandbox").GetHistogram()
		Expect(overhead.GetSampleCount()).To(Equal(count + 1))
		Expect(overhead.GetSampleSum()-before).To(BeNumerically("<", slowCreate.Seconds()), "the provider's time is counted")
	})

	It("say how many Sandboxes, runs and providers there are, and how long Sandboxes ran", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		create(ctx, builders.MakeProvider(ns, "p", "plain").Obj())
		Eventually(func() float64 {
			return metric("sandbox_operator_provider_ready", "plain", "p", ns).GetGauge().GetValue()
		}).Should(Equal(1.0))
		sandbox := builders.MakeSandbox(ns, "box").NamespacedProvider("p").Obj()
		create(ctx, sandbox, builders.MakeExec(ns, "run", "nowhere").Command("true").Obj())
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")

		sandboxes := func(state string) float64 {
			return metric("sandbox_operator_sandboxes", "p", ns, state).GetGauge().GetValue()
		}
		Eventually(func() float64 { return sandboxes("Running") }).Should(Equal(1.0))
		Expect(metric("sandbox_operator_namespace_sandboxes", ns, "Running").GetGauge().GetValue()).To(Equal(1.0))
		Eventually(func() float64 { return metric("sandbox_operator_execs", "Waiting").GetGauge().GetValue() }).
			Should(BeNumerically(">=", 1))
		Eventually(func() float64 { return metric("sandbox_operator_remotes", "p", ns).GetGauge().GetValue() }).Should(Equal(1.0))
		Eventually(func() float64 {
			return metric("sandbox_operator_sandbox_seconds_total", "plain", ns).GetCounter().GetValue()
		}).
			Should(BeNumerically(">", 0.1))
		Expect(metric("sandbox_operator_provider_breaker_open", "plain", "p", ns)).NotTo(BeNil())
		Expect(metric("sandbox_operator_provider_last_sync_timestamp_seconds", "plain", "p", ns).GetGauge().GetValue()).
			To(BeNumerically("~", time.Now().Unix(), 60))

		Expect(k8s.Delete(ctx, sandbox)).To(Succeed())
		Eventually(func() *dto.Metric { return metric("sandbox_operator_namespace_sandboxes", ns, "Running") }).Should(BeNil())
	})

	It("forget a provider that is gone", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		p := builders.MakeProvider(ns, "p", "plain").Obj()
		create(ctx, p)
		calls := func() *dto.Metric {
			return metric("sandbox_operator_provider_requests_total", "plain", "OK", "list", "p", ns)
		}
		Eventually(calls).ShouldNot(BeNil())
		Expect(k8s.Delete(ctx, p)).To(Succeed())
		Eventually(calls).Should(BeNil())
		Eventually(func() *dto.Metric { return metric("sandbox_operator_provider_ready", "plain", "p", ns) }).Should(BeNil())
	})
})
