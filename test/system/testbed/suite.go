// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testbed

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
)

// RunSuite runs the specs of a package, where sandboxes can run, and sees that nothing is left running.
func RunSuite(t *testing.T, description string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane and real sandboxes")
	}
	if why := unfit(); why != "" {
		t.Skip(why)
	}
	ignore := goleak.IgnoreCurrent()
	RegisterFailHandler(Fail)
	RunSpecs(t, description)
	goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction(
		"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"))
}
