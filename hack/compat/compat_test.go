// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

const root = "../.."

func TestWhatTheLastReleaseTookIsTaken(t *testing.T) {
	g := NewWithT(t)
	old, err := readFolder(filepath.Join(root, released))
	g.Expect(err).NotTo(HaveOccurred())
	current, err := readFolder(filepath.Join(root, bases))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(current).To(HaveLen(4))
	accepted, err := readAccepted(filepath.Join(root, "test/upgrade/testdata/accepted.txt"))
	g.Expect(err).NotTo(HaveOccurred())

	breaks := Compare(old, current)
	for _, line := range accepted {
		g.Expect(breaks).To(ContainElement(line), "accepted.txt has a line that nothing needs any more")
	}
	g.Expect(Unexpected(breaks, accepted)).To(BeEmpty(), "see docs/releasing.md")
}

// sandboxes are the CRD of this name, changed.
func sandboxes(t *testing.T, change func(spec *schema, definition *crd)) []crd {
	t.Helper()
	all, err := readFolder(filepath.Join(root, bases))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Spec.Names.Plural != "sandboxes" {
			continue
		}
		properties := all[i].Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
		spec := properties["spec"]
		change(&spec, &all[i])
		properties["spec"] = spec
		return all[i : i+1]
	}
	t.Fatal("there is no CRD sandboxes")
	return nil
}

// field changes a field of spec.
func field(name string, change func(field *schema)) func(*schema, *crd) {
	return func(spec *schema, _ *crd) {
		changed := spec.Properties[name]
		change(&changed)
		spec.Properties[name] = changed
	}
}

func TestAMinimumOfZeroRefusesWhatWasBelow(t *testing.T) {
	with := func(minimum *float64) []crd {
		return sandboxes(t, field("user", func(s *schema) { s.Minimum = minimum }))
	}
	NewWithT(t).Expect(Compare(with(nil), with(new(0.0)))).To(ConsistOf("Sandbox v1alpha1 .spec.user: minimum is 0 now"))
}

func TestWhatBreaksIsSeen(t *testing.T) {
	for what, of := range map[string]struct {
		change func(*schema, *crd)
		says   string
	}{
		"a field that is gone": {
			func(s *schema, _ *crd) { delete(s.Properties, "user") }, "Sandbox v1alpha1 .spec.user: the field is gone",
		},
		"a version that is gone": {
			func(_ *schema, c *crd) { c.Spec.Versions[0].Name = "v1" }, "Sandbox v1alpha1: the version is gone",
		},
		"a field that is required": {
			func(s *schema, _ *crd) { s.Required = append(s.Required, "user") }, "Sandbox v1alpha1 .spec.user: the field is required now",
		},
		"a value that is refused": {
			field("desiredState", func(s *schema) { s.Enum = s.Enum[:1] }),
			`Sandbox v1alpha1 .spec.desiredState: the value "Paused" is refused now`,
		},
		"a lower maximum": {
			field("user", func(s *schema) { s.MaxLength = new(int64(3)) }), "Sandbox v1alpha1 .spec.user: maxLength is 3 now",
		},
		"a higher minimum": {field("env", func(s *schema) { s.MinItems = new(int64(2)) }), "Sandbox v1alpha1 .spec.env: minItems is 2 now"},
		"a map that takes no keys": {
			field("remoteLabels", func(s *schema) { s.AdditionalProperties = nil }),
			"Sandbox v1alpha1 .spec.remoteLabels: it takes no keys of one's own any more",
		},
		"another default": {
			field("user", func(s *schema) { s.Default = &apiextensionsv1.JSON{Raw: []byte(`"root"`)} }),
			`Sandbox v1alpha1 .spec.user: the default changed from none to "root"`,
		},
		"another type": {
			field("user", func(s *schema) { s.Type = "integer" }),
			`Sandbox v1alpha1 .spec.user: the type changed from "string" to "integer"`,
		},
		"another way to merge": {
			field("env", func(s *schema) { s.XListType, s.XListMapKeys = new("atomic"), []string{"name"} }),
			`Sandbox v1alpha1 .spec.env: the list's type changed from "map" to "atomic"`,
		},
		"a rule": {
			field("user", func(s *schema) {
				s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: "self != 'root'"})
			}),
			"Sandbox v1alpha1 .spec.user: there is another rule: self != 'root'",
		},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(Compare(sandboxes(t, func(*schema, *crd) {}), sandboxes(t, of.change))).To(ContainElement(of.says))
		})
	}
	NewWithT(t).Expect(Compare(sandboxes(t, func(*schema, *crd) {}), sandboxes(t, func(*schema, *crd) {}))).To(BeEmpty())
	NewWithT(t).Expect(Compare(sandboxes(t, func(*schema, *crd) {}), nil)).To(ConsistOf(ContainSubstring("the kind is gone")))
}
