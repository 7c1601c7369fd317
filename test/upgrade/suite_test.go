// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package upgrade_test holds what an upgrade of the operator must leave as it is: objects that an earlier version stored, their
// journals, and the commands that it had started.
//
// In make test the earlier version is its CRDs alone, in testdata/crds, with this version's manager on them. `make test-upgrade` has
// an earlier manager as well.
package upgrade_test

import (
	"cmp"
	"context"
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed *testbed.Bed
	// oldCRDs and oldManager are those of the earlier version; without a manager of its own it is this version's.
	oldCRDs    = cmp.Or(os.Getenv("UPGRADE_CRDS"), "test/upgrade/testdata/crds")
	oldManager = os.Getenv("UPGRADE_MANAGER")
)

func TestUpgrade(t *testing.T) { testbed.RunSuite(t, "An upgrade") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	bed, err = testbed.Start(ctx, testbed.Options{CRDs: oldCRDs})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, builders.MakeClusterProvider("local", "local").Default().Obj())
	if oldManager == "" {
		Expect(bed.StartManager()).To(Succeed())
		return
	}
	Expect(bed.StartOldManager(oldManager)).To(Succeed())
})

var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	bed.EventuallyRemotes(ctx, "", 0)
})
