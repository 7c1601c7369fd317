// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A Sandbox whose execConcurrency is Serial", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box").Serial())
	})

	// line writes when it begins and when it ends, which takes a moment.
	line := func(name string) string {
		return fmt.Sprintf("echo begin %[1]s >>/workspace/log; sleep 0.3; echo end %[1]s >>/workspace/log", name)
	}

	It("runs them one after another, in order of creation, then of names", func(ctx context.Context) {
		names := []string{"a", "b", "c", "d", "e", "f"}
		first := room.Exec("zero", "box").Shell(line("zero") + "; sleep 2").Obj()
		room.Create(ctx, first)
		room.EventuallySeenRunning(ctx, first)
		var runs []*v1alpha1.SandboxExec
		for _, name := range names {
			run := room.Exec(name, "box").Shell(line(name)).Obj()
			room.Create(ctx, run)
			runs = append(runs, run)
		}
		room.Eventually(ctx, runs[5], "waiting", func() bool {
			return strings.Contains(testbed.StateOf(runs[5]), `Earlier runs of Sandbox "box" come first`)
		})
		want := "begin zero\nend zero\n"
		for i, run := range runs {
			room.EventuallyFinished(ctx, run)
			Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
			want += fmt.Sprintf("begin %[1]s\nend %[1]s\n", names[i])
		}
		Expect(room.Output(ctx, "log", "box", "cat /workspace/log")).To(Equal(want))
	})

	It("goes on when the one whose turn it is fails, is cancelled, or is deleted", func(ctx context.Context) {
		for i, end := range []func(run *v1alpha1.SandboxExec){
			func(*v1alpha1.SandboxExec) {},
			func(run *v1alpha1.SandboxExec) { room.Cancel(ctx, run) },
			func(run *v1alpha1.SandboxExec) { room.Delete(ctx, run) },
		} {
			holds := room.Exec(fmt.Sprintf("a%d", i), "box").Shell("sleep 600").Timeout(int32(2 + 598*min(i, 1))).Obj()
			room.Create(ctx, holds)
			room.EventuallySeenRunning(ctx, holds)
			next := room.Exec(fmt.Sprintf("b%d", i), "box").Command("true").Obj()
			room.Create(ctx, next)
			room.Eventually(ctx, next, "waiting", func() bool { return len(next.Status.Conditions) > 0 })
			Expect(next.Status.StartTime).To(BeNil())
			end(holds)
			room.EventuallyFinished(ctx, next)
			Expect(next.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(next))
		}
	})

	It("passes over one that is cancelled, or gives up, while it waits", func(ctx context.Context) {
		holds := room.Exec("a", "box").Shell("sleep 600").Obj()
		room.Create(ctx, holds)
		room.EventuallySeenRunning(ctx, holds)
		cancelled, givesUp := room.Exec("b", "box").Command("true").Obj(), room.Exec("c", "box").Command("true").StartDeadline(2).Obj()
		last := room.Exec("d", "box").Command("true").Obj()
		room.Create(ctx, cancelled, givesUp, last)
		room.Cancel(ctx, cancelled)
		room.EventuallyFinished(ctx, cancelled)
		Expect(cancelled.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(cancelled))
		room.EventuallyFinished(ctx, givesUp)
		Expect(givesUp.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(givesUp))
		Expect(testbed.StateOf(givesUp)).To(ContainSubstring("execConcurrency is Serial"))
		Expect(testbed.IsFinished(last)).To(BeFalse())
		room.Cancel(ctx, holds)
		room.EventuallyFinished(ctx, last)
		Expect(last.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(last))
	})
})
