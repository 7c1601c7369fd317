// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package crash_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A manager that starts", func() {
	DescribeTable("ends as well as any other when it is asked to",
		func(ctx context.Context, reads apiproxy.Matcher) {
			Expect(bed.StopManager()).To(Succeed())
			DeferCleanup(func() { Expect(bed.StartManager()).To(Succeed()) })
			hold := bed.Proxy.HoldRequest(reads)
			DeferCleanup(hold.Remove)
			starting, err := bed.StartAnother()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(starting.Kill)
			Eventually(ctx, hold.Reached(), testbed.Patience).Should(BeClosed(), bed.LogTail)
			Expect(starting.Stop()).To(Succeed(), bed.LogTail)
		},
		Entry("while it looks which cluster it is in", func(r apiproxy.Request) bool { return r.Resource == "namespaces" }),
		Entry("before it has read anything", func(apiproxy.Request) bool { return true }),
		Entry("while it reads the Sandboxes", func(r apiproxy.Request) bool { return r.Resource == "sandboxes" }),
	)
})
