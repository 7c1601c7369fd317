// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package byhand_test holds what a person does by hand with kubectl-sandbox, beside running commands: the plugin's own program
// against a real control plane, a real manager and real sandboxes.
//
// person_test.go is who types; files_test.go has what is copied and listed, describe_test.go what is told of objects,
// providers_test.go what is told of providers and their orphans, and doctor_test.go what is wrong with an installation.
package byhand_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed *testbed.Bed
	// folder has the plugin's program, and kubeconfigs.
	folder string
	// admin may do everything.
	admin person
)

func TestThePluginByHand(t *testing.T) { testbed.RunSuite(t, "The plugin by hand") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	folder, err = os.MkdirTemp("", "byhand-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, folder)
	Expect(binaries.Build(ctx, filepath.Join(folder, "kubectl-sandbox"), "./cmd/kubectl-sandbox")).To(Succeed())
	bed, err = testbed.Start(ctx, testbed.Options{Arguments: []string{"--leader-elect", "--orphan-grace=1s"}})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, builders.MakeClusterProvider("local", "local").Default().Obj())
	Expect(bed.StartManager()).To(Succeed())
	admin = newPerson(bed.Plane.Config)
})

// All namespaces of specs are deleted by now: the manager has to clear them.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	bed.EventuallyRemotes(ctx, "", 0)
})
