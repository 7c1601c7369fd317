// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package structure_test holds what the compiler does not: which way imports point, what belongs to a backend, and what
// every file begins with.
package structure_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/all"
)

const (
	module = "github.com/sandbox-operator/sandbox-operator"
	root   = "../.."
)

// rules say which of our packages a part of the house may import, beside itself: "x" is one package, "x/..." all below as
// well. The first rule whose part has the package decides. Tests are free.
var rules = []struct {
	part string
	may  []string
}{
	{"api/...", nil},
	{"internal/backends", nil},
	{"internal/backends/all", []string{"internal/backends/..."}},
	{"internal/backends/...", []string{"internal/backends", "internal/backends/web", "internal/backends/wrapper"}},
	{"internal/metrics", nil},
	{"internal/slim", []string{"api/..."}},
	{"internal/tracing", []string{"api/..."}},
	{"internal/provider/...", []string{"internal/backends", "internal/metrics", "internal/tracing", "api/..."}},
	{"internal/execution/...", []string{"internal/provider/...", "internal/backends", "api/..."}},
	{"internal/inventory/...", []string{"internal/provider/...", "internal/backends", "api/..."}},
	{"internal/controller/...", []string{
		"internal/provider/...", "internal/execution/...", "internal/inventory/...", "internal/backends", "internal/metrics",
		"internal/tracing", "api/...",
	}},
	{"internal/manager", []string{
		"internal/controller", "internal/provider/...", "internal/backends", "internal/metrics", "internal/slim", "internal/tracing",
		"api/...",
	}},
	{"internal/plugin/...", []string{"api/...", "pkg/client/..."}},
	{"cmd/kubectl-sandbox/...", []string{"internal/plugin"}},
	{"cmd/...", []string{"..."}},
	{"config/...", nil},
	{"pkg/client/...", []string{"api/..."}},
	{"pkg/sandboxtest/...", []string{
		"api/...", "pkg/client/...", "config/...", "internal/controller", "internal/backends", "internal/backends/memory",
		"internal/execution/...",
	}},
	{"test/...", []string{"..."}},
	{"hack/...", []string{"..."}},
}

// onlyIn are packages that few may import.
var onlyIn = map[string][]string{
	"internal/backends/all":         {"cmd/...", "test/..."},
	"internal/backends/memory":      {"test/...", "pkg/sandboxtest"},
	"internal/backends/conformance": {"test/..."},
	"test/...":                      {"test/...", "hack/..."},
}

// has says whether a pattern of the rules has the package.
func has(pattern, name string) bool {
	prefix, below := strings.CutSuffix(pattern, "...")
	prefix = strings.TrimSuffix(prefix, "/")
	return name == prefix || below && (prefix == "" || strings.HasPrefix(name, prefix+"/"))
}

func anyHas(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return has(pattern, name) })
}

// sourcePackage is what go list says of one of ours, by its path in the module.
type sourcePackage struct {
	ImportPath string
	Imports    []string
}

// sourcePackages lists our packages, and of their imports ours.
func sourcePackages(t *testing.T) []sourcePackage {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports", "./...")
	list.Dir = root
	var stderr bytes.Buffer
	list.Stderr = &stderr
	output, err := list.Output()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, &stderr)
	}
	var packages []sourcePackage
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p sourcePackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		var ours []string
		for _, imported := range p.Imports {
			if name, ok := strings.CutPrefix(imported, module+"/"); ok {
				ours = append(ours, name)
			}
		}
		p.Imports = ours
		packages = append(packages, p)
	}
}

func TestImportsPointOneWay(t *testing.T) {
	packages := sourcePackages(t)
	if len(packages) < 5 {
		t.Fatalf("only %d packages are found", len(packages))
	}
	for _, p := range packages {
		i := slices.IndexFunc(rules, func(rule struct {
			part string
			may  []string
		},
		) bool {
			return has(rule.part, p.ImportPath)
		})
		if i < 0 {
			t.Errorf("package %s has no rule: say here what it may import", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			itself := strings.HasPrefix(imported, p.ImportPath+"/") || strings.HasPrefix(p.ImportPath, imported+"/") ||
				sibling(rules[i].part, p.ImportPath, imported)
			if !itself && !anyHas(rules[i].may, imported) {
				t.Errorf("%s imports %s; it may import %q", p.ImportPath, imported, rules[i].may)
			}
		}
	}
}

// sibling says whether both packages are of the same part. Backends are a part each.
func sibling(part, importing, imported string) bool {
	if strings.HasPrefix(part, "internal/backends") {
		return false
	}
	return has(part, importing) && has(part, imported)
}

func TestFewMayImportWhatIsForFew(t *testing.T) {
	for _, p := range sourcePackages(t) {
		for _, imported := range p.Imports {
			for pattern, who := range onlyIn {
				if has(pattern, imported) && !anyHas(who, p.ImportPath) {
					t.Errorf("%s imports %s, which is for %q and tests", p.ImportPath, imported, who)
				}
			}
		}
	}
}

func TestTheRulesCanFail(t *testing.T) {
	for pattern, names := range map[string][2]string{
		"internal/backends":     {"internal/backends", "internal/backends/local"},
		"internal/backends/...": {"internal/backends/local", "internal/backendsx"},
		"...":                   {"anything", ""},
	} {
		if !has(pattern, names[0]) || names[1] != "" && has(pattern, names[1]) {
			t.Errorf("pattern %s does not do what it should", pattern)
		}
	}
	if sibling("internal/backends/...", "internal/backends/a", "internal/backends/b") {
		t.Error("one backend may import another")
	}
}

var (
	backendName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	keyName     = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)
)

