// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package install_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

const chart = "charts/sandbox-operator"

// helm renders the chart as a release of the name that config/default's names begin with.
func helm(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	fixed := []string{"helm", "template", "sandbox-operator", chart, "--namespace", testbed.Namespace}
	return tool(ctx, append(fixed, arguments...)...)
}

// objectsOf are the objects by kind and name, without what differs on purpose: who manages them, and labels of the release.
func objectsOf(manifest string) map[string]any {
	GinkgoHelper()
	found := map[string]any{}
	for _, object := range documents(manifest) {
		key := strings.Join([]string{object.GetKind(), object.GetNamespace(), object.GetName()}, " ")
		Expect(found).NotTo(HaveKey(key), "it comes twice")
		found[key] = without(object.Object)
	}
	return found
}

var ofRelease = []string{
	"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart", "helm.sh/resource-policy",
}

func without(value any) any {
	switch v := value.(type) {
	case map[string]any:
		left := map[string]any{}
		for key, inner := range v {
			if !slices.Contains(ofRelease, key) {
				left[key] = without(inner)
			}
		}
		return left
	case []any:
		for i := range v {
			v[i] = without(v[i])
		}
	}
	return value
}

// expectSame complains of each object that only one has, or that differs.
func expectSame(chart, kustomize map[string]any) {
	GinkgoHelper()
	Expect(slices.Sorted(maps.Keys(chart))).To(Equal(slices.Sorted(maps.Keys(kustomize))))
	for key, object := range kustomize {
		want, err := json.MarshalIndent(object, "", " ")
		Expect(err).NotTo(HaveOccurred())
		got, err := json.MarshalIndent(chart[key], "", " ")
		Expect(err).NotTo(HaveOccurred())
		Expect(string(got)).To(Equal(string(want)), key)
	}
}

// setting is a line of values.yaml that has a value.
var setting = regexp.MustCompile(`^\s*[a-zA-Z]+: \S`)

// resource are lines that mean in the chart what they mean in a pod.
var resource = regexp.MustCompile(`^\s+(requests:|limits:|cpu:|memory:)`)

