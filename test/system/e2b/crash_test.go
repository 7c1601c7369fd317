// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2b_test

import (
	"context"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// The manager is killed while E2B has done what it was asked to, and nobody has heard of it. E2B has neither names nor idempotency
// keys: what was made is found by its mark.
var _ = Describe("A manager that is killed while it waits for E2B's answer", Serial, func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		room.Create(ctx, provider(ctx, room, "e2b", cloud, fake.Key).Default().Obj())
	})

	// killAt does what leads to a request, and kills the manager when E2B has done what that asked for. Its answer never comes.
	killAt := func(method, prefix, suffix string, do func(), done func() bool) {
		GinkgoHelper()
		before := len(cloud.Requests())
		if suffix == "" {
			defer cloud.Fail(fake.Fault{
				Plane: fake.PlaneControl, Method: method, Prefix: prefix, AfterEffect: true, Hang: true, Times: 1,
			})()
		}
		do()
		Eventually(func() bool {
			for _, request := range cloud.Requests()[before:] {
				if request.Method == method && strings.HasPrefix(request.Path, prefix) && strings.HasSuffix(request.Path, suffix) {
					return done()
				}
			}
			return false
		}).WithTimeout(testbed.Patience).Should(BeTrue(), bed.LogTail)
		Expect(bed.KillManager()).To(Succeed())
		Expect(bed.StartManager()).To(Succeed())
	}
	ids := func() sets.Set[string] { return sets.KeySet(cloud.Sandboxes()) }

	It("makes no second sandbox", func(ctx context.Context) {
		before := ids()
		box := builders.MakeSandbox(room.Namespace, "box").Obj()
		made := func() []string { return ids().Difference(before).UnsortedList() }
		killAt(http.MethodPost, "/sandboxes", "", func() { room.Create(ctx, box) }, func() bool { return len(made()) == 1 })
		bed.EventuallyReady(ctx, box)
		Expect(made()).To(Equal([]string{box.Status.SandboxID}))
	})

	It("runs no command twice, and loses no result", func(ctx context.Context) {
		room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box"))
		run := room.Exec("run", "box").Shell("echo once >>/tmp/ran; sleep 1; echo done").Obj()
		killAt(http.MethodPost, "/process.Process/", "Start", func() { room.Create(ctx, run) }, func() bool { return true })
		bed.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Stdout.Head).To(Equal("done\n"))
		Expect(room.Output(ctx, "count", "box", "cat /tmp/ran")).To(Equal("once\n"))
	})

	It("leaves nothing of what it was about to destroy", func(ctx context.Context) {
		box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box"))
		id := box.Status.SandboxID
		killAt(http.MethodDelete, "/sandboxes/"+id, "", func() { room.Delete(ctx, box) }, func() bool { return !ids().Has(id) })
		bed.EventuallyGone(ctx, box)
		Expect(ids()).NotTo(ContainElement(id))
	})
})
