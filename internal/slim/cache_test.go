// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package slim_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/slim"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
)

// That output is left out rests on how a real API server writes: the outcome before the output, whether it lists, or tells of a change.
func TestACacheReadsNoOutputOfFinishedRunsFromARealAPIServer(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an API server")
	}
	g, ctx := NewWithT(t), t.Context()
	plane, err := controlplane.Start(ctx, controlplane.Options{CRDs: []string{"config/crd/bases"}})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = plane.Stop() }()
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	direct, err := client.New(plane.Config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())

	// end has a run end as the operator does: what it printed is there before the outcome, or with it.
	end := func(name string, changes ...func(*v1alpha1.SandboxExecStatus)) {
		exec := builders.MakeExec("default", name, "box").Command("true").Obj()
		g.Expect(direct.Create(ctx, exec)).To(Succeed())
		for _, change := range changes {
			before := exec.DeepCopy()
			change(&exec.Status)
			g.Expect(direct.Status().Patch(ctx, exec, client.MergeFrom(before))).To(Succeed())
		}
	}
	prints := func(s *v1alpha1.SandboxExecStatus) {
		s.StartTime, s.Attempt, s.Incarnation, s.SandboxID, s.SandboxUID = new(metav1.Now()), 1, 1, "id", "uid"
		s.Stdout = &v1alpha1.StreamStatus{
			Encoding: v1alpha1.EncodingUTF8, Head: "printed", Bytes: new(int64(7)), Retention: v1alpha1.RetentionComplete,
		}
	}
	finish := func(s *v1alpha1.SandboxExecStatus) {
		s.Outcome, s.ExitCode, s.CompletionTime = v1alpha1.OutcomeSucceeded, new(int32(0)), new(metav1.Now())
	}
	end("listed", prints, finish)
	end("runs", prints)

	objects, err := slim.NewCache(plane.Config, cache.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	following, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = objects.Start(following)
	}()
	defer func() {
		stop()
		<-ended
	}()
	// How soon it is started, and its informer has synced, is nobody's promise.
	cached := func(name string) (*v1alpha1.SandboxExec, error) {
		exec := &v1alpha1.SandboxExec{}
		return exec, objects.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, exec)
	}
	g.Eventually(func() (*v1alpha1.SandboxExec, error) { return cached("runs") }).WithTimeout(20*time.Second).
		Should(HaveField("Status.Stdout.Head", "printed"), "of a run that goes on, all is read")
	end("told-of", func(s *v1alpha1.SandboxExecStatus) {
		prints(s)
		finish(s)
	})
	for _, name := range []string{"listed", "told-of"} {
		g.Eventually(func(g Gomega) {
			exec, err := cached(name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded))
			g.Expect(exec.Status.Stdout.Head).To(BeEmpty())
			g.Expect(exec.Status.Stdout.Bytes).To(HaveValue(BeEquivalentTo(7)))
			g.Expect(exec.ManagedFields).To(BeEmpty())
		}).WithTimeout(20*time.Second).Should(Succeed(), name)
	}
	whole := &v1alpha1.SandboxExec{}
	g.Expect(direct.Get(ctx, client.ObjectKey{Namespace: "default", Name: "listed"}, whole)).To(Succeed())
	g.Expect(whole.Status.Stdout.Head).To(Equal("printed"), "who reads it live has it")
	g.Expect(whole.ManagedFields).NotTo(BeEmpty())
}