func TestBackendsHaveDistinctNames(t *testing.T) {
	owners := map[string]string{}
	for _, registration := range all.Registry().All() {
		for _, name := range append([]string{registration.Name}, registration.Aliases...) {
			if !backendName.MatchString(name) {
				t.Errorf("backend %s has the name %q: lower case letters, digits and dashes only", registration.Name, name)
			}
			if other, taken := owners[name]; taken {
				t.Errorf("backends %s and %s both have the name %q", other, registration.Name, name)
			}
			owners[name] = registration.Name
		}
	}
}

func TestBackendsAreWhole(t *testing.T) {
	for _, registration := range all.Registry().All() {
		t.Run(registration.Name, func(t *testing.T) {
			checkRegistration(t, registration)
			checkFiles(t, registration)
		})
	}
}

// checkRegistration complains of an entry that leaves a user or the operator without an answer.
func checkRegistration(t *testing.T, r backends.Registration) {
	t.Helper()
	for what, missing := range map[string]bool{
		"a summary": r.Summary == "", "Setup.Where": r.Setup.Where == "", "New": r.New == nil,
		"a create deadline": r.CreateDeadline <= 0,
	} {
		if missing {
			t.Errorf("it lacks %s", what)
		}
	}
	for _, key := range r.Setup.Keys {
		if !keyName.MatchString(key.Name) || key.Description == "" {
			t.Errorf("credential key %+v can't be a Secret's key, or has no description", key)
		}
	}
	known := []backends.Capability{
		backends.CapabilityImage, backends.CapabilityTemplate, backends.CapabilitySnapshot, backends.CapabilityResources,
		backends.CapabilityGPU, backends.CapabilityUser, backends.CapabilityNetwork, backends.CapabilityLifetime,
		backends.CapabilityPause, backends.CapabilityEndpoints, backends.CapabilityLabels, backends.CapabilityCode,
	}
	for _, capability := range r.Capabilities {
		if !slices.Contains(known, capability) {
			t.Errorf("capability %q is not one that conformance tests", capability)
		}
	}
}

// checkFiles complains of what docs/adding-a-backend.md asks for and isn't there.
func checkFiles(t *testing.T, r backends.Registration) {
	t.Helper()
	page := path.Join("docs", "providers", r.Name+".md")
	if r.Setup.Docs != page {
		t.Errorf("Setup.Docs is %q, not %q", r.Setup.Docs, page)
	}
	if _, err := os.Stat(filepath.Join(root, page)); err != nil {
		t.Errorf("it has no page %s", page)
	}
	test := path.Join("internal", "backends", r.Name, "conformance_test.go")
	source, err := os.ReadFile(filepath.Join(root, test))
	if err != nil || !bytes.Contains(source, []byte("conformance.Describe(")) {
		t.Errorf("it does not call the conformance suite in %s", test)
	}
	sample := regexp.MustCompile(`(?m)^\s+backend: ["']?` + regexp.QuoteMeta(r.Name) + `["']?\s*(#.*)?$`)
	if !anyFile(t, filepath.Join(root, "config", "samples"), sample.Match) {
		t.Errorf("no sample in config/samples has \"backend: %s\"", r.Name)
	}
}

// anyFile says whether the content of a file below the directory matches.
func anyFile(t *testing.T, dir string, match func([]byte) bool) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		found = found || match(content)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

func TestGoFilesBeginWithTheLicence(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "node_modules", "vendor", "testdata"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		seen++
		return checkLicence(t, name)
	})
	if err != nil || seen < 20 {
		t.Errorf("looked at %d files: %v", seen, err)
	}
}

// checkLicence complains of a file that was written by hand and does not begin with the licence.
func checkLicence(t *testing.T, name string) error {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	licensed := false
	lines := bufio.NewScanner(file)
	for n := 0; n < 30 && lines.Scan(); n++ {
		if strings.HasPrefix(lines.Text(), "// Code generated ") && strings.HasSuffix(lines.Text(), " DO NOT EDIT.") {
			return nil
		}
		licensed = licensed || n == 1 && lines.Text() == "// SPDX-License-Identifier: Apache-2.0"
	}
	if !licensed {
		t.Errorf("%s does not begin with the copyright and licence lines", name)
	}
	return lines.Err()
}
