// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/inventory"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

func figuring() *providerReconciler {
	return &providerReconciler{
		shared: &shared{figures: newFigures(), places: &places{}, doors: &provider.Doors{}},
		empty:  func() client.Object { return &v1alpha1.SandboxProvider{} }, memories: newMemories(), looks: newLooks(),
	}
}

// passOver is one over a provider of the name p.
func passOver(r *providerReconciler, uid types.UID) *providerPass {
	object := &v1alpha1.SandboxProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: uid}}
	return &providerPass{providerReconciler: r, provider: provider.Of(object)}
}

// shown are the values of a gauge, one for each time it is said.
func (f *figures) shown(asked *metrics.Gauge) []float64 {
	var values []float64
	f.observe(func(gauge *metrics.Gauge, value float64, _ ...string) {
		if gauge == asked {
			values = append(values, value)
		}
	})
	return values
}

// refusing is an API server that takes no writes.
type refusing struct {
	client.Client

	err error
}

var errRefused = errors.New("refused")

func (r refusing) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	return r.err
}

func TestLeasesAreDueThoughThePassIsCutOffBeforeThem(t *testing.T) {
	r := figuring()
	r.client = refusing{err: errRefused}
	p := passOver(r, "uid")
	p.provider.Object.SetAnnotations(map[string]string{v1alpha1.AcceptLossesAnnotation: "true"})
	p.verdict, p.leasesDue = &inventory.Verdict{}, 2
	if err := p.conclude(t.Context(), errRefused); !errors.Is(err, errRefused) {
		t.Fatalf("the pass should be cut off: %v", err)
	}
	if got := r.figures.shown(metrics.LeasesDue); len(got) != 1 || got[0] != 2 {
		t.Errorf("two leases are due and were not renewed, and metrics say %v", got)
	}
}

func TestFiguresOfAProviderThatWasNeverOpenedGoWithIt(t *testing.T) {
	r := figuring()
	r.figures.note(passOver(r, "uid"))
	if len(r.figures.shown(metrics.ProviderReady)) != 1 {
		t.Fatal("a provider without its Secret should be shown as not Ready")
	}
	r.forget("ns", "p")
	if got := r.figures.shown(metrics.ProviderReady); len(got) != 0 {
		t.Errorf("it is gone, and is shown still: %v", got)
	}
}

func TestAProviderThatWasMadeAgainIsShownAlone(t *testing.T) {
	r := figuring()
	first := passOver(r, "first")
	first.verdict, first.snapshot.At, first.leasesDue = &inventory.Verdict{Visible: 3}, time.Now(), 2
	r.figures.note(first)
	r.figures.note(passOver(r, "second"))
	if got := r.figures.shown(metrics.ProviderReady); len(got) != 1 {
		t.Errorf("one provider has the name, and %d are shown", len(got))
	}
	if got := r.figures.shown(metrics.LeasesDue); len(got) != 0 {
		t.Errorf("what is due of the one that is gone is said of the one that was made since: %v", got)
	}
	r.forget("ns", "p")
	if got := r.figures.shown(metrics.ProviderReady); len(got) != 0 {
		t.Errorf("it is gone, and is shown still: %v", got)
	}
}
