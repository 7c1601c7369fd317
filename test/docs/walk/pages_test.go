// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package walk_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/docs/page"
)

// programs are what a page needs of this machine, beside a shell and kubectl: most of them in its sandboxes.
var programs = map[string][]string{
	"README.md":                     {"python3"},
	"docs/api-by-example.md":        {"python3"},
	"docs/files.md":                 {"python3"},
	"docs/one-shots.md":             {"python3"},
	"docs/running-code.md":          {"python3", "node", "awk", "bash"},
	"docs/tasks/agent-tools.md":     {"python3", "jq"},
	"docs/tasks/ci-pipeline.md":     {"python3"},
	"docs/tasks/dev-environment.md": {"python3"},
	"docs/tasks/evaluation.md":      {"python3"},
	"docs/tasks/notebook.md":        {"python3"},
}

// dryRun are pages of which the API server is asked only whether it would take their manifests, with the reason.
var dryRun = map[string]string{
	"docs/providers/daytona.md":    "needs an account at Daytona; test/system/daytona plays it against a fake",
	"docs/providers/e2b.md":        "needs an account at E2B; test/system/e2b plays it against a fake",
	"docs/providers/kubernetes.md": "needs nodes; make e2e plays it in a real cluster",
	"docs/scaling.md":              "needs several instances; test/system/shards has them",
}

// notRun are pages whose commands are not typed, with the reason.
var notRun = map[string]string{
	"docs/kubectl-sandbox.md":  "needs the plugin on the PATH; internal/plugin has each command, on a real operator",
	"docs/alerts.md":           "looks at an operator that is in trouble; test/observability has the alerts fire",
	"docs/observability.md":    "needs the operator in a cluster, and a Prometheus; test/observability runs one",
	"docs/install.md":          "installs the operator; test/install and make e2e do that, the same ways",
	"docs/e2e.md":              "starts a test suite",
	"docs/chaos.md":            "starts a test suite",
	"docs/performance.md":      "starts a benchmark",
	"docs/adding-a-backend.md": "is about code that is not there yet",
	"docs/releasing.md":        "makes a release; test/release makes one, too",
	"SECURITY.md":              "is about a release; test/release makes one, and checks it like that",
}

func TestPages(t *testing.T) {
	pages, err := page.ReadAll(root)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, p := range pages {
		if len(p.Blocks()) == 0 {
			continue
		}
		t.Run(strings.TrimSuffix(p.Name, ".md"), func(t *testing.T) {
			t.Parallel()
			for _, program := range programs[p.Name] {
				if !hasProgram(program) {
					t.Skipf("the page needs %s in /usr/bin of this machine: install it", program)
				}
			}
			r := newReader(t, p)
			r.follow(p.Blocks())
			r.ends()
		})
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	if !hasProgram("python3") {
		t.Skip("sandboxes without an image need python3 in /usr/bin of this machine: install it")
	}
	r := newReader(t, page.Page{Name: "config/samples"})
	samples, err := filepath.Glob(filepath.Join(root, "config", "samples", "*.yaml"))
	r.Expect(err).NotTo(HaveOccurred())
	for _, sample := range samples {
		switch name := filepath.Base(sample); {
		case name == "kustomization.yaml":
		case strings.HasPrefix(name, "clustersandboxprovider"):
			r.types("kubectl apply --dry-run=server -f "+sample, "")
		default:
			r.types("kubectl apply -f "+sample, "")
		}
	}
	r.ends()
}

func TestWhatIsNotTriedIsThere(t *testing.T) {
	g := NewWithT(t)
	for _, name := range slices.Sorted(maps.Keys(notRun)) {
		g.Expect(filepath.Join(root, name)).To(BeAnExistingFile(), "it is on the list of what is not run")
	}
	for _, name := range slices.Sorted(maps.Keys(dryRun)) {
		g.Expect(filepath.Join(root, name)).To(BeAnExistingFile(), "it is on the list of what is dry run")
	}
}

// rewrite puts other texts into the blocks of a page.
func rewrite(p page.Page, texts map[int]string) error {
	text := p.Text
	blocks := p.Blocks()
	for _, i := range slices.Backward(slices.Sorted(maps.Keys(texts))) {
		text = text[:blocks[i].Start] + texts[i] + text[blocks[i].End:]
	}
	return os.WriteFile(filepath.Join(root, p.Name), []byte(text), 0o644)
}
