// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package install_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("What config/default installs", func() {
	It("does its work with the rights that it gives itself, and goes without leaving anything", func(ctx context.Context) {
		bed := newBed(ctx)
		manifest := tool(ctx, "kustomize", "build", "config/default")
		kubectl(ctx, bed, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
		probes := startInstalled(bed, deployment(manifest))

		By("telling by its probes when it can work")
		Eventually(ctx, func() string { return answer(ctx, probes, "/readyz") }).WithTimeout(testbed.Patience).Should(HavePrefix("200 "))
		Expect(answer(ctx, probes, "/healthz")).To(HavePrefix("200 "))

		By("using every right of its own")
		bed.Create(ctx, builders.MakeClusterProvider("local", "local").AllowedNamespaces(map[string]string{"team": "red"}).Obj())
		room := bed.NewRoomWith(ctx, map[string]string{"team": "red"})
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Run(ctx, room.Exec("run", "box").Shell("echo done; echo kept >/tmp/kept").
			OutputTo("/tmp/kept", builders.ToConfigMap("kept", "kept")))
		Expect(run.Status.Stdout.Head).To(Equal("done\n"))
		one := room.Run(ctx, builders.MakeOneShot(room.Namespace, "one", room.Sandbox("")).Command("true"))
		Expect(one.Status.ExitCode).To(HaveValue(BeZero()))

		By("removing it while there are sandboxes")
		Expect(undeploy(ctx, bed, "2m")).To(ContainSubstring(`"sandboxes.sandboxes.run" deleted`))
		Expect(bed.Remotes(ctx, "")).To(BeEmpty(), "sandboxes at the provider")
		left := kubectl(ctx, bed, "", "get", "crds,clusterroles,clusterrolebindings,namespaces,validatingadmissionpolicies,"+
			"validatingadmissionpolicybindings", "-o", "name")
		Expect(left).NotTo(ContainSubstring("sandbox"), "what is left of the operator")
	})

	It("stays whole when it is removed while the manager is away", func(ctx context.Context) {
		bed := newBed(ctx)
		manifest := tool(ctx, "kustomize", "build", "config/default")
		kubectl(ctx, bed, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
		startInstalled(bed, deployment(manifest))
		bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		Expect(bed.StopManager()).To(Succeed())

		Expect(undeploy(ctx, bed, "2s")).To(ContainSubstring("nothing else was removed"))
		kubectl(ctx, bed, "", "get", "deployment", "-n", testbed.Namespace, "sandbox-operator-controller-manager")
		kubectl(ctx, bed, "", "get", "crd", "sandboxes.sandboxes.run")
		Expect(bed.Remotes(ctx, "")).To(HaveLen(1))

		startInstalled(bed, deployment(manifest))
		Expect(undeploy(ctx, bed, "2m")).To(ContainSubstring("deployment.apps \"sandbox-operator-controller-manager\" deleted"))
		Expect(bed.Remotes(ctx, "")).To(BeEmpty(), "sandboxes at the provider")
	})

	It("has a pod that the restricted Pod Security Standard admits, in a namespace that wants it", func(ctx context.Context) {
		manifest := tool(ctx, "kustomize", "build", "config/default")
		bed := newBed(ctx)
		kubectl(ctx, bed, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
		of := deployment(manifest)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: testbed.Namespace, Name: "manager"}, Spec: of.Spec.Template.Spec}
		bed.Create(ctx, pod)
		Expect(pod.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem).To(HaveValue(BeTrue()))

		loose := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: testbed.Namespace, Name: "loose"}}
		of.Spec.Template.Spec.DeepCopyInto(&loose.Spec)
		loose.Spec.Containers[0].SecurityContext = nil
		Expect(bed.Client.Create(ctx, loose)).To(MatchError(ContainSubstring(`violates PodSecurity "restricted`)), "the namespace keeps it")
	})
})

// undeploy runs hack/undeploy, and returns what it said, whether or not it got through.
func undeploy(ctx context.Context, bed *testbed.Bed, timeout string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, filepath.Join("hack", "undeploy"))
	command.Dir = repository()
	command.Env = append(os.Environ(), "KUBECTL="+bed.Plane.Kubectl, "KUBECONFIG="+bed.Plane.Kubeconfig, "TIMEOUT="+timeout)
	output, _ := command.CombinedOutput()
	return string(output)
}

var _ = Describe("The installed manager", func() {
	It("ends, and says which it is, where a CRD is missing", func(ctx context.Context) {
		bed := newBed(ctx)
		manifest := tool(ctx, "kustomize", "build", "config/default")
		kubectl(ctx, bed, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
		kubectl(ctx, bed, "", "delete", "crd", "sandboxexecs.sandboxes.run")
		arguments, _ := installedFlags(deployment(manifest))
		manager, err := bed.StartAnother(arguments...)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(manager.Kill)
		Eventually(ctx, manager.Ended()).WithTimeout(testbed.Patience).Should(BeClosed())
		Expect(string(bed.Log())).To(ContainSubstring(`no matches for kind \"SandboxExec\"`))
	})
})

var _ = Describe("The roles for people", func() {
	It("come to the cluster's own view, edit and admin, and to run commands is a right of its own", func(ctx context.Context) {
		bed := newBed(ctx)
		kubectl(ctx, bed, tool(ctx, "kustomize", "build", "config/cluster"), "apply", "--server-side", "--force-conflicts", "-f", "-")
		can := func(role, verb, resource string) bool {
			return slices.ContainsFunc(rulesOf(ctx, bed, role), func(rule rbacv1.PolicyRule) bool {
				return slices.Contains(rule.Resources, resource) && (slices.Contains(rule.Verbs, verb) || slices.Contains(rule.Verbs, "*"))
			})
		}
		for _, right := range []struct {
			role, verb, resource string
			given                bool
		}{
			{"view", "get", "sandboxes", true},
			{"view", "get", "sandboxexecs", true},
			{"view", "create", "sandboxes", false},
			{"view", "create", "sandboxexecs", false},
			{"edit", "create", "sandboxes", true},
			{"edit", "create", "sandboxexecs", true},
			{"edit", "create", "sandboxproviders", false},
			{"admin", "create", "sandboxproviders", true},
			{"admin", "create", "clustersandboxproviders", false},
			{"admin", "patch", "sandboxes/status", false},
			{"sandbox-operator-sandbox-editor-role", "create", "sandboxes", true},
			{"sandbox-operator-sandbox-admin-role", "create", "sandboxexecs", false},
		} {
			assertion := Eventually(ctx, func() bool { return can(right.role, right.verb, right.resource) }).WithTimeout(testbed.Patience)
			assertion.Should(Equal(right.given), "%s may %s %s", right.role, right.verb, right.resource)
		}
	})
})

func rulesOf(ctx context.Context, bed *testbed.Bed, clusterRole string) []rbacv1.PolicyRule {
	GinkgoHelper()
	var role rbacv1.ClusterRole
	Expect(bed.Client.Get(ctx, client.ObjectKey{Name: clusterRole}, &role)).To(Succeed())
	return role.Rules
}
