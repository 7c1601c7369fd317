// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// flux is who applies, and how, in Flux's kustomize-controller.
var flux = []client.ApplyOption{client.FieldOwner("kustomize-controller"), client.ForceOwnership}

// apply applies as Flux does: a dry run first, and for real only where that differs from what there is. It says whether it did.
func apply(ctx context.Context, desired *unstructured.Unstructured) (bool, error) {
	live := desired.DeepCopy()
	err := k8s.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	dry := desired.DeepCopy()
	if dryErr := k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(dry), append([]client.ApplyOption{client.DryRunAll}, flux...)...); dryErr != nil {
		return false, dryErr
	}
	if err == nil && sameButForBookkeeping(live, dry) {
		return false, nil
	}
	return true, k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired.DeepCopy()), flux...)
}

// sameButForBookkeeping compares as Flux does: resourceVersion and managed fields mean nothing to a user.
func sameButForBookkeeping(a, b *unstructured.Unstructured) bool {
	GinkgoHelper()
	var texts [2][]byte
	for i, o := range []*unstructured.Unstructured{a, b} {
		o = o.DeepCopy()
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		text, err := o.MarshalJSON()
		Expect(err).NotTo(HaveOccurred())
		texts[i] = text
	}
	return bytes.Equal(texts[0], texts[1])
}

// manifests reads objects from YAML; those of a namespace get this one.
func manifests(text []byte, namespace string) []*unstructured.Unstructured {
	GinkgoHelper()
	var all []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		Expect(err).NotTo(HaveOccurred())
		json, err := yaml.YAMLToJSON(document)
		Expect(err).NotTo(HaveOccurred())
		if string(json) == "null" {
			continue
		}
		o := &unstructured.Unstructured{}
		Expect(o.UnmarshalJSON(json)).To(Succeed())
		if o.GetKind() != "ClusterSandboxProvider" && namespace != "" {
			o.SetNamespace(namespace)
		}
		all = append(all, o)
	}
}

// samples are all manifests of config/samples.
func samples(namespace string) []*unstructured.Unstructured {
	GinkgoHelper()
	files, err := filepath.Glob(filepath.Join(root, "config", "samples", "*_*.yaml"))
	Expect(err).NotTo(HaveOccurred())
	files = append(files, filepath.Join(root, "config", "samples", "sandbox.yaml"))
	var all []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		all = append(all, manifests(text, namespace)...)
	}
	return all
}

// kustomize builds a kustomization.
func kustomize(ctx context.Context, dir string) []byte {
	GinkgoHelper()
	command := exec.CommandContext(ctx, filepath.Join(root, "hack", "tool"), "kustomize", "build", dir)
	var stderr strings.Builder
	command.Stderr = &stderr
	built, err := command.Output()
	Expect(err).NotTo(HaveOccurred(), stderr.String())
	return built
}

// steps aside has the suite's own default provider be none until the spec is over.
func stepAside(ctx context.Context) {
	GinkgoHelper()
	mark := func(ctx context.Context, value string) {
		provider := &v1alpha1.ClusterSandboxProvider{}
		Expect(k8s.Get(ctx, client.ObjectKey{Name: "sandboxtest"}, provider)).To(Succeed())
		before := provider.DeepCopy()
		provider.Annotations[v1alpha1.DefaultProviderAnnotation] = value
		Expect(k8s.Patch(ctx, provider, client.MergeFrom(before))).To(Succeed())
	}
	mark(ctx, "false")
	DeferCleanup(func(ctx SpecContext) { mark(ctx, "true") })
}

var _ = Describe("Applying again what was applied", func() {
	It("changes nothing of the samples, also after the operator was at work on them", func(ctx SpecContext) {
		stepAside(ctx)
		namespace := newNamespace(ctx)
		all := samples(namespace)
		Expect(len(all)).To(BeNumerically(">=", 14))
		for _, desired := range all {
			if name, found, _ := unstructured.NestedString(desired.Object, "spec", "credentials", "secretRef", "name"); found {
				Expect(k8s.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
					Namespace: "sandbox-operator-system", Name: name,
				}})).To(Succeed())
			}
			Expect(apply(ctx, desired)).To(BeTrue(), "%s %s", desired.GetKind(), desired.GetName())
		}
		DeferCleanup(func(ctx SpecContext) { removeAll(ctx, all) })
		for _, desired := range all {
			if desired.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
				continue
			}
			live := desired.DeepCopy()
			Eventually(func(g Gomega) {
				g.Expect(health(refresh(ctx, live))).NotTo(Equal(progressing), "%v", live.Object["status"])
			}).Should(Succeed(), "%s %s", desired.GetKind(), desired.GetName())
			// Flux: the dry run, with the status that stands there, differs in nothing. The operator may write meanwhile.
			Eventually(func(g Gomega) {
				g.Expect(apply(ctx, desired)).To(BeFalse(), "%s %s is applied again", desired.GetKind(), desired.GetName())
			}).Should(Succeed())
			// And who applies without asking changes no resourceVersion.
			Eventually(func(g Gomega) {
				before := refresh(ctx, live).GetResourceVersion()
				again := desired.DeepCopy()
				g.Expect(k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(again), flux...)).To(Succeed())
				g.Expect(again.GetResourceVersion()).To(Equal(before))
			}).Should(Succeed())
			// Argo CD: what is desired is what there is, with no default in spec that has to be ignored.
			Expect(refresh(ctx, live).Object["spec"]).To(Equal(desired.Object["spec"]), "%s %s", desired.GetKind(), desired.GetName())
			for key, value := range desired.GetAnnotations() {
				Expect(live.GetAnnotations()).To(HaveKeyWithValue(key, value))
			}
		}
	})

	It("changes nothing of the operator's own installation", func(ctx SpecContext) {
		all := manifests(kustomize(ctx, filepath.Join(root, "config", "default")), "")
		Expect(len(all)).To(BeNumerically(">=", 20))
		// Namespaces and kinds first, as every tool has it.
		for _, first := range []bool{true, false} {
			for _, desired := range all {
				if early := desired.GetKind() == "Namespace" || desired.GetKind() == "CustomResourceDefinition"; early == first {
					_, err := apply(ctx, desired)
					Expect(err).NotTo(HaveOccurred())
				}
			}
		}
		for _, desired := range all {
			Eventually(func(g Gomega) {
				g.Expect(apply(ctx, desired)).To(BeFalse(), "%s %s is applied again", desired.GetKind(), desired.GetName())
			}).Should(Succeed())
		}
	})
})

// removeAll prunes: all at once, in whatever order.
func removeAll(ctx context.Context, all []*unstructured.Unstructured) {
	GinkgoHelper()
	for _, o := range all {
		Expect(client.IgnoreNotFound(k8s.Delete(ctx, o))).To(Succeed())
	}
	for _, o := range all {
		gone(ctx, o.DeepCopy())
	}
}
