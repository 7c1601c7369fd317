// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs_test keeps the documentation true: its YAML has only fields that exist, every reason that a user can meet is
// explained, and its links lead somewhere.
package docs_test

import (
	"bufio"
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/docs/page"
)

const root = "../.."

// pages returns the content of every Markdown file that is for readers, by its path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all, err := page.ReadAll(root)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range all {
		found[p.Name] = p.Text
	}
	return found
}

func TestYAMLInTheDocsHasOnlyFieldsThatExist(t *testing.T) {
	decoder := strictDecoder(t)
	checked := 0
	all, err := page.ReadAll(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		for _, block := range p.Blocks() {
			if block.Language == "yaml" {
				checked += checkManifests(t, decoder, p.Name, []byte(block.Text+"\n"))
			}
		}
	}
	samples, err := filepath.Glob(filepath.Join(root, "config", "samples", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range samples {
		content, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		checked += checkManifests(t, decoder, sample, content)
	}
	if checked < 20 {
		t.Errorf("only %d manifests were found: are the blocks still called yaml?", checked)
	}
}

func TestTheDecoderRefusesWhatDoesNotExist(t *testing.T) {
	decoder := strictDecoder(t)
	for _, manifest := range []string{
		"apiVersion: sandboxes.run/v1alpha1\nkind: Sandbox\nspec: {comand: [a]}\n",
		"apiVersion: sandboxes.run/v1alpha1\nkind: Sandboxes\n",
	} {
		if _, _, err := decoder.Decode([]byte(manifest), nil, nil); err == nil {
			t.Errorf("it takes %q", manifest)
		}
	}
}

func strictDecoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
}

// checkManifests complains of manifests of this API that can't be decoded strictly, and returns how many there are.
func checkManifests(t *testing.T, decoder runtime.Decoder, where string, content []byte) int {
	t.Helper()
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for checked := 0; ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return checked
		}
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if !bytes.Contains(document, []byte("apiVersion: "+v1alpha1.GroupVersion.Group+"/")) {
			continue
		}
		checked++
		if _, _, err := decoder.Decode(document, nil, nil); err != nil {
			t.Errorf("%s: %v in\n%s", where, err, document)
		}
	}
}

func TestEveryReasonIsExplained(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	reasons := constants(t, "conditions.go", "Reason")
	outcomes := constants(t, "sandboxexec_types.go", "Outcome")
	if len(reasons) < 20 || len(outcomes) < 5 {
		t.Fatalf("only %d reasons and %d outcomes are found", len(reasons), len(outcomes))
	}
	maps.Copy(reasons, outcomes)
	for name, value := range reasons {
		if !bytes.Contains(page, []byte("`"+value+"`")) {
			t.Errorf("docs/troubleshooting.md does not explain %s (%s)", value, name)
		}
	}
}

func TestEveryStateOfOutputIsExplained(t *testing.T) {
	all := pages(t)
	for _, of := range []struct{ file, prefix, page string }{
		{"execstreams_types.go", "Retention", "docs/running-commands.md"},
		{"execoutputs_types.go", "Output", "docs/files.md"},
	} {
		states := constants(t, of.file, of.prefix)
		if len(states) < 7 {
			t.Errorf("only %d constants %s are found", len(states), of.prefix)
		}
		for name, value := range states {
			if !strings.Contains(all[of.page], "`"+value+"`") {
				t.Errorf("%s does not explain %s (%s)", of.page, value, name)
			}
		}
	}
}

// constants returns the string constants of a file of the API whose names begin with the prefix.
func constants(t *testing.T, file, prefix string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api", "v1alpha1", file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if !strings.HasPrefix(name.Name, prefix) || i >= len(spec.Values) {
				continue
			}
			if literal, ok := spec.Values[i].(*ast.BasicLit); ok {
				found[name.Name], _ = strconv.Unquote(literal.Value)
			}
		}
		return true
	})
	return found
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?\n```")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		for _, match := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(match[1], "#")
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, match[1])
				continue
			}
			if anchor != "" && !hasHeading(all[target], anchor) {
				t.Errorf("%s links to %s, but there is no such heading", name, match[1])
			}
		}
	}
}

// hasHeading says whether a page has a heading with this anchor, as code hosts make them.
func hasHeading(text, anchor string) bool {
	for _, match := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(match[1]), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return true
		}
	}
	return false
}
