// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package budgets_test holds the numbers that the operator keeps: how long things take, how many writes and calls they cost, how
// much memory. `make test` runs it last and alone, as what other tests do to the machine would be measured too.
//
// latency_test.go takes the time, writes_test.go counts what the manager writes, memory_test.go looks at what it holds, and
// burst_test.go runs many commands at once.
package budgets_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var bed *testbed.Bed

func TestTheBudgets(t *testing.T) { testbed.RunSuite(t, "The budgets") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	bed, err = testbed.Start(ctx, testbed.Options{})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
	Expect(bed.StartManager()).To(Succeed())
})

// What an earlier spec left would be counted in this one: its namespace is deleted when it ends, and that takes a while.
var _ = BeforeEach(func(ctx context.Context) {
	Eventually(func(g Gomega) {
		var namespaces corev1.NamespaceList
		g.Expect(bed.Client.List(ctx, &namespaces)).To(Succeed())
		for _, namespace := range namespaces.Items {
			g.Expect(namespace.Name).NotTo(HavePrefix("room-"))
		}
	}).WithContext(ctx).WithTimeout(4 * testbed.Patience).WithPolling(testbed.Patience / 100).Should(Succeed())
})

// All namespaces of specs are deleted by now: the manager has to clear them.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	bed.EventuallyRemotes(ctx, "", 0)
})
