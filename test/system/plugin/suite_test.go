// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package plugin_test runs kubectl-sandbox as its users do: the program in a process of its own, against a real control plane and a
// real manager with real sandboxes.
//
// program_test.go is that process. run_test.go has what run and exec do, interrupt_test.go how they are ended, objects_test.go the
// commands on sandboxes, and failures_test.go what a user reads when something is wrong. How long it takes is in budgets.
package plugin_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed *testbed.Bed
	// program is the built plugin.
	program string
)

func TestThePlugin(t *testing.T) { testbed.RunSuite(t, "kubectl sandbox") }

var _ = BeforeSuite(func(ctx context.Context) {
	program = GinkgoT().TempDir() + "/kubectl-sandbox"
	Expect(binaries.Build(ctx, program, "./cmd/kubectl-sandbox")).To(Succeed())
	var err error
	bed, err = testbed.Start(ctx, testbed.Options{})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
	Expect(bed.StartManager()).To(Succeed())
})

// Whatever the plugin made is gone by now: it, or the end of a namespace, told the manager.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	bed.EventuallyRemotes(ctx, "", 0)
})
