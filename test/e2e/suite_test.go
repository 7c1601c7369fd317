// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package e2e_test installs the operator as users do, with its image, roles and two replicas, on a real cluster, and uses it as
// they do, while what happens to clusters happens to this one: `make e2e`. cluster_test.go has the cluster, room_test.go what specs do in a
// namespace of their own; the other files are named for what happens.
package e2e_test

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
)

// ci labels the specs that continuous integration runs: those that take little time and see most.
const ci = "ci"

func TestE2E(t *testing.T) {
	if os.Getenv("E2E") == "" {
		t.Skip("make e2e runs this: it wants root and some of Debian's packages, or a cluster")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(2 * time.Minute)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	EnforceDefaultTimeoutsWhenUsingContexts()
	RunSpecs(t, "The operator in a cluster")
}

var at *cluster

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	at = startCluster(ctx)
	at.install(ctx, at.image)
}, NodeTimeout(10*time.Minute))

// One container, for specs of one run in this order: the last takes the operator away.
var _ = Describe("The operator in a cluster", func() {
	Context("as installed", installed)
	Context("measured", measured)
	Context("replaced", replaced)
	Context("with namespaces as administrators make them", inNamespaces)
	Context("with another cluster", elsewhere)
	Context("when nodes fail", whenNodesFail)
	Context("when it is removed", removed)
})
