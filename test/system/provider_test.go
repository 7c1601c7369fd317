// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A provider", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	// clusterProvider makes one that goes with the spec.
	clusterProvider := func(ctx context.Context, builder *builders.ClusterProviderBuilder) {
		GinkgoHelper()
		provider := builder.Obj()
		room.Create(ctx, provider)
		DeferCleanup(func(ctx context.Context) { room.Delete(ctx, provider) })
	}
	// eventually waits until a provider is Ready, or not, for this reason, and returns the sentence.
	eventually := func(ctx context.Context, provider *v1alpha1.SandboxProvider, reason string) string {
		GinkgoHelper()
		ready := func() string {
			if c := meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady); c != nil {
				return c.Reason
			}
			return ""
		}
		room.Eventually(ctx, provider, reason, func() bool { return ready() == reason })
		return meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady).Message
	}

	It("is the default where it says so: that of the namespace before that of the cluster", func(ctx context.Context) {
		none := builders.MakeSandbox(room.Namespace, "none").Obj()
		room.Create(ctx, none)
		c := room.EventuallyNotReady(ctx, none, v1alpha1.ReasonNoDefaultProvider)
		Expect(c.Message).To(And(ContainSubstring("providerRef"), ContainSubstring(v1alpha1.DefaultProviderAnnotation)))

		By("making one of the cluster the default")
		clusterProvider(ctx, builders.MakeClusterProvider("default-of-"+room.Namespace, "local").Default())
		room.EventuallyReady(ctx, none)
		Expect(none.Status.Provider.Kind).To(Equal(v1alpha1.KindClusterSandboxProvider))

		By("making one of the namespace the default")
		room.Create(ctx, builders.MakeProvider(room.Namespace, "other", "local").Obj(),
			builders.MakeProvider(room.Namespace, "own", "local").Default().Obj())
		own := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "own"))
		Expect(own.Status.Provider.Kind).To(Equal(v1alpha1.KindSandboxProvider))
		Expect(own.Status.Provider.Name).To(Equal("own"))

		By("making two of the namespace the default")
		room.Create(ctx, builders.MakeProvider(room.Namespace, "second", "local").Default().Obj())
		several := builders.MakeSandbox(room.Namespace, "several").Obj()
		room.Create(ctx, several)
		c = room.EventuallyNotReady(ctx, several, v1alpha1.ReasonSeveralDefaultProviders)
		Expect(c.Message).To(And(ContainSubstring("own"), ContainSubstring("second")))
	})

	It("of the cluster admits the namespaces that it selects only", func(ctx context.Context) {
		name := "of-" + room.Namespace
		clusterProvider(ctx, builders.MakeClusterProvider(name, "local").AllowedNamespaces(map[string]string{"team": "a"}))
		stranger := builders.MakeSandbox(room.Namespace, "box").ClusterProvider(name).Obj()
		room.Create(ctx, stranger)
		c := room.EventuallyNotReady(ctx, stranger, v1alpha1.ReasonNamespaceNotAllowed)
		Expect(c.Message).To(And(ContainSubstring(room.Namespace), ContainSubstring(name)))
		room.EventuallyRemotes(ctx, room.Namespace, 0)

		member := bed.NewRoomWith(ctx, map[string]string{"team": "a"})
		member.Ready(ctx, builders.MakeSandbox(member.Namespace, "box").ClusterProvider(name))
	})

	It("that does not exist is waited for", func(ctx context.Context) {
		box := builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("later").Obj()
		room.Create(ctx, box)
		c := room.EventuallyNotReady(ctx, box, v1alpha1.ReasonProviderNotFound)
		Expect(c.Message).To(ContainSubstring(`SandboxProvider "later"`))
		room.Create(ctx, builders.MakeProvider(room.Namespace, "later", "local").Obj())
		room.EventuallyReady(ctx, box)
	})

	It("is Ready after a real call, with its capabilities", func(ctx context.Context) {
		provider := builders.MakeProvider(room.Namespace, "own", "local").Obj()
		room.Create(ctx, provider)
		eventually(ctx, provider, v1alpha1.ReasonReady)
		Expect(provider.Status.Capabilities).To(
			ConsistOf("Image", "Resources", "User", "Network", "Lifetime", "Pause", "Endpoints", "Labels"))
		Expect(provider.Status.ObservedGeneration).To(BeEquivalentTo(1))
	})

	It("of an unknown backend lists the known ones", func(ctx context.Context) {
		provider := builders.MakeProvider(room.Namespace, "own", "cloud9").Obj()
		box := builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("own").Obj()
		room.Create(ctx, provider, box)
		want := `unknown backend "cloud9" (this operator has: local)`
		Expect(eventually(ctx, provider, v1alpha1.ReasonUnknownBackend)).To(ContainSubstring(want))
		Expect(meta.IsStatusConditionTrue(provider.Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
		Expect(room.EventuallyNotReady(ctx, box, v1alpha1.ReasonUnknownBackend).Message).To(ContainSubstring(want))
	})

	It("with an unknown parameter lists the known ones, and works when it is mended", func(ctx context.Context) {
		provider := builders.MakeProvider(room.Namespace, "own", "local").Parameters(`{"plattform":"systrap"}`).Obj()
		box := builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("own").Obj()
		room.Create(ctx, provider, box)
		Expect(eventually(ctx, provider, v1alpha1.ReasonInvalidParameters)).To(And(
			ContainSubstring("plattform"), ContainSubstring("known: platform")))
		Expect(room.EventuallyNotReady(ctx, box, v1alpha1.ReasonInvalidParameters).Message).To(ContainSubstring("known: platform"))
		Expect(bed.Client.Patch(ctx, provider, mergePatch(`{"spec":{"parameters":{"plattform":null,"platform":"systrap"}}}`))).To(Succeed())
		eventually(ctx, provider, v1alpha1.ReasonReady)
		room.EventuallyReady(ctx, box)
	})

	It("with credentials that its backend has no use for says so", func(ctx context.Context) {
		room.Secret(ctx, "keys", map[string]string{"token": "open-sesame"})
		provider := builders.MakeProvider(room.Namespace, "own", "local").Credentials("keys").Obj()
		room.Create(ctx, provider)
		Expect(eventually(ctx, provider, v1alpha1.ReasonInvalidParameters)).To(ContainSubstring("remove spec.credentials"))
		Expect(bed.Client.Patch(ctx, provider, mergePatch(`{"spec":{"credentials":null}}`))).To(Succeed())
		eventually(ctx, provider, v1alpha1.ReasonReady)
	})

	It("that is in use is kept until its sandboxes are gone", func(ctx context.Context) {
		provider := builders.MakeProvider(room.Namespace, "own", "local").Obj()
		room.Create(ctx, provider)
		box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("own"))
		room.Delete(ctx, provider)
		Expect(eventually(ctx, provider, v1alpha1.ReasonInUse)).To(ContainSubstring("until no Sandbox has, or may have, a remote of it"))
		Expect(room.Output(ctx, "run", "box", "echo it goes on")).To(Equal("it goes on\n"))
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
		room.EventuallyGone(ctx, provider)
	})
})
