// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/pkg/sandboxtest"
)

// app is what somebody keeps in Git, with names that kustomize changes.
var app = map[string]string{
	"kustomization.yaml": `
namePrefix: shop-
resources: [app.yaml]
configMapGenerator:
- name: settings
  literals: [mode=fast]
secretGenerator:
- name: keys
  literals: [token=t0ken-t0ken]
configurations: [namereference.yaml]
`,
	"app.yaml": `
apiVersion: sandboxes.run/v1alpha1
kind: SandboxProvider
metadata: {name: account}
spec:
  backend: e2b
  credentials: {secretRef: {name: keys}}
---
apiVersion: sandboxes.run/v1alpha1
kind: Sandbox
metadata: {name: box}
spec:
  providerRef: {kind: SandboxProvider, name: account}
  envFrom:
  - configMapRef: {name: settings}
  files:
  - path: /etc/mode
    contentFrom: {configMapKeyRef: {name: settings, key: mode}}
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata: {name: job}
spec:
  sandboxRef: {name: box}
  command: ["true"]
  env:
  - name: TOKEN
    valueFrom: {secretKeyRef: {name: keys, key: token}}
`,
}

// build writes the app with its files changed, and builds it.
func build(ctx context.Context, namespace string, change map[string]string) map[string]*unstructured.Unstructured {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	references, err := os.ReadFile(filepath.Join(root, "config", "kustomize", "namereference.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(dir, "namereference.yaml"), references, 0o600)).To(Succeed())
	for name, text := range app {
		for old, other := range change {
			text = strings.ReplaceAll(text, old, other)
		}
		Expect(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)).To(Succeed())
	}
	built := map[string]*unstructured.Unstructured{}
	for _, o := range manifests(kustomize(ctx, dir), namespace) {
		built[o.GetKind()] = o
	}
	return built
}

var _ = Describe("A kustomization with our kinds", func() {
	It("has references follow the names that kustomize changes, and works", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		built := build(ctx, namespace, nil)
		settings, keys := built["ConfigMap"].GetName(), built["Secret"].GetName()
		Expect(settings).To(HavePrefix("shop-settings-"))
		Expect(built["SandboxProvider"].Object["spec"]).To(HaveKeyWithValue("credentials",
			HaveKeyWithValue("secretRef", HaveKeyWithValue("name", keys))))
		Expect(built["Sandbox"].Object["spec"]).To(HaveKeyWithValue("providerRef", HaveKeyWithValue("name", "shop-account")))
		Expect(built["SandboxExec"].Object["spec"]).To(HaveKeyWithValue("sandboxRef", HaveKeyWithValue("name", "shop-box")))
		for _, o := range built {
			Expect(apply(ctx, o)).To(BeTrue())
		}
		becomes(ctx, built["SandboxExec"].DeepCopy(), healthy, degraded)
		ran := operator.Commands(sandboxtest.Exec(namespace, "shop-job"))
		Expect(ran).To(HaveLen(1))
		Expect(ran[0].Env).To(And(HaveKeyWithValue("TOKEN", "t0ken-t0ken"), HaveKeyWithValue("mode", "fast")))
	})

	It("is refused where its immutable fields change, until the object is replaced or has another name", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		built := build(ctx, namespace, nil)
		for _, o := range built {
			Expect(apply(ctx, o)).To(BeTrue())
		}
		job := built["SandboxExec"].DeepCopy()
		becomes(ctx, job, healthy, degraded)

		// A generator's hash changes the reference, and so the spec.
		changed := build(ctx, namespace, map[string]string{"mode=fast": "mode=slow"})
		_, err := apply(ctx, changed["Sandbox"])
		Expect(err).To(MatchError(ContainSubstring("immutable")))
		other := build(ctx, namespace, map[string]string{`["true"]`: `["false"]`})["SandboxExec"]
		_, err = apply(ctx, other)
		Expect(err).To(MatchError(ContainSubstring("command is immutable: create another SandboxExec to run another command")))

		// Argo CD's Replace=true alone is kubectl replace, which is refused as well; with Force=true it deletes and makes anew, also
		// what did not change: the page warns of that.
		file := filepath.Join(GinkgoT().TempDir(), "job.yaml")
		text, err := yaml.Marshal(other.Object)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
		said, err := kubectl(ctx, "replace", "-f", file)
		Expect(err).To(HaveOccurred())
		Expect(said).To(ContainSubstring("command is immutable"))
		for runs := 1; runs <= 2; runs++ {
			_, err = kubectl(ctx, "replace", "--force", "-f", file)
			Expect(err).NotTo(HaveOccurred())
			Eventually(func() []sandboxtest.Command {
				return operator.Commands(sandboxtest.All(sandboxtest.InNamespace(namespace), sandboxtest.Program("false")))
			}).Should(HaveLen(runs))
		}

		// Another name is another run, and the old one stays until it is pruned.
		renamed := build(ctx, namespace, map[string]string{"name: job": "name: job-2"})["SandboxExec"]
		Expect(apply(ctx, renamed)).To(BeTrue())
		becomes(ctx, renamed.DeepCopy(), healthy, degraded)
	})

	It("can be pruned all at once, and leaves nothing at the provider", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		built := build(ctx, namespace, nil)
		for _, o := range built {
			Expect(apply(ctx, o)).To(BeTrue())
		}
		becomes(ctx, built["Sandbox"].DeepCopy(), healthy, degraded)
		// The worst order there is: what the Sandbox needs goes before the Sandbox.
		var order []*unstructured.Unstructured
		for _, kind := range []string{"Secret", "ConfigMap", "SandboxProvider", "Sandbox", "SandboxExec"} {
			order = append(order, built[kind])
		}
		removeAll(ctx, order)
		for _, left := range operator.Sandboxes() {
			Expect(left.Namespace).NotTo(Equal(namespace), "a sandbox is left")
		}
	})
})

