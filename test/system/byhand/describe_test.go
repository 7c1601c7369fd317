// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package byhand_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("What is described", func() {
	It("is what happened, why something is not ready, and what to do", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		me := admin.in(room.Namespace)
		box := room.Ready(ctx, room.Sandbox("box").Serial())
		room.Run(ctx, room.Exec("fails", "box").Shell("exit 3"))
		Expect(me.does(ctx, "describe", "box")).To(SatisfyAll(
			MatchRegexp(`(?m)^Ready: +True \(Ready\)$`), ContainSubstring(box.Status.SandboxID),
			ContainSubstring("one run after another"), MatchRegexp(`(?m)^  Ready; \d+ sandboxes`),
			MatchRegexp(`(?s)the object was created.*the provider made the remote.*run fails ended: Failed \(exit code 3\)`),
			MatchRegexp(`(?m)^  fails +Failed \(exit code 3\) .* sh -c exit 3$`),
		))
		Expect(me.does(ctx, "describe", "sbxe/fails")).To(SatisfyAll(
			ContainSubstring("-> see what it printed: kubectl sandbox logs fails -n "+room.Namespace),
			ContainSubstring("The command ended with exit code 3")))

		room.Create(ctx, room.Sandbox("lost").ClusterProvider("nowhere").Obj(), room.Exec("waits", "lost").Shell("true").Obj())
		for _, name := range []string{"lost", "waits"} {
			Eventually(func() string { return me.types(ctx, "describe", name).out }).WithContext(ctx).WithTimeout(testbed.Patience).
				Should(MatchRegexp(`(?s)ProviderNotFound: ClusterSandboxProvider "nowhere" does not exist\n +-> create the provider`))
		}
		Expect(me.does(ctx, "describe", "csbxp/local")).To(MatchRegexp(`(?m)^Default: +yes`))
		Expect(me.isTold(ctx, 125, "describe", "nothing")).To(ContainSubstring(`nothing is called "nothing" in namespace`))
		Expect(me.isTold(ctx, 125, "describe", "pod/x")).To(ContainSubstring(`there is no kind "pod"`))
	})
})
