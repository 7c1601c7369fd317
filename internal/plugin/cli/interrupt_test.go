// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package cli

import (
	"os/signal"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestWhatEndsACommandLetsItClearUp(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) {
			continue // as under nohup, where it is to stay so
		}
		g := NewWithT(t)
		ctx, stop := UntilInterrupted(t.Context())
		g.Expect(syscall.Kill(syscall.Getpid(), s)).To(Succeed())
		g.Eventually(ctx.Done()).WithTimeout(10*time.Second).Should(BeClosed(), "after %v", s)
		stop()
	}
}
