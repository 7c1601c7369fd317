// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona_test

import (
	"context"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// The manager is killed while Daytona has done what it was asked to, and nobody has heard of it.
var _ = Describe("A manager that is killed while it waits for Daytona's answer", Serial, func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	// killAt has a call hang once it has had its effect, does what leads to that call, and kills the manager when it got there.
	killAt := func(method, path string, do func(), done func() bool) {
		GinkgoHelper()
		before := mark()
		undo := fake.Inject(daytona.Fault{Method: method, Path: path, After: true, Hang: true, Times: 1})
		defer undo()
		do()
		Eventually(func() bool {
			for _, call := range fake.Calls()[before:] {
				if call.Method == method && strings.Contains(call.Path, path) {
					return done()
				}
			}
			return false
		}).WithTimeout(testbed.Patience).Should(BeTrue(), bed.LogTail)
		Expect(bed.KillManager()).To(Succeed())
		Expect(bed.StartManager()).To(Succeed())
	}
	ids := func() sets.Set[string] { return sets.KeySet(fake.States()) }

	It("makes no second sandbox", func(ctx context.Context) {
		before := ids()
		box := sandbox(room, "box").Obj()
		killAt(http.MethodPost, "/api/sandbox", func() { room.Create(ctx, box) }, func() bool { return len(ids().Difference(before)) == 1 })
		bed.EventuallyReady(ctx, box)
		Expect(ids().Difference(before).UnsortedList()).To(Equal([]string{box.Status.SandboxID}))
	})

	It("runs no command twice, and loses no result", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		run := room.Exec("run", "box").Shell("echo once >>/tmp/ran; sleep 1; echo done").Obj()
		killAt(http.MethodPost, box.Status.SandboxID+"/process/execute", func() { room.Create(ctx, run) }, func() bool { return true })
		bed.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("done\n"))
		Expect(room.Output(ctx, "count", "box", "cat /tmp/ran")).To(Equal("once\n"))
	})

	It("leaves nothing of what it was about to destroy", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		id := box.Status.SandboxID
		killAt(http.MethodDelete, id, func() { room.Delete(ctx, box) }, func() bool { return true })
		bed.EventuallyGone(ctx, box)
		Expect(ids()).NotTo(ContainElement(id))
	})
})
