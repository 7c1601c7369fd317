// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package e2b_test runs the operator with the backend e2b against a fake E2B: the manager's own program, a real control plane, and
// commands that really run. life_test.go is about what works, trouble_test.go about what does not, and
// crash_test.go about a manager that dies.
package e2b_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed   *testbed.Bed
	cloud *fake.Cloud
)

func TestTheOperatorWithE2B(t *testing.T) { testbed.RunSuite(t, "The operator with E2B") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	cloud, err = fake.Start(fake.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cloud.Close()).To(Succeed()) })
	bed, err = testbed.Start(ctx, testbed.Options{Arguments: []string{"--backends=local,e2b", "--provider-hosts=127.0.0.1"}})
	Expect(err).NotTo(HaveOccurred())
	Expect(bed.StartManager()).To(Succeed())
})

// All namespaces of specs are deleted by now: the manager has to clear what they made at E2B.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	Eventually(cloud.Sandboxes).WithContext(ctx).WithTimeout(testbed.Patience).Should(BeEmpty(), "nothing is left at E2B")
})

// provider leads to a cloud. Its Secret is named by the provider.
func provider(ctx context.Context, room *testbed.Room, name string, of *fake.Cloud, key string) *builders.ProviderBuilder {
	GinkgoHelper()
	room.Secret(ctx, name, map[string]string{"apiKey": key})
	return builders.MakeProvider(room.Namespace, name, "e2b").Credentials(name).Endpoint(of.URL()).
		Parameters(`{"sandboxURL":"` + of.URL() + `"}`)
}
