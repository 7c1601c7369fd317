// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package structure_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// notAString is what YAML 1.1, which kubectl reads, takes for a boolean or for nothing where it stands without quotes: a field
// "on" would arrive as "true".
var notAString = regexp.MustCompile(`^(?i:y|yes|n|no|true|false|on|off|null|~)$`)

func TestNoNameOfTheAPINeedsQuotesInYAML(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config", "crd", "bases", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(content, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, version := range crd.Spec.Versions {
			// What people write. Conditions of the status are True and False everywhere.
			eachName(crd.Spec.Names.Kind+".spec", version.Schema.OpenAPIV3Schema.Properties["spec"], func(where, name string) {
				names++
				if notAString.MatchString(name) {
					t.Errorf("%s: %q needs quotes in YAML, which nobody will think of: call it otherwise", where, name)
				}
			})
		}
	}
	if names < 100 {
		t.Errorf("only %d names were looked at", names)
	}
}

// eachName shows every field and every value of an enum.
func eachName(where string, schema apiextensionsv1.JSONSchemaProps, see func(where, name string)) {
	for name, property := range schema.Properties {
		see(where, name)
		eachName(where+"."+name, property, see)
	}
	for _, value := range schema.Enum {
		var name any
		if err := yaml.Unmarshal(value.Raw, &name); err == nil {
			see(where, fmt.Sprint(name))
		}
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		eachName(where, *schema.Items.Schema, see)
	}
}
