// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// fastest is the shortest of some tries: what the machine does beside is no matter of the plugin's.
func fastest(tries int, try func() ran) time.Duration {
	GinkgoHelper()
	best := time.Hour
	for range tries {
		done := try()
		Expect(done.code).To(BeZero(), done.err)
		best = min(best, done.took)
	}
	AddReportEntry("fastest", best.String())
	return best
}

var _ = Describe("How long it takes", func() {
	It("is less than a second for a run with a sandbox of its own", func(ctx context.Context) {
		here := newPlace(ctx)
		Expect(fastest(5, func() ran { return here.sandbox(ctx, "run", "--provider", "local", "--", "echo", "hi") })).
			To(BeNumerically("<", time.Second))
	})

	It("is less than half a second until the first output, where the sandbox is Ready", func(ctx context.Context) {
		here := newPlace(ctx)
		here.succeeds(ctx, "create", "box", "--provider", "local", "--wait")
		Expect(fastest(5, func() ran { return here.sandbox(ctx, "exec", "box", "--", "echo", "hi") })).
			To(BeNumerically("<", 500*time.Millisecond))
	})

	It("is nothing that a person sees until help is there", func(ctx context.Context) {
		here := newPlace(ctx)
		Expect(fastest(10, func() ran { return here.sandbox(ctx, "--help") })).To(BeNumerically("<", 150*time.Millisecond))
		Expect(fastest(10, func() ran { return here.sandbox(ctx, "version") })).To(BeNumerically("<", 150*time.Millisecond))
	})
})
