// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

func TestRunsAreReadInPagesAndTheNewestAreKept(t *testing.T) {
	g, scheme := NewWithT(t), runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// Each page has one run of the sandbox and one of another; the last page has the oldest.
	list := func(_ context.Context, _ client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
		asked := (&client.ListOptions{}).ApplyOptions(options)
		g.Expect(asked.Limit).To(BeNumerically(">", 0), "all at once")
		page := len(asked.Continue)
		var items []runtime.Object
		for _, of := range []string{"box", "other"} {
			run := &v1alpha1.SandboxExec{ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("%s-%d", of, page), CreationTimestamp: metav1.NewTime(began.Add(-time.Duration(page) * time.Minute)),
			}}
			run.Status.SandboxName = of
			items = append(items, run)
		}
		if page < 7 {
			into.SetContinue(asked.Continue + "+")
		}
		return meta.SetList(into, items)
	}
	r := &reader{Client: fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{List: list}).Build()}
	newest, all := r.runsIn(t.Context(), "box")
	g.Expect(all).To(Equal(8))
	g.Expect(newest).To(HaveLen(mostRuns))
	for i := range newest {
		g.Expect(newest[i].Name).To(Equal(fmt.Sprintf("box-%d", i)))
	}
}
