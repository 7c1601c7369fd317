// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package walk_test is somebody who follows each page of the documentation from top to bottom: applies each manifest, types each
// command, and expects to see what the page shows.
//
// suite_test.go starts what they need, pages_test.go says which pages there are and what is not tried of them, reader_test.go
// follows one. With DOCS_UPDATE=1 the pages get what the commands print instead of a complaint, and with
// DOCS_UPDATE=fill also where they show nothing yet.
package walk_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// lanes is how many pages are followed at once: most of the time is spent on waiting for commands that sleep.
const lanes = "6"

var (
	bed  *testbed.Bed
	root string
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() || os.Geteuid() != 0 {
		fmt.Println("the documentation is not tried: that starts a control plane and real sandboxes, and needs root")
		os.Exit(0)
	}
	if err := flag.Set("test.parallel", lanes); err != nil {
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ignore := goleak.IgnoreCurrent()
	ctx := context.Background()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	var errs []error
	if code == 0 {
		errs = append(errs, nothingIsLeft(ctx))
	}
	errs = append(errs, bed.Stop(ctx), goleak.Find(ignore, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2")))
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// start starts the operator, with the default provider that the pages speak of.
func start(ctx context.Context) error {
	var err error
	if root, err = binaries.Root(); err != nil {
		return err
	}
	if bed, err = testbed.Start(ctx, testbed.Options{}); err != nil {
		return err
	}
	provider := builders.MakeClusterProvider("local", "local").Default().Obj()
	if err := errors.Join(bed.Client.Create(ctx, provider), applyAdmission(ctx), bed.StartManager()); err != nil {
		return errors.Join(err, bed.Stop(ctx))
	}
	return nil
}

// applyAdmission installs what a cluster has beside the CRDs, as far as pages show it: the policy for one-shots and the roles for people.
func applyAdmission(ctx context.Context) error {
	_, err := shell(ctx, root, bed.Plane.Kubeconfig, "kubectl apply --server-side -k config/cluster", "")
	return err
}

// nothingIsLeft waits until the manager has destroyed every sandbox of the pages: their namespaces are deleted by now. Those that a page
// retains are destroyed here.
func nothingIsLeft(ctx context.Context) error {
	for deadline := time.Now().Add(2 * testbed.Patience); ; time.Sleep(100 * time.Millisecond) {
		remotes, err := bed.Remotes(ctx, "")
		for i := range remotes {
			if remotes[i].Mark.DeletionPolicy == string(v1alpha1.DeletionPolicyRetain) {
				err = errors.Join(err, bed.Provider.Destroy(ctx, remotes[i].ID))
			}
		}
		if err == nil && len(remotes) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("%d sandboxes of the pages are still there\n%s", len(remotes), bed.LogTail()))
		}
	}
}

// hasProgram says whether sandboxes without an image, which have the machine's /usr, have the program.
func hasProgram(name string) bool {
	for _, folder := range []string{"/usr/local/bin/", "/usr/bin/"} {
		if path, err := filepath.EvalSymlinks(folder + name); err == nil && len(path) > 5 && path[:5] == "/usr/" {
			return true
		}
	}
	return false
}

// deleted deletes objects that may be gone by now.
func deleted(ctx context.Context, objects ...client.Object) error {
	var errs []error
	for _, object := range objects {
		errs = append(errs, client.IgnoreNotFound(bed.Client.Delete(ctx, object)))
	}
	return errors.Join(errs...)
}