// kubectl runs a real one, and returns all that it said.
func kubectl(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, plane.Kubectl, append([]string{"--kubeconfig", plane.Kubeconfig}, arguments...)...)
	said, err := command.CombinedOutput()
	return string(said), err
}

var _ = Describe("The name references for kustomize", func() {
	It("are all fields of our kinds in which names of other objects stand", func(ctx SpecContext) {
		text, err := os.ReadFile(filepath.Join(root, "config", "kustomize", "namereference.yaml"))
		Expect(err).NotTo(HaveOccurred())
		var shipped struct {
			NameReference []struct {
				Kind       string
				FieldSpecs []struct{ Path, Kind string }
			} `json:"nameReference"`
		}
		Expect(yaml.Unmarshal(text, &shipped)).To(Succeed())
		var found []string
		for _, reference := range shipped.NameReference {
			for _, field := range reference.FieldSpecs {
				found = append(found, field.Kind+" "+field.Path+" -> "+reference.Kind)
			}
		}
		var crds apiextensionsv1.CustomResourceDefinitionList
		Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
		lister, err := client.New(plane.Config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
		Expect(lister.List(ctx, &crds)).To(Succeed())
		var wanted []string
		for _, crd := range crds.Items {
			spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
			wanted = append(wanted, references(crd.Spec.Names.Kind, "spec", spec)...)
		}
		slices.Sort(found)
		slices.Sort(wanted)
		Expect(found).To(Equal(wanted))
	})
})

// referents are what the fields of these names refer to.
var referents = map[string][]string{
	"configMapKeyRef": {"ConfigMap"}, "configMapRef": {"ConfigMap"}, "secretKeyRef": {"Secret"}, "secretRef": {"Secret"},
	"sandboxRef": {"Sandbox"}, "providerRef": {"SandboxProvider", "ClusterSandboxProvider"},
}

// references lists what kustomize must be told of a schema.
func references(kind, path string, schema apiextensionsv1.JSONSchemaProps) []string {
	var found []string
	if schema.Items != nil && schema.Items.Schema != nil {
		return references(kind, path, *schema.Items.Schema)
	}
	for name, property := range schema.Properties {
		for _, referent := range referents[name] {
			found = append(found, kind+" "+path+"/"+name+"/name -> "+referent)
		}
		found = append(found, references(kind, path+"/"+name, property)...)
	}
	return found
}