var _ = Describe("The Helm chart", func() {
	It("gives the same objects as config/default", func(ctx context.Context) {
		want := objectsOf(tool(ctx, "kustomize", "build", "config/default"))
		delete(want, "Namespace  "+testbed.Namespace) // Helm makes it: --create-namespace
		expectSame(objectsOf(helm(ctx, "--set", "image.tag=latest")), want)
	})

	It("gives the same objects as config/namespaced", func(ctx context.Context) {
		manifest := tool(ctx, "kustomize", "build", "config/namespaced")
		want := objectsOf(strings.ReplaceAll(manifest, "$(POD_NAMESPACE)", testbed.Namespace))
		got := objectsOf(helm(ctx, "--set", "image.tag=latest", "--set", "namespaces={"+testbed.Namespace+"}",
			"--set", "crds.install=false", "--set", "userRoles.create=false", "--set", "admissionPolicy.create=false"))
		expectSame(got, want)
	})

	It("gives namespaces the roles of config/namespaced/workspace, or that for sandboxes as pods", func(ctx context.Context) {
		got := objectsOf(helm(ctx, "--set", "namespaces={team-a}", "--set", "kubernetesBackend.namespaces={boxes}"))
		for _, object := range documents(tool(ctx, "kustomize", "build", "config/namespaced/workspace")) {
			object.SetNamespace("team-a")
			key := strings.Join([]string{object.GetKind(), "team-a", object.GetName()}, " ")
			Expect(got).To(HaveKey(key))
			made, _ := got[key].(map[string]any)
			(&unstructured.Unstructured{Object: made}).SetLabels(nil)
			Expect(made).To(Equal(object.Object), key)
		}
		Expect(got).To(HaveKey("RoleBinding boxes sandbox-operator-sandbox-pods-rolebinding"))
		unbound, _ := got["ClusterRole  sandbox-operator-sandbox-pods"].(map[string]any)
		Expect(got["Role boxes sandbox-operator-sandbox-pods-role"]).To(HaveKeyWithValue("rules", unbound["rules"]))
	})

	It("gives the same objects as config/prometheus, where values ask for them", func(ctx context.Context) {
		plain := objectsOf(helm(ctx))
		got := objectsOf(helm(ctx, "--set", "metrics.serviceMonitor.create=true,metrics.alerts.create=true,metrics.dashboard.create=true",
			"--set", "metrics.serviceMonitor.readers[0].name=prometheus-k8s,metrics.serviceMonitor.readers[0].namespace=monitoring"))
		maps.DeleteFunc(got, func(key string, _ any) bool { return plain[key] != nil })
		expectSame(got, objectsOf(tool(ctx, "kustomize", "build", "config/prometheus")))
	})

	It("is well-formed to Helm's own linter", func(ctx context.Context) {
		Expect(tool(ctx, "helm", "lint", "--strict", chart)).To(ContainSubstring("0 chart(s) failed"))
	})

	It("keeps the CRDs when it is uninstalled, and upgrades them with the release", func(ctx context.Context) {
		for _, object := range documents(helm(ctx)) {
			if object.GetKind() == "CustomResourceDefinition" {
				Expect(object.GetAnnotations()).To(HaveKeyWithValue("helm.sh/resource-policy", "keep"))
			}
		}
		Expect(filepath.Join(repository(), chart, "crds")).NotTo(BeADirectory(), "Helm would never upgrade what is in there")
	})

	It("explains each value, and knows no other", func() {
		text, err := os.ReadFile(filepath.Join(repository(), chart, "values.yaml"))
		Expect(err).NotTo(HaveOccurred())
		var values map[string]any
		Expect(yaml.Unmarshal(text, &values)).To(Succeed())
		content, err := os.ReadFile(filepath.Join(repository(), chart, "values.schema.json"))
		Expect(err).NotTo(HaveOccurred())
		var schema struct{ Properties map[string]any }
		Expect(json.Unmarshal(content, &schema)).To(Succeed())
		delete(schema.Properties, "global") // Helm's own
		Expect(slices.Sorted(maps.Keys(schema.Properties))).To(Equal(slices.Sorted(maps.Keys(values))))
		explained := false
		for line := range strings.Lines(string(text)) {
			outer := regexp.MustCompile(`^[a-zA-Z]+:$`).MatchString(strings.TrimRight(line, "\n"))
			if setting.MatchString(line) {
				Expect(explained).To(BeTrue(), "no comment stands above %s", line)
			}
			// A group's comment serves for its first value, and Kubernetes' own resources need none.
			explained = strings.HasPrefix(strings.TrimSpace(line), "#") || explained && (outer || resource.MatchString(line))
		}
	})

	DescribeTable("refuses values that are", func(ctx context.Context, set, complaint string) {
		command := exec.CommandContext(ctx, filepath.Join("hack", "tool"), "helm", "template", "x", chart, "--set", set)
		command.Dir = repository()
		output, err := command.CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(output)).To(ContainSubstring(complaint))
	},
		Entry("unknown", "replcas=3", "replcas"),
		Entry("of the wrong type", "replicas=many", "/replicas"),
		Entry("no namespaces", "namespaces={Team_A}", "/namespaces/0"),
		Entry("the backend that uses the operator's own machine", "backends={local}", "/backends/0"),
	)

	It("can be installed, upgraded and uninstalled, and the operator works with its rights", func(ctx context.Context) {
		bed := newBed(ctx)
		kubectl(ctx, bed, "", "delete", "crds", "--all") // those of the bed are not the release's
		cluster := []string{"helm", "--kubeconfig", bed.Plane.Kubeconfig, "--namespace", testbed.Namespace}
		release := func(arguments ...string) string {
			return tool(ctx, slices.Concat(cluster, arguments)...)
		}
		said := release("install", "sandbox-operator", chart)
		Expect(said).To(ContainSubstring("kubectl get deployment -n " + testbed.Namespace + " sandbox-operator-controller-manager"))
		probes := startInstalled(bed, deployment(helm(ctx)))
		Eventually(ctx, func() string { return answer(ctx, probes, "/readyz") }).WithTimeout(testbed.Patience).Should(HavePrefix("200 "))
		bed.Create(ctx, builders.MakeClusterProvider("local", "local").Obj())
		room := bed.NewRoom(ctx)
		box := room.Ready(ctx, room.Sandbox("box"))

		release("upgrade", "sandbox-operator", chart, "--set", "replicas=3")
		Expect(kubectl(ctx, bed, "", "get", "deployment", "-n", testbed.Namespace, "sandbox-operator-controller-manager",
			"-o", "jsonpath={.spec.replicas}")).To(Equal("3"))
		bed.EventuallyReady(ctx, box)

		release("uninstall", "sandbox-operator")
		Expect(kubectl(ctx, bed, "", "get", "sandboxes.sandboxes.run", "-A", "-o", "name")).To(ContainSubstring("box"),
			"uninstalling the release should delete no Sandbox")
		Expect(kubectl(ctx, bed, "", "get", "clusterroles,clusterrolebindings,validatingadmissionpolicies", "-o", "name")).NotTo(
			ContainSubstring("sandbox"))
	})
})
