// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package upgrade_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// A backup tool makes objects anew: they have other UIDs, and, unless it is told otherwise, no status.
var _ = Describe("Objects that a backup tool brought back", func() {
	// lose takes an object away without its operator, as a cluster does that is gone.
	lose := func(ctx context.Context, object client.Object) {
		GinkgoHelper()
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
		Expect(bed.Client.Patch(ctx, object, patch)).To(Succeed())
		Expect(client.IgnoreNotFound(bed.Client.Delete(ctx, object))).To(Succeed())
		bed.EventuallyGone(ctx, object)
	}
	anew := func(object client.Object) {
		object.SetUID("")
		object.SetResourceVersion("")
		object.SetGeneration(0)
		object.SetManagedFields(nil)
	}

	It("are a new sandbox, with the old one an orphan, and runs that have their outcome do not run again", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		provider := builders.MakeProvider(room.Namespace, "reporting", "local").Obj()
		provider.Spec.OrphanPolicy = v1alpha1.OrphanReport
		bed.Create(ctx, provider)
		sandbox := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("reporting"))
		finished := room.Run(ctx, room.Exec("finished", "box").Shell("echo ran >>/tmp/ran; cat /tmp/ran"))
		Expect(bed.StopManager()).To(Succeed())

		lose(ctx, finished)
		lose(ctx, sandbox)
		old := sandbox.Status.SandboxID
		anew(sandbox)
		anew(finished)
		status := finished.Status
		bed.Create(ctx, sandbox, finished)
		finished.Status = status
		Expect(bed.Client.Status().Update(ctx, finished)).To(Succeed())
		Expect(bed.StartManager()).To(Succeed())

		Eventually(func(g Gomega) {
			g.Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(sandbox), sandbox)).To(Succeed())
			g.Expect(meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
			g.Expect(sandbox.Status.SandboxID).NotTo(Equal(old), "the journal of the old object counts for nothing")
		}).WithContext(ctx).WithTimeout(testbed.Patience).Should(Succeed())
		bed.EventuallyRemotes(ctx, room.Namespace, 2)
		again := room.Run(ctx, room.Exec("look", "box").Shell("cat /tmp/ran || echo nothing ran here"))
		Expect(again.Status.Stdout.Head).To(ContainSubstring("nothing ran here"))
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(finished), finished)).To(Succeed())
		Expect(finished.Status.Outcome).To(Equal(status.Outcome))
		Expect(finished.Status.Stdout).To(Equal(status.Stdout))

		Expect(bed.Provider.Destroy(ctx, old)).To(Succeed())
	}, NodeTimeout(2*time.Minute))
})
