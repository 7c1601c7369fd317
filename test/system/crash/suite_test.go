// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package crash_test kills the manager, a real process, by SIGKILL at every step of what it does, and starts it again. After
// that each object that lives has exactly one remote, those that are gone have none, and each command ran exactly once.
//
// sandbox_test.go kills it while it makes and destroys remotes, exec_test.go while commands run. table_test.go goes through
// every step of a run in every situation, leaders_test.go has two managers that take each other's place, and start_test.go
// one that is asked to end before it has begun.
package crash_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var bed *testbed.Bed

func TestAManagerThatIsKilled(t *testing.T) { testbed.RunSuite(t, "A manager that is killed") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	bed, err = testbed.Start(ctx, testbed.Options{})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
	Expect(bed.StartManager()).To(Succeed())
})

// All rooms are deleted by now: the manager has to clear them.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	bed.EventuallyRemotes(ctx, "", 0)
})

// killAt kills the manager when the request that is held has come, and starts another. meanwhile is what happens while none
// runs.
func killAt(ctx context.Context, hold *apiproxy.Hold, meanwhile ...func()) {
	GinkgoHelper()
	DeferCleanup(hold.Remove)
	Eventually(ctx, hold.Reached(), testbed.Patience).Should(BeClosed(), bed.LogTail)
	restart(meanwhile...)
}

// restart kills the manager and starts another.
func restart(meanwhile ...func()) {
	GinkgoHelper()
	Expect(bed.KillManager()).To(Succeed())
	for _, do := range meanwhile {
		do()
	}
	Expect(bed.StartManager()).To(Succeed())
}
