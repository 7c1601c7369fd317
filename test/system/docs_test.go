// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// reader is somebody who follows a page from top to bottom: applies each manifest, and types each command.
type reader struct {
	*testbed.Room
	kubeconfig string
	// wanted are the ends of runs that do not simply succeed, "Outcome/Reason" by name.
	wanted map[string]string
}

var (
	// docBlock is a block of a page, with the comment before it that says how runs in it end.
	docBlock = regexp.MustCompile("(?ms)^(?:<!-- ends: ([^\n]*) -->\n)?```(yaml|console)\n(.*?)\n```$")
	// readRun is a command that reads results of a run, which is finished by then.
	readRun = regexp.MustCompile(`^kubectl get sbxe ([-a-z0-9]+) -o jsonpath=`)
	// patchRun is one that changes a run, which has started by then.
	patchRun = regexp.MustCompile(`^kubectl patch sbxe ([-a-z0-9]+) `)
	// readAny is one whose output is the same each time.
	readAny = regexp.MustCompile(`^kubectl get \S+ \S+ -o jsonpath=`)
)

func newReader(ctx context.Context) *reader {
	GinkgoHelper()
	room := bed.NewRoom(ctx)
	room.Create(ctx, builders.MakeProvider(room.Namespace, "local", "local").Default().Obj())
	config, err := clientcmd.LoadFromFile(bed.Plane.Kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	for _, c := range config.Contexts {
		c.Namespace = room.Namespace
	}
	r := &reader{Room: room, kubeconfig: filepath.Join(GinkgoT().TempDir(), "kubeconfig"), wanted: map[string]string{}}
	Expect(clientcmd.WriteToFile(*config, r.kubeconfig)).To(Succeed())
	return r
}

// types runs a line as a person's shell does, and returns what it prints.
func (r *reader) types(ctx context.Context, line, stdin string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, "bash", "-c", line)
	command.Env = append(os.Environ(), "KUBECONFIG="+r.kubeconfig, "PATH="+filepath.Dir(bed.Plane.Kubectl)+":"+os.Getenv("PATH"))
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", line, output)
	return strings.TrimRight(string(output), "\n")
}

// follow follows the page.
func (r *reader) follow(ctx context.Context, page string) {
	GinkgoHelper()
	for _, block := range docBlock.FindAllStringSubmatch(page, -1) {
		for end := range strings.FieldsSeq(block[1]) {
			name, how, _ := strings.Cut(end, "=")
			r.wanted[name] = how
		}
		if block[2] == "yaml" {
			r.types(ctx, "kubectl apply -f -", block[3])
			continue
		}
		for _, entry := range strings.Split("\n"+block[3], "\n$ ")[1:] {
			line, output, _ := strings.Cut(entry, "\n")
			r.see(ctx, line, strings.TrimRight(output, "\n"))
		}
	}
}

// see types the command of an example, and expects the output that the page shows, where that is the same each time. A line
// that ends with a comment shows something that passes.
func (r *reader) see(ctx context.Context, line, output string) {
	GinkgoHelper()
	if match := readRun.FindStringSubmatch(line); match != nil && !strings.Contains(line, " # ") {
		r.types(ctx, "kubectl wait --for=condition=Finished --timeout=60s sbxe/"+match[1], "")
	}
	if match := patchRun.FindStringSubmatch(line); match != nil {
		r.types(ctx, "kubectl wait --for=condition=Started --timeout=60s sbxe/"+match[1], "")
	}
	got := r.types(ctx, line, "")
	if readAny.MatchString(line) && !strings.Contains(line, " # ") {
		Expect(got).To(Equal(output), line)
	}
}

// ends expects that all runs finish, each as the page says.
func (r *reader) ends(ctx context.Context) {
	GinkgoHelper()
	var runs v1alpha1.SandboxExecList
	Expect(r.Client.List(ctx, &runs, client.InNamespace(r.Namespace))).To(Succeed())
	Expect(runs.Items).NotTo(BeEmpty())
	for i := range runs.Items {
		run := &runs.Items[i]
		r.EventuallyFinished(ctx, run)
		wanted := r.wanted[run.Name]
		if wanted == "" {
			wanted = "Succeeded/Exited"
		}
		Expect(string(run.Status.Outcome)+"/"+run.Status.Reason).To(Equal(wanted), testbed.StateOf(run))
	}
}

var _ = Describe("The documentation", func() {
	root, err := binaries.Root()
	if err != nil {
		panic(err)
	}

	DescribeTable("shows what happens",
		func(ctx context.Context, page string, programs ...string) {
			for _, program := range programs {
				needProgram(program)
			}
			content, err := os.ReadFile(filepath.Join(root, "docs", page))
			Expect(err).NotTo(HaveOccurred())
			r := newReader(ctx)
			r.follow(ctx, string(content))
			r.ends(ctx)
		},
		Entry(nil, "running-commands.md"),
		Entry(nil, "running-code.md", "python3", "node", "awk", "bash"),
		Entry(nil, "files.md", "python3"),
		Entry(nil, "one-shots.md", "python3"),
		Entry(nil, "exactly-once.md"),
	)

	It("has samples that work", func(ctx context.Context) {
		needProgram("python3")
		r := newReader(ctx)
		samples, err := filepath.Glob(filepath.Join(root, "config", "samples", "*.yaml"))
		Expect(err).NotTo(HaveOccurred())
		for _, sample := range samples {
			if name := filepath.Base(sample); name != "kustomization.yaml" && !strings.HasPrefix(name, "clustersandboxprovider") {
				r.types(ctx, "kubectl apply -f "+sample, "")
			}
		}
		r.ends(ctx)
	}, NodeTimeout(2*time.Minute))
})
