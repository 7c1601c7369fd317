// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("The progress of a SandboxExec", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		room.Secret(ctx, "keys", map[string]string{"token": "open-sesame-4711"})
		room.Ready(ctx, room.Sandbox("box"))
	})

	statusWrites := func(since apiproxy.Position) int {
		return len(bed.Proxy.Since(since, apiproxy.Writes("sandboxexecs/status", room.Namespace, "run")))
	}

	It("is what it printed last, while it runs, at most once in two seconds", func(ctx context.Context) {
		start := bed.Proxy.Now()
		run := room.Exec("run", "box").Progress().Shell(`i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; sleep 0.2; done`).Obj()
		began := time.Now()
		room.Create(ctx, run)
		room.Eventually(ctx, run, "showing what it prints", func() bool {
			return run.Status.Stdout != nil && strings.Contains(run.Status.Stdout.Tail, "line 2\n")
		})
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionPartial))
		Expect(testbed.IsFinished(run)).To(BeFalse())
		bytes := *run.Status.Stdout.Bytes
		room.Eventually(ctx, run, "showing more", func() bool { return *run.Status.Stdout.Bytes > bytes })
		room.EventuallyFinished(ctx, run)
		took := time.Since(began)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(And(HavePrefix("line 1\nline 2\n"), HaveSuffix("line 40\n")))
		Expect(run.Status.Stdout.Tail).To(BeEmpty())
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionComplete))
		// Beside journal and result.
		Expect(statusWrites(start)).To(BeNumerically("<=", 2+1+int(took/(2*time.Second))))
	})

	It("costs no write while nothing is printed, and none where it is not asked for", func(ctx context.Context) {
		start := bed.Proxy.Now()
		run := room.Run(ctx, room.Exec("run", "box").Progress().Shell("echo once; sleep 7"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(statusWrites(start)).To(Equal(3), "journal, progress, result")
	})

	It("never shows a Secret, not even half of one", func(ctx context.Context) {
		run := room.Exec("run", "box").Progress().EnvFrom("TOKEN", builders.SecretKey("keys", "token")).
			Shell(`echo "it is $TOKEN!"; printf 'and open-ses'; sleep 3; printf 'ame-4711.'; sleep 3`).Obj()
		room.Create(ctx, run)
		room.Eventually(ctx, run, "showing what it prints", func() bool { return run.Status.Stdout != nil })
		Expect(run.Status.Stdout.Tail).To(Equal("it is [redacted]!\nand [redacted]"))
		room.Eventually(ctx, run, "showing more", func() bool { return *run.Status.Stdout.Bytes > 40 })
		Expect(run.Status.Stdout.Tail + run.Status.Stdout.Head).To(Equal("it is [redacted]!\nand [redacted]."))
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Stdout.Head).To(Equal("it is [redacted]!\nand [redacted]."))
	})

	It("is of no one when the command is gone", func(ctx context.Context) {
		run := room.Exec("run", "box").Progress().Shell("echo begin; sleep 600").Obj()
		room.Create(ctx, run)
		room.Eventually(ctx, run, "showing what it prints", func() bool { return run.Status.Stdout != nil })
		room.Cancel(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("begin\n"))
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionComplete))
	})
})
