// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

var manifest = regexp.MustCompile("(?ms)^```yaml\n(.*?\n)```")

var _ = DescribeTable("The manifests of a page are taken by a real API server",
	func(ctx SpecContext, page string, least int) {
		text, err := os.ReadFile("../../docs/" + page)
		Expect(err).NotTo(HaveOccurred())
		ns, tried := newNamespace(ctx), 0
		for _, block := range manifest.FindAllStringSubmatch(string(text), -1) {
			for document := range strings.SplitSeq(block[1], "---\n") {
				var object unstructured.Unstructured
				Expect(yaml.Unmarshal([]byte(document), &object.Object)).To(Succeed())
				if !strings.HasPrefix(object.GetKind(), "Cluster") {
					object.SetNamespace(ns)
				}
				err := k8s.Create(ctx, &object, client.DryRunAll, client.FieldValidation("Strict"))
				Expect(err).NotTo(HaveOccurred(), document)
				tried++
			}
		}
		Expect(tried).To(BeNumerically(">=", least))
	},
	Entry("sandboxes", "sandboxes.md", 9), Entry("leaks", "leaks.md", 2),
)
