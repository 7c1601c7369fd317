// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

// finished is a run that ended with this exit code, and left /report.
func finished(code int32) *v1alpha1.SandboxExec {
	run := &v1alpha1.SandboxExec{ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: "run-1", UID: "u"}}
	run.Spec.TTLSecondsAfterFinished = new(int32(3600))
	run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue}}
	run.Status.Outcome, run.Status.ExitCode = v1alpha1.OutcomeSucceeded, &code
	if code != 0 {
		run.Status.Outcome = v1alpha1.OutcomeFailed
	}
	run.Status.Outputs = []v1alpha1.OutputStatus{
		{Name: "/report", State: v1alpha1.OutputKept, Content: "precious"}, {Name: "/log", State: v1alpha1.OutputMissing},
	}
	return run
}

func TestAResultThatCanNotBeWrittenHereIsKept(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		local      string
		exit, want int32
		kept       bool
	}{
		"written":              {local: filepath.Join(dir, "report")},
		"not written":          {local: filepath.Join(dir, "gone", "report"), want: cli.CodeFault, kept: true},
		"not written, exit 3":  {local: filepath.Join(dir, "gone", "report"), exit: 3, want: 3, kept: true},
		"written, with exit 3": {local: filepath.Join(dir, "report"), exit: 3, want: 3},
		"to standard output":   {local: "-"},
	} {
		t.Run(name, func(t *testing.T) {
			g, said := NewWithT(t), &bytes.Buffer{}
			streams := genericiooptions.IOStreams{Out: &bytes.Buffer{}, ErrOut: said}
			r := &runFlags{f: cli.NewFactory(streams, "test")}
			run := finished(c.exit)
			api := fake.NewClientBuilder().WithScheme(r.f.Scheme()).WithObjects(run).Build()
			err := r.follow(t.Context(), &runs.Runner{Client: api, Notes: said}, run, []result{{"/report", c.local}})
			g.Expect(cli.ExitCode(err, said)).To(BeEquivalentTo(c.want))
			stays := api.Get(t.Context(), client.ObjectKeyFromObject(run), &v1alpha1.SandboxExec{})
			if !c.kept {
				g.Expect(apierrors.IsNotFound(stays)).To(BeTrue(), "it is to be deleted")
				g.Expect(said.String()).To(BeEmpty())
				return
			}
			g.Expect(stays).NotTo(HaveOccurred(), "it is the only copy")
			g.Expect(said.String()).To(And(HavePrefix("error: writing "+c.local), HaveSuffix(
				"; kubectl get sandboxexec -n here run-1 -o yaml has it, until 1h0m0s after the run's end\n")))
		})
	}
}

func TestAFileThatTheCommandDidNotLeaveIsSaidBesideItsExitCode(t *testing.T) {
	g, said := NewWithT(t), &bytes.Buffer{}
	r := &runFlags{f: cli.NewFactory(genericiooptions.IOStreams{Out: &bytes.Buffer{}, ErrOut: said}, "test")}
	run := finished(3)
	api := fake.NewClientBuilder().WithScheme(r.f.Scheme()).WithObjects(run).Build()
	err := r.follow(t.Context(), &runs.Runner{Client: api, Notes: said}, run, []result{{"/log", "log"}})
	g.Expect(cli.ExitCode(err, said)).To(Equal(3))
	g.Expect(said.String()).To(Equal("error: there is no /log in the sandbox\n"))
}

func TestWhereResultsGoIsThereBeforeTheRun(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	for _, local := range []string{"-", dir, dir + "/", dir + "/new", "new"} {
		_, err := resultsOf([]string{"/report:" + local}, "")
		g.Expect(err).NotTo(HaveOccurred(), local)
	}
	g.Expect(os.WriteFile(dir+"/file", nil, 0o600)).To(Succeed())
	for _, local := range []string{dir + "/none/new", dir + "/none/", dir + "/file/new"} {
		_, err := resultsOf([]string{"/report:" + local}, "")
		g.Expect(err).To(MatchError(ContainSubstring("there is no directory "+dir)), local)
	}
}
