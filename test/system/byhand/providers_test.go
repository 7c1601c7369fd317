// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package byhand_test

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("Providers", func() {
	It("are listed with their health, and with what to do", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		me := admin.in(room.Namespace)
		room.Create(ctx, builders.MakeProvider(room.Namespace, "broken", "local").Parameters(`{"bogus":1}`).Obj())
		Eventually(func() string { return me.types(ctx, "providers", "-o", "wide").out }).
			WithContext(ctx).WithTimeout(testbed.Patience).Should(SatisfyAll(
			MatchRegexp(`(?m)^local \* +cluster +local +True +Ready +\d+ +0 +0 +\S*Pause\S*$`),
			MatchRegexp(`(?m)^broken +`+room.Namespace+` +local +False +InvalidParameters `),
			ContainSubstring("-> kubectl edit sbxp broken -n "+room.Namespace+":"),
		))
		var rows []map[string]any
		Expect(json.Unmarshal([]byte(me.does(ctx, "providers", "-o", "json")), &rows)).To(Succeed())
		Expect(rows).To(ContainElement(SatisfyAll(HaveKeyWithValue("name", "local"), HaveKeyWithValue("default", true))))
	})

	It("have orphans, which are listed, and destroyed by who says yes", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		me := admin.in(room.Namespace)
		provider := builders.MakeProvider(room.Namespace, "watched", "local").Orphans(v1alpha1.OrphanReport).Obj()
		room.Create(ctx, provider)
		room.Ready(ctx, room.Sandbox("box"))
		own, err := bed.Remotes(ctx, room.Namespace)
		Expect(err).NotTo(HaveOccurred())
		mark := own[0].Mark
		mark.Name, mark.UID = "gone", "00000000-0000-4000-8000-000000000000"
		orphan, err := bed.Provider.Create(ctx, backends.CreateRequest{Name: "orphan-" + room.Namespace, Mark: mark})
		Expect(err).NotTo(HaveOccurred())

		Eventually(func() string { return me.types(ctx, "orphans").out }).WithContext(ctx).WithTimeout(testbed.Patience).
			Should(MatchRegexp(`(?m)^%s +watched +%s/gone +\S+ +Report$`, orphan.ID, room.Namespace))
		refused := me.types(ctx, "orphans", "--destroy", orphan.ID)
		Expect(refused.code).To(Equal(125))
		Expect(refused.err).To(ContainSubstring("nobody can be asked here: add --yes"))
		Expect(me.isTold(ctx, 125, "orphans", "--yes", "--destroy", own[0].ID)).To(ContainSubstring("is no orphan"))
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(provider), provider)).To(Succeed())
		Expect(provider.Annotations).NotTo(HaveKey(v1alpha1.DestroyOrphanAnnotation))

		Expect(me.does(ctx, "orphans", "--yes", "--destroy", orphan.ID)).To(ContainSubstring("asked to destroy " + orphan.ID))
		bed.EventuallyRemotes(ctx, room.Namespace, 1)
		Eventually(func() string { return me.types(ctx, "orphans").err }).WithContext(ctx).WithTimeout(testbed.Patience).
			Should(Equal("No orphans.\n"))
	})
})
