// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package walk_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/docs/page"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// reader follows one page, in a namespace and a folder of its own.
type reader struct {
	*WithT
	t         *testing.T
	page      page.Page
	namespace string
	// folder is where the reader types: the repository's own folders are there, files that the page names, and those of testdata/PAGE.
	folder     string
	kubeconfig string
	// wanted are the ends of runs that do not simply succeed, "Outcome/Reason" by name.
	wanted map[string]string
	// seen has the text that blocks should have, by their index, where the pages are to be brought up to date.
	seen map[int]string
}

var (
	// update brings pages up to date, and fill gives commands without output what they print: for pages that are new.
	update = os.Getenv("DOCS_UPDATE") != ""
	fill   = os.Getenv("DOCS_UPDATE") == "fill"
	// looks is a command that can be repeated until its answer is the page's.
	looks = regexp.MustCompile(`^kubectl (get|describe|explain|auth|api-resources|logs) `)
	// cancels is one that changes a run, which has started by then.
	cancels = regexp.MustCompile(`^kubectl patch sbxe ([-a-z0-9]+) .*Cancelled`)
	// complaint is what kubectl prints when it fails.
	complaint = regexp.MustCompile(`(?m)^(The \S+ "[^"]*" is invalid|Error from server|error: )`)
	// fileName is a file's name at the head of a block, which a reader saves under that name.
	fileName = regexp.MustCompile(`^# ([a-z][-_a-z0-9]*\.(yaml|sh|py))\n`)
	// here is the namespace that the pages mean by default.
	here = regexp.MustCompile(`(-n |--namespace |--namespace=|namespace |-n=)default\b`)
)

func newReader(t *testing.T, p page.Page) *reader {
	t.Helper()
	g := NewWithT(t)
	room := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "room-"}}
	g.Expect(bed.Client.Create(t.Context(), room)).To(Succeed())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(bed.Report(room.Name))
		}
		if err := deleted(context.WithoutCancel(t.Context()), room); err != nil {
			t.Error(err)
		}
	})
	r := &reader{
		WithT: g, t: t, page: p, namespace: room.Name, folder: t.TempDir(), wanted: map[string]string{}, seen: map[int]string{},
	}
	r.kubeconfig = filepath.Join(r.folder, "kubeconfig")
	config, err := clientcmd.LoadFromFile(bed.Plane.Kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	for _, c := range config.Contexts {
		c.Namespace = room.Name
	}
	g.Expect(clientcmd.WriteToFile(*config, r.kubeconfig)).To(Succeed())
	saved := filepath.Join("testdata", strings.TrimSuffix(filepath.Base(p.Name), ".md"))
	if _, err := os.Stat(saved); err == nil {
		g.Expect(os.CopyFS(r.folder, os.DirFS(saved))).To(Succeed())
	}
	for _, name := range []string{"config", "charts", "hack", "docs"} {
		g.Expect(os.Symlink(filepath.Join(root, name), filepath.Join(r.folder, name))).To(Succeed())
	}
	return r
}

// follow follows the page.
func (r *reader) follow(blocks []page.Block) {
	r.t.Helper()
	for i, block := range blocks {
		for end := range strings.FieldsSeq(block.Notes[page.NoteEnds]) {
			name, how, _ := strings.Cut(end, "=")
			r.wanted[name] = how
		}
		if before := block.Notes[page.NoteBefore]; before != "" {
			for line := range strings.Lines(r.types(before, "")) {
				r.deletesAtTheEnd(line)
			}
		}
		switch block.Language {
		case "yaml":
			r.applies(block)
		case "console":
			r.console(i, block)
		case "sh":
			r.script(block)
		case "python":
			r.Expect(r.saves(block)).To(BeTrue(), "%s begins with no name of a file", r.where(block))
		}
	}
	if len(r.seen) > 0 {
		r.Expect(rewrite(r.page, r.seen)).To(Succeed())
	}
}

func (r *reader) where(block page.Block) string { return fmt.Sprintf("%s:%d", r.page.Name, block.Line) }

// leftOut says whether the commands of a block are not typed, and tells so.
func (r *reader) leftOut(block page.Block) bool {
	why := block.Notes[page.NoteNotRun] + notRun[r.page.Name] + dryRun[r.page.Name]
	if why != "" {
		r.t.Logf("%s is not run: %s", r.where(block), why)
	}
	return why != ""
}

// saves saves a block that begins with the name of a file.
func (r *reader) saves(block page.Block) bool {
	r.t.Helper()
	match := fileName.FindStringSubmatch(block.Text)
	if match == nil {
		return false
	}
	r.Expect(os.WriteFile(filepath.Join(r.folder, match[1]), []byte(block.Fill(block.Text)+"\n"), 0o600)).To(Succeed())
	return true
}

