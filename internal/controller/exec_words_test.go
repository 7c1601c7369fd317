// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// What a person reads of a run.
var _ = Describe("The status of a SandboxExec", func() {
	var ns string
	BeforeEach(func(ctx SpecContext) {
		ns = newNamespace(ctx)
		create(ctx, builders.MakeProvider(ns, "named", "named").Obj())
	})
	ready := func(ctx SpecContext) {
		GinkgoHelper()
		sandbox := builders.MakeSandbox(ns, "sbx").NamespacedProvider("named").Obj()
		create(ctx, sandbox)
		eventually(ctx, sandbox, v1alpha1.ConditionReady, "True/Ready")
	}

	It("names the Sandbox also while the run waits for it", func(ctx SpecContext) {
		exec := builders.MakeExec(ns, "e", "sbx").Command("true").Obj()
		create(ctx, exec)
		eventually(ctx, exec, v1alpha1.ConditionReady, "False/WaitingForSandbox")
		Expect(exec.Status.SandboxName).To(Equal("sbx"))
	})

	It("counts the attempts, and ends none before it started", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Shell("exit 3").Retry(2, "Failed").Obj()
		create(ctx, exec)
		eventually(ctx, exec, v1alpha1.ConditionFailed, "True/Failed: The command ended with exit code 3; it was attempt 3 of 3")
		Expect(exec.Status.CompletionTime.Before(exec.Status.StartTime)).To(BeFalse(), "it ended before it started")
		Expect(exec.Status.Attempts).To(HaveLen(2))
		for _, attempt := range exec.Status.Attempts {
			Expect(attempt.CompletionTime.Before(attempt.StartTime)).To(BeFalse(), "an attempt ended before it started")
		}
	})

	It("doesn't say that a run never started which was cancelled between two attempts", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Shell("exit 3").Retry(2, "Failed").Obj()
		exec.Spec.Retry.BackoffSeconds = new(int32(600))
		create(ctx, exec)
		eventually(ctx, exec, v1alpha1.ConditionReady, "False/WaitingForRetry")
		exec.Spec.DesiredState = v1alpha1.ExecCancelled
		Expect(k8s.Update(ctx, exec)).To(Succeed())
		eventually(ctx, exec, v1alpha1.ConditionFailed,
			"True/Cancelled: The command was cancelled before attempt 2 started; attempt 1 ended Failed")
	})

	It("tells where the whole of a long stream is", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Command("seq", "10000").StdoutTo(builders.ToConfigMap("all", "")).Obj()
		create(ctx, exec)
		eventually(ctx, exec, v1alpha1.ConditionComplete,
			`True/Succeeded: The command ended with exit code 0; all 48894 bytes of stdout are in ConfigMap "all"`)
	})

	It("says that a directory is not stored where its output should go", func(ctx SpecContext) {
		ready(ctx)
		exec := builders.MakeExec(ns, "e", "sbx").Command("true").OutputTo("/", builders.ToConfigMap("", "")).Obj()
		create(ctx, exec)
		eventually(ctx, exec, v1alpha1.ConditionComplete, "True/Succeeded")
		Expect(exec.Status.Outputs).To(HaveLen(1))
		Expect(exec.Status.Outputs[0].State).To(Equal(v1alpha1.OutputListed))
		Expect(exec.Status.Outputs[0].Message).To(HavePrefix("It is a directory: only its listing is kept"))
	})
})
