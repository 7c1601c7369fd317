// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package security_test holds claims of docs/security.md that no other suite holds: the manager's own program against tenants that
// reach for what is not theirs (tenant_test.go) and providers that answer with evil intent (provider_test.go). page_test.go sees
// that each spec exists by which the page says that a claim is held.
package security_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed *testbed.Bed
	// metrics is where the manager serves them.
	metrics string
)

func TestSecurity(t *testing.T) { testbed.RunSuite(t, "Security") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	metrics = freeAddress()
	bed, err = testbed.Start(ctx, testbed.Options{Arguments: []string{
		"--backends=local,daytona", "--metrics-bind-address=" + metrics, "--metrics-secure=false",
	}})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
	Expect(bed.StartManager()).To(Succeed())
})

var _ = AfterSuite(func(ctx context.Context) {
	if bed != nil {
		Expect(bed.Stop(ctx)).To(Succeed())
	}
})
