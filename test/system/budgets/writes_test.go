// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package budgets_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("The manager's writes to the API server", func() {
	const settled = 500 * time.Millisecond
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		// The first Sandbox of a provider has a finalizer written to that.
		room.Ready(ctx, room.Sandbox("first"))
	})

	// writes are those about this room, or about no namespace; events among them.
	writes := func(since apiproxy.Position) []apiproxy.Request {
		return bed.Proxy.Since(since, func(r apiproxy.Request) bool {
			return apiproxy.IsWrite(r) && (r.Namespace == room.Namespace || r.Namespace == "")
		})
	}
	expectWrites := func(since apiproxy.Position, count int) {
		GinkgoHelper()
		list := func() string {
			var lines []string
			for _, request := range writes(since) {
				lines = append(lines, request.String())
			}
			return "these were written:\n" + strings.Join(lines, "\n")
		}
		Eventually(func() int { return len(writes(since)) }).WithTimeout(5*time.Second).Should(BeNumerically(">=", count), list)
		Consistently(func() int { return len(writes(since)) }).WithTimeout(settled).Should(Equal(count), list)
	}

	It("are 2 for a Sandbox to be Ready, none while it is idle, and 1 for it to go", func(ctx context.Context) {
		start := bed.Proxy.Now()
		sandbox := room.Ready(ctx, room.Sandbox("box").File("/workspace/file", "content").Memory("256Mi"))
		expectWrites(start, 2)

		start = bed.Proxy.Now()
		Consistently(func() string { return fmt.Sprint(writes(start)) }).WithTimeout(5 * time.Second).Should(Equal("[]"))

		room.Delete(ctx, sandbox)
		room.EventuallyGone(ctx, sandbox)
		expectWrites(start, 1)
	})

	It("are 7 for a SandboxExec with a sandbox of its own, its sandbox's among them", func(ctx context.Context) {
		start := bed.Proxy.Now()
		run := room.Run(ctx, builders.MakeOneShot(room.Namespace, "run", room.Sandbox("run")).Command("true"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		room.EventuallyRemotes(ctx, room.Namespace, 1)
		expectWrites(start, 7)
	})

	It("are 2 for a short SandboxExec, 4 for a longer one, and none when both are over", func(ctx context.Context) {
		room.Ready(ctx, room.Sandbox("box"))
		start := bed.Proxy.Now()
		room.Run(ctx, room.Exec("short", "box").Command("true"))
		expectWrites(start, 2)

		start = bed.Proxy.Now()
		room.Run(ctx, room.Exec("fails", "box").Command("false"))
		expectWrites(start, 2)

		start = bed.Proxy.Now()
		room.Run(ctx, room.Exec("long", "box").Shell("echo begin; sleep 3; echo end"))
		expectWrites(start, 4)

		start = bed.Proxy.Now()
		Consistently(func() string { return fmt.Sprint(writes(start)) }).WithTimeout(2 * time.Second).Should(Equal("[]"))
	})
})
