// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// prefixed is a label, annotation or finalizer of ours.
var prefixed = regexp.MustCompile("`(" + v1alpha1.GroupVersion.Group + "/[a-z-]+)`")

func TestEveryNameIsExplainedAndNoOther(t *testing.T) {
	text := pages(t)["docs/reference/names.md"]
	names := constants(t, "names.go", "")
	if len(names) < 11 {
		t.Fatalf("only %d names are found", len(names))
	}
	// These two are internal/provider's own.
	known := []string{"sandboxes.run/provider", "sandboxes.run/endpoint"}
	for constant, name := range names {
		known = append(known, name)
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/reference/names.md does not explain %s (%s)", name, constant)
		}
	}
	for _, match := range prefixed.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(known, match[1]) {
			t.Errorf("docs/reference/names.md explains %s, which does not exist", match[1])
		}
	}
}

func TestEveryErrorIsExplained(t *testing.T) {
	text := pages(t)["docs/reference/errors.md"]
	for _, code := range backends.Codes() {
		if !strings.Contains(text, "\n| `"+string(code)+"` |") {
			t.Errorf("docs/reference/errors.md has no row for %s", code)
		}
	}
}

func TestEveryConditionIsExplained(t *testing.T) {
	text := pages(t)["docs/concepts.md"]
	conditions := constants(t, "conditions.go", "Condition")
	if len(conditions) < 9 {
		t.Fatalf("only %d conditions are found", len(conditions))
	}
	for constant, name := range conditions {
		if !strings.Contains(text, "\n| `"+name+"` |") {
			t.Errorf("the table of conditions in docs/concepts.md has no row for %s (%s)", name, constant)
		}
	}
}