// applies applies the manifests of a block.
func (r *reader) applies(block page.Block) {
	r.t.Helper()
	r.saves(block)
	if why := block.Notes[page.NoteNotRun] + notRun[r.page.Name]; why != "" {
		r.t.Logf("%s is not applied: %s", r.where(block), why)
		return
	}
	line := "kubectl apply -f -"
	if why := block.Notes[page.NoteDryRun] + dryRun[r.page.Name]; why != "" {
		r.t.Logf("%s is only dry run: %s", r.where(block), why)
		line = "kubectl apply --dry-run=server -f -"
	}
	output := r.types(line, strings.ReplaceAll(block.Fill(block.Text), "namespace: default\n", "namespace: "+r.namespace+"\n"))
	for line := range strings.Lines(output) {
		r.deletesAtTheEnd(line)
	}
}

// deletesAtTheEnd has an object deleted at the end that does not go with the namespace.
func (r *reader) deletesAtTheEnd(line string) {
	name, said, _ := strings.Cut(strings.TrimSpace(line), " ")
	ofCluster := strings.HasPrefix(name, "clustersandboxprovider.") || strings.HasPrefix(name, "namespace/")
	if said == "created" && ofCluster {
		r.t.Cleanup(func() {
			command := "kubectl delete --ignore-not-found --wait=false " + name
			if said, err := shell(context.Background(), r.folder, r.kubeconfig, command, ""); err != nil {
				r.t.Errorf("%s: %s", command, said)
			}
		})
	}
}

func (r *reader) script(block page.Block) {
	r.t.Helper()
	if !r.saves(block) && !r.leftOut(block) {
		exit := cmp.Or(block.Notes[page.NoteExits], "0")
		r.types("set +e; (set -e\n"+block.Fill(block.Text)+"\n); [ $? = "+exit+" ]", "")
	}
}

func (r *reader) console(index int, block page.Block) {
	r.t.Helper()
	if r.leftOut(block) {
		return
	}
	entries := block.Entries()
	stale := false
	for i, entry := range entries {
		if match := cancels.FindStringSubmatch(entry.Command); match != nil {
			r.types("kubectl wait --for=condition=Started --timeout=60s sbxe/"+match[1], "")
		}
		got, same := r.sees(block, entry)
		if !same && update {
			entries[i].Output, stale = got, true
			continue
		}
		if !same {
			r.t.Fatalf("%s shows, after %s\n%s\nbut what comes is\n%s", r.where(block), entry.Command, entry.Output, got)
		}
	}
	if stale {
		r.seen[index] = page.Console(entries)
	}
}

// sees types a command, and says whether it prints what the page shows. What only looks may look again, until it is so.
func (r *reader) sees(block page.Block, entry page.Entry) (string, bool) {
	r.t.Helper()
	command, wanted := block.Fill(entry.Command), page.Lasting(block.Fill(entry.Output))
	patience := 3 * testbed.Patience
	if update {
		patience = 12 * time.Second
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got, err := r.tries(command, "")
		got = strings.ReplaceAll(got, r.namespace, "default")
		same := page.Lasting(got) == wanted
		if fill && entry.Output == "" {
			same = got == "" && !looks.MatchString(command)
		} else if block.Notes[page.NoteVaries] != "" || entry.Output == "" && !looks.MatchString(command) {
			same = err == nil
		}
		if !complaint.MatchString(entry.Output) && err != nil {
			same = false
		}
		if same || !looks.MatchString(command) || time.Now().After(deadline) {
			return got, same
		}
	}
}

// types runs a line that has to succeed, and returns what it prints.
func (r *reader) types(line, stdin string) string {
	r.t.Helper()
	output, err := r.tries(line, stdin)
	if err != nil {
		r.t.Fatalf("%s: %v:\n%s\n%s", r.page.Name, err, line, output)
	}
	return output
}

func (r *reader) tries(line, stdin string) (string, error) {
	return shell(r.t.Context(), r.folder, r.kubeconfig, here.ReplaceAllString(line, "${1}"+r.namespace), stdin)
}

// shell runs a line as a person's shell does, and returns what it prints, without line feeds at the end.
func shell(ctx context.Context, folder, kubeconfig, line, stdin string) (string, error) {
	command := exec.CommandContext(ctx, "bash", "-c", line)
	command.Dir = folder
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+filepath.Dir(bed.Plane.Kubectl)+":"+os.Getenv("PATH"))
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	return strings.TrimRight(string(output), "\n"), err
}

// ends expects that all runs finish, each as the page says.
func (r *reader) ends() {
	r.t.Helper()
	var runs v1alpha1.SandboxExecList
	r.Expect(bed.Client.List(r.t.Context(), &runs, client.InNamespace(r.namespace))).To(Succeed())
	for i := range runs.Items {
		run := &runs.Items[i]
		wanted := cmp.Or(r.wanted[run.Name], r.wanted[strings.TrimSuffix(run.GenerateName, "-")], "Succeeded/Exited")
		r.Eventually(func(g Gomega) {
			g.Expect(bed.Client.Get(r.t.Context(), client.ObjectKeyFromObject(run), run)).To(Succeed())
			g.Expect(string(run.Status.Outcome)+"/"+run.Status.Reason).To(Equal(wanted), testbed.StateOf(run))
		}).WithTimeout(3 * testbed.Patience).WithPolling(100 * time.Millisecond).Should(Succeed())
	}
}
