// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"os"
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

	It("are all in the docs", func() {
		page, err := os.ReadFile("../../docs/troubleshooting.md")
		Expect(err).NotTo(HaveOccurred())
		for name := range families() {
			Expect(string(page)).To(ContainSubstring("`"+name+"`"), "docs/troubleshooting.md, Metrics")
		}
	})
})
