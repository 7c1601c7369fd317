// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// runnerWith has an API server that answers like this.
func runnerWith(t *testing.T, answers interceptor.Funcs) *Runner {
	t.Helper()
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	return &Runner{Client: fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(answers).Build()}
}

func aRun() *v1alpha1.SandboxExec {
	return &v1alpha1.SandboxExec{ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: "run-1"}}
}

func TestCtrlCEndsTheMakingOfARunWhenNobodyAnswers(t *testing.T) {
	g, asked := NewWithT(t), make(chan os.Signal)
	r := runnerWith(t, interceptor.Funcs{
		Create: func(ctx context.Context, _ client.WithWatch, _ client.Object, _ ...client.CreateOption) error {
			asked <- os.Interrupt
			<-ctx.Done()
			return ctx.Err()
		},
	})
	r.Interrupts = asked
	err := r.Create(t.Context(), aRun(), nil)
	failure, _ := errors.AsType[*cli.Failure](err)
	g.Expect(failure).To(HaveValue(HaveField("Code", cli.CodeCancelled)))
}

func TestCtrlCWhileARunIsMadeLeavesNoneThatWasMadeAllTheSame(t *testing.T) {
	g, asked := NewWithT(t), make(chan os.Signal)
	r := runnerWith(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			asked <- os.Interrupt
			return c.Create(context.WithoutCancel(ctx), o, options...)
		},
	})
	r.Interrupts = asked
	g.Expect(r.Create(t.Context(), aRun(), nil)).To(MatchError(ContainSubstring("cancelled")))
	list := &v1alpha1.SandboxExecList{}
	g.Expect(r.Client.List(t.Context(), list)).To(Succeed())
	g.Expect(list.Items).To(BeEmpty())
}

// fullDisk is one.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAFullDiskEndsNoRunAndHasItKept(t *testing.T) {
	g, notes := NewWithT(t), &bytes.Buffer{}
	r := runnerWith(t, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			t.Error("the run was cancelled")
			return nil
		},
	})
	r.Notes = notes
	exec, err := aRun(), &bytes.Buffer{}
	f := r.follower(exec, Streams{Out: fullDisk{}, Err: err})
	exec.Status.Stdout, exec.Status.Stderr = progressOf("one\n"), progressOf("warning\n")
	done, failed := f.see(t.Context())
	g.Expect(failed).NotTo(HaveOccurred())
	g.Expect(done).To(BeFalse())
	g.Expect(notes.String()).To(ContainSubstring("no space left on device; nothing more of stdout is printed"))

	exec.Spec.TTLSecondsAfterFinished = new(int32(3600))
	exec.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue}}
	exec.Status.Outcome, exec.Status.ExitCode = v1alpha1.OutcomeFailed, new(int32(3))
	exec.Status.Stderr = &v1alpha1.StreamStatus{
		Bytes: new(int64(10)), Retention: v1alpha1.RetentionComplete, Encoding: v1alpha1.EncodingUTF8, Head: "warning\nx\n",
	}
	done, failed = f.see(t.Context())
	g.Expect(done).To(BeTrue())
	g.Expect(IsUnprinted(failed)).To(BeTrue(), "the caller is to keep it")
	failure, _ := errors.AsType[*cli.Failure](failed)
	g.Expect(failure.Code).To(Equal(3))
	g.Expect(failure).To(MatchError("printing the output: no space left on device; " +
		"kubectl sandbox logs -n here run-1 has it, until 1h0m0s after the run's end"))
	g.Expect(err.String()).To(Equal("warning\nx\n"), "the other stream goes on")
}
