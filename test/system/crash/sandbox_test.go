// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package crash_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A Sandbox", func() {
	const name = "box"
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	// metadata and status are the two writes that make a Sandbox Ready; metadata is also the one that lets it go.
	metadata := func() apiproxy.Matcher { return apiproxy.Writes("sandboxes", room.Namespace, name) }
	status := func() apiproxy.Matcher { return apiproxy.Writes("sandboxes/status", room.Namespace, name) }

	expectOneRemote := func(ctx context.Context, sandbox *v1alpha1.Sandbox) {
		GinkgoHelper()
		room.EventuallyReady(ctx, sandbox)
		remotes := room.EventuallyRemotes(ctx, room.Namespace, 1)
		Expect(sandbox.Status.SandboxID).To(Equal(remotes[0].ID))
		Expect(sandbox.Status.Incarnation).To(BeEquivalentTo(1))
		Expect(remotes[0].Mark.UID).To(BeEquivalentTo(sandbox.UID))
		Expect(bed.RunIn(ctx, remotes[0].ID, "cat /workspace/file")).To(Equal("content"), "spec.files should be written")
	}
	expectNothing := func(ctx context.Context, sandbox *v1alpha1.Sandbox) {
		GinkgoHelper()
		room.EventuallyGone(ctx, sandbox)
		room.EventuallyRemotes(ctx, room.Namespace, 0)
	}

	DescribeTable("has exactly one remote after the manager was killed",
		func(ctx context.Context, remotesThen int, hold func() *apiproxy.Hold) {
			held := hold()
			sandbox := room.Sandbox(name).File("/workspace/file", "content").Obj()
			room.Create(ctx, sandbox)
			killAt(ctx, held, func() { room.EventuallyRemotes(ctx, room.Namespace, remotesThen) })
			expectOneRemote(ctx, sandbox)
		},
		Entry("before the journal", 0, func() *apiproxy.Hold { return bed.Proxy.HoldRequest(metadata()) }),
		Entry("after the journal, before the create call", 0, func() *apiproxy.Hold { return bed.Proxy.HoldAnswer(metadata()) }),
		Entry("between create call and status", 1, func() *apiproxy.Hold { return bed.Proxy.HoldRequest(status()) }),
		Entry("after the status", 1, func() *apiproxy.Hold { return bed.Proxy.HoldAnswer(status()) }),
	)

	It("has exactly one remote after the manager was killed in the middle of the create call", func(ctx context.Context) {
		sandbox := room.Sandbox(name).File("/workspace/file", "content").Obj()
		room.Create(ctx, sandbox)
		// The remote can be seen as soon as the provider begins to make it.
		room.EventuallyRemotes(ctx, room.Namespace, 1)
		restart()
		expectOneRemote(ctx, sandbox)
	})

	It("has exactly one remote after the manager was killed at the same step again and again", func(ctx context.Context) {
		held := bed.Proxy.HoldRequest(status())
		sandbox := room.Sandbox(name).File("/workspace/file", "content").Obj()
		room.Create(ctx, sandbox)
		killAt(ctx, held, func() { held = bed.Proxy.HoldRequest(status()) })
		killAt(ctx, held, func() { held = bed.Proxy.HoldAnswer(status()) })
		killAt(ctx, held)
		expectOneRemote(ctx, sandbox)
	})

	DescribeTable("leaves nothing when the manager was killed during its deletion",
		func(ctx context.Context, remotesThen int, hold func() *apiproxy.Hold) {
			sandbox := room.Ready(ctx, room.Sandbox(name))
			held := hold()
			room.Delete(ctx, sandbox)
			killAt(ctx, held, func() { room.EventuallyRemotes(ctx, room.Namespace, remotesThen) })
			expectNothing(ctx, sandbox)
		},
		Entry("after destroy, before it lets the object go", 0, func() *apiproxy.Hold { return bed.Proxy.HoldRequest(metadata()) }),
		Entry("after it let the object go", 0, func() *apiproxy.Hold { return bed.Proxy.HoldAnswer(metadata()) }),
	)

	DescribeTable("leaves nothing when it is deleted while no manager runs, which was killed",
		func(ctx context.Context, hold func() *apiproxy.Hold) {
			held := hold()
			sandbox := room.Sandbox(name).Obj()
			room.Create(ctx, sandbox)
			killAt(ctx, held, func() { room.Delete(ctx, sandbox) })
			expectNothing(ctx, sandbox)
		},
		Entry("after the journal", func() *apiproxy.Hold { return bed.Proxy.HoldAnswer(metadata()) }),
		Entry("between create call and status", func() *apiproxy.Hold { return bed.Proxy.HoldRequest(status()) }),
		Entry("after the status", func() *apiproxy.Hold { return bed.Proxy.HoldAnswer(status()) }),
	)
})
