// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package install_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// deploymentsOf are those of the manifest, by name.
func deploymentsOf(manifest string) map[string]*appsv1.Deployment {
	GinkgoHelper()
	all := map[string]*appsv1.Deployment{}
	for _, object := range documents(manifest) {
		if object.GetKind() == "Deployment" {
			found := &appsv1.Deployment{}
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, found)).To(Succeed())
			all[found.Name] = found
		}
	}
	return all
}

var _ = Describe("What config/shards installs", func() {
	It("are two instances, each of which works on its own objects with the rights of both", func(ctx context.Context) {
		bed := newBed(ctx)
		manifest := tool(ctx, "kustomize", "build", "config/shards")
		kubectl(ctx, bed, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
		all := deploymentsOf(manifest)
		first, second := all["sandbox-operator-controller-manager"], all["sandbox-operator-controller-manager-a"]
		Expect(all).To(HaveLen(2))
		for _, of := range all {
			selected := 0
			for _, pods := range all {
				if labels.SelectorFromSet(of.Spec.Selector.MatchLabels).Matches(labels.Set(pods.Spec.Template.Labels)) {
					selected++
				}
			}
			Expect(selected).To(Equal(1), "no Deployment may select the pods of another")
			Expect(of.Spec.Template.Spec.ServiceAccountName).To(Equal("sandbox-operator-controller-manager"))
		}

		probes := startInstalled(bed, first)
		arguments, otherProbes := installedFlags(second)
		other, err := bed.StartAnother(arguments...)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(other.Kill)
		for _, address := range []string{probes, otherProbes} {
			Eventually(ctx, func() string { return answer(ctx, address, "/readyz") }).WithTimeout(testbed.Patience).
				Should(HavePrefix("200 "))
		}
		bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("mine"))
		theirs := room.Ready(ctx, room.Sandbox("theirs").Label(v1alpha1.ShardLabel, "a"))
		run := room.Run(ctx, room.Exec("run", "theirs").Label(v1alpha1.ShardLabel, "a").Shell("echo done"))
		Expect(run.Status.Stdout.Head).To(Equal("done\n"), testbed.StateOf(run))

		By("telling by the lost sandbox of the second that the first sees it, too")
		Expect(bed.Provider.Destroy(ctx, theirs.Status.SandboxID)).To(Succeed())
		room.EventuallyNotReady(ctx, theirs, v1alpha1.ReasonRemoteGone)

		By("ending the second, whose objects wait")
		Expect(other.Kill()).To(Succeed())
		box := room.Sandbox("waiting").Label(v1alpha1.ShardLabel, "a").Obj()
		room.Create(ctx, box)
		room.Ready(ctx, room.Sandbox("second"))
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(box), box)).To(Succeed())
		Expect(box.Status.Conditions).To(BeEmpty())

		By("giving them to the first, as docs/scaling.md has it")
		kubectl(ctx, bed, "", "label", "sbx,sbxe", "--all-namespaces", "-l", v1alpha1.ShardLabel+"=a", v1alpha1.ShardLabel+"-")
		room.EventuallyReady(ctx, box)
	})
})

var _ = Describe("The policy that stamps objects with the shard of their namespace", func() {
	It("does so on a real API server, and leaves those alone that bring a label", func(ctx context.Context) {
		bed := newBed(ctx)
		kubectl(ctx, bed, "", "apply", "--server-side", "-f", "config/shards/stamp_policy.yaml")
		room := bed.NewRoomWith(ctx, map[string]string{v1alpha1.ShardLabel: "a"})
		stamped := func(g Gomega, object client.Object) string {
			g.Expect(bed.Client.Create(ctx, object, client.DryRunAll)).To(Succeed())
			return object.GetLabels()[v1alpha1.ShardLabel]
		}
		// The API server learns of policies, namespaces and the schemas of CRDs one after the other, and refuses what it can't judge yet.
		Eventually(ctx, func(g Gomega) string { return stamped(g, room.Sandbox("box").Obj()) }).
			WithTimeout(testbed.Patience).Should(Equal("a"))
		shardOf := func(object client.Object) string { return stamped(Default, object) }
		Expect(shardOf(room.Sandbox("box").Label("app", "x").Obj())).To(Equal("a"))
		Expect(shardOf(room.Exec("run", "box").Command("true").Obj())).To(Equal("a"))
		Expect(shardOf(room.Sandbox("box").Label(v1alpha1.ShardLabel, "b").Obj())).To(Equal("b"))
		owned := room.Sandbox("box").Obj()
		owned.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "SandboxExec", Name: "run", UID: "uid", Controller: new(true),
		}}
		Expect(shardOf(owned)).To(BeEmpty(), "it follows its run")
		elsewhere := bed.NewRoom(ctx)
		Expect(shardOf(elsewhere.Sandbox("box").Obj())).To(BeEmpty())
	})
})
