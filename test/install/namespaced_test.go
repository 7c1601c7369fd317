// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package install_test

import (
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// overlay is what docs/install.md has users write.
const overlay = `resources:
- ../../config/namespaced
patches:
- target:
    kind: Deployment
    name: sandbox-operator-controller-manager
  patch: |-
    - op: add
      path: /spec/template/spec/containers/0/args/-
      value: --namespaces=team-a,team-b
`

// namespaces makes team-a, team-b and one that is not the operator's.
func namespaces(ctx context.Context, bed *testbed.Bed) (a, b, other *testbed.Room) {
	GinkgoHelper()
	for _, name := range []string{"team-a", "team-b", "other"} {
		bed.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return &testbed.Room{Bed: bed, Namespace: "team-a"}, &testbed.Room{Bed: bed, Namespace: "team-b"},
		&testbed.Room{Bed: bed, Namespace: "other"}
}

// boxOf is a Sandbox of the namespace's default provider.
func boxOf(room *testbed.Room) *builders.SandboxBuilder {
	return builders.MakeSandbox(room.Namespace, "box")
}

// renderOverlay builds the overlay, which has to be somewhere in the repository.
func renderOverlay(ctx context.Context) string {
	GinkgoHelper()
	Expect(os.MkdirAll(filepath.Join(repository(), "bin"), 0o755)).To(Succeed())
	folder, err := os.MkdirTemp(filepath.Join(repository(), "bin"), "overlay-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, folder)
	Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(overlay), 0o600)).To(Succeed())
	return tool(ctx, "kustomize", "build", folder)
}

var _ = Describe("The install for given namespaces", func() {
	It("works in these with rights in these alone, and has an installation ID of its own", func(ctx context.Context) {
		bed := newBed(ctx)
		a, b, other := namespaces(ctx, bed)
		manifest := renderOverlay(ctx)
		for _, object := range documents(manifest) {
			Expect(object.GetKind()).NotTo(HavePrefix("Cluster"))
			Expect(object.GetNamespace()).To(Equal(testbed.Namespace), "namespace of %s %s", object.GetKind(), object.GetName())
		}
		kubectl(ctx, bed, manifest, "apply", "--server-side", "-f", "-")
		workspace := tool(ctx, "kustomize", "build", "config/namespaced/workspace")
		for _, room := range []*testbed.Room{a, b} {
			kubectl(ctx, bed, workspace, "apply", "-n", room.Namespace, "-f", "-")
		}
		probes := startInstalled(bed, deployment(manifest))
		Eventually(ctx, func() string { return answer(ctx, probes, "/readyz") }).WithTimeout(testbed.Patience).Should(HavePrefix("200 "))

		By("running sandboxes and commands in both at once")
		for _, room := range []*testbed.Room{a, b} {
			room.Secret(ctx, "token", map[string]string{"token": "s3cret"})
			room.Create(ctx, builders.MakeProvider(room.Namespace, "own", "local").Default().Obj(), boxOf(room).Obj(),
				room.Exec("run", "box").EnvFrom("TOKEN", builders.SecretKey("token", "token")).
					Shell("echo ${#TOKEN} | tee /tmp/kept").OutputTo("/tmp/kept", builders.ToConfigMap("kept", "kept")).Obj(),
				builders.MakeOneShot(room.Namespace, "one", builders.MakeSandbox(room.Namespace, "")).Command("true").Obj())
		}
		for _, room := range []*testbed.Room{a, b} {
			for _, name := range []string{"run", "one"} {
				run := room.Exec(name, "").Obj()
				bed.EventuallyFinished(ctx, run)
				Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), "%s in %s", name, room.Namespace)
			}
		}

		By("bearing its own namespace's UID in the mark")
		var own corev1.Namespace
		Expect(bed.Client.Get(ctx, client.ObjectKey{Name: testbed.Namespace}, &own)).To(Succeed())
		for _, remote := range bed.EventuallyRemotes(ctx, "team-b", 1) {
			Expect(remote.Mark.Installation).To(Equal(string(own.UID)))
		}

		By("leaving other namespaces, and what is the cluster's, alone")
		other.Create(ctx, builders.MakeProvider("other", "own", "local").Default().Obj(), boxOf(other).Obj())
		bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj(), a.Sandbox("of-cluster").Obj())
		refused := a.Sandbox("of-cluster").Obj()
		Expect(bed.EventuallyNotReady(ctx, refused, v1alpha1.ReasonProviderNotFound).Message).To(
			ContainSubstring("this operator is installed for some namespaces only"))
		untouched := boxOf(other).Obj()
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(untouched), untouched)).To(Succeed())
		Expect(untouched.Finalizers).To(BeEmpty())
		for _, request := range bed.Proxy.Since(0) {
			Expect(request.Path).NotTo(ContainSubstring("/namespaces/other/"))
		}
		Expect(string(bed.Log())).NotTo(ContainSubstring("forbidden"), "it should ask for nothing that it may not have")

		By("destroying what it made")
		bed.Delete(ctx, boxOf(a).Obj(), boxOf(b).Obj())
		bed.EventuallyRemotes(ctx, "", 0)
		bed.Delete(ctx, refused, untouched)
	})

	It("says what is missing where it may not work", func(ctx context.Context) {
		bed := newBed(ctx)
		namespaces(ctx, bed)
		manifest := renderOverlay(ctx)
		kubectl(ctx, bed, manifest, "apply", "--server-side", "-f", "-")
		arguments, probes := installedFlags(deployment(manifest))
		manager, err := bed.StartAnother(arguments...)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(manager.Kill)
		Eventually(ctx, func() string { return string(bed.Log()) }).WithTimeout(testbed.Patience).Should(
			MatchRegexp(`cannot list resource .{2}sandbox[a-z]+.{2} in API group .{2}sandboxes.run.{2} in the namespace .{2}team-a`))
		Expect(answer(ctx, probes, "/readyz")).To(HavePrefix("500 "))
	})
})

var _ = Describe("The rights for one namespace", func() {
	It("are refused for what is in no namespace", func(ctx context.Context) {
		bed := newBed(ctx)
		namespaces(ctx, bed)
		kubectl(ctx, bed, renderOverlay(ctx), "apply", "--server-side", "-f", "-")
		config, err := bed.Plane.User(account)
		Expect(err).NotTo(HaveOccurred())
		manager, err := client.New(config, client.Options{Scheme: bed.Client.Scheme()})
		Expect(err).NotTo(HaveOccurred())
		for _, attempt := range []error{
			manager.List(ctx, &corev1.SecretList{}, client.InNamespace(testbed.Namespace)),
			manager.Get(ctx, client.ObjectKey{Namespace: "team-a", Name: "any"}, &corev1.Secret{}),
			manager.Get(ctx, client.ObjectKey{Name: "kube-system"}, &corev1.Namespace{}),
			manager.List(ctx, &v1alpha1.ClusterSandboxProviderList{}),
		} {
			Expect(apierrors.IsForbidden(attempt)).To(BeTrue(), "%v", attempt)
		}
	})
})
