// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// spec is how docs/security.md names one: the folder, and the name of a test or the text of a spec.
var spec = regexp.MustCompile("`((?:internal|test)/[a-z0-9/]+): ([^`]+)`")

func TestThePageNamesSpecsThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := spec.FindAllSubmatch(page, -1)
	if len(named) < 25 {
		t.Fatalf("only %d are found", len(named))
	}
	for _, match := range named {
		if folder, name := string(match[1]), match[2]; !exists(t, folder, name) {
			t.Errorf("no test in %s has the name %q", folder, name)
		}
	}
}

func TestASpecThatDoesNotExistIsNotFound(t *testing.T) {
	if exists(t, "test/security", []byte("keeps the moon "+"from falling")) {
		t.Error("it is found")
	}
}

// exists says whether a Go test has the name, or a spec, entry or container the text.
func exists(t *testing.T, folder string, name []byte) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	wanted := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(string(name)) + `\(|(?:It|Entry|DescribeTable|Describe|Context)\("` +
		regexp.QuoteMeta(string(name)) + `"`)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if wanted.Match(content) && !strings.HasSuffix(file, "/page_test.go") {
			return true
		}
	}
	return false
}
