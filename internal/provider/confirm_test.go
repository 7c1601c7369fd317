// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// slowReader answers a second after it was asked, with what is true when it is asked.
type slowReader struct {
	client.Reader
	reads   atomic.Int32
	deleted atomic.Bool
	// unkept says that the provider has no finalizer.
	unkept bool
}

func (r *slowReader) Get(ctx context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	r.reads.Add(1)
	object.SetUID("uid")
	if !r.unkept {
		object.SetFinalizers([]string{v1alpha1.InUseFinalizer})
	}
	if r.deleted.Load() {
		object.SetDeletionTimestamp(new(metav1.Now()))
	}
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func identity() v1alpha1.ProviderIdentity {
	return v1alpha1.ProviderIdentity{Kind: v1alpha1.KindSandboxProvider, Name: "p", UID: "uid", Backend: "memory"}
}

// underWay has as many reads begin as may be under way.
func underWay(t *testing.T, c *provider.Confirmer, group *sync.WaitGroup) {
	t.Helper()
	for range provider.ConfirmationsAtOnce {
		ctx := t.Context()
		group.Go(func() { NewWithT(t).Expect(c.Confirm(ctx, "ns", identity())).To(Succeed()) })
		synctest.Wait()
	}
}

func TestManyWhoConfirmAtOnceShareTheNextReadAndNeverOneThatBeganBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		reader := &slowReader{}
		c := &provider.Confirmer{Reader: reader}
		var group sync.WaitGroup
		underWay(t, c, &group)
		g.Expect(reader.reads.Load()).To(BeEquivalentTo(provider.ConfirmationsAtOnce))
		// What is true from now on, the reads that are under way do not say.
		reader.deleted.Store(true)
		for range 50 {
			group.Go(func() {
				g.Expect(c.Confirm(t.Context(), "ns", identity())).To(MatchError(ContainSubstring("is being deleted")))
			})
		}
		group.Wait()
		g.Expect(reader.reads.Load()).To(BeEquivalentTo(provider.ConfirmationsAtOnce + 1))
	})
}

func TestWhoConfirmsWaitsForNoReadButItsOwnWhileFewAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		reader := &slowReader{}
		c := &provider.Confirmer{Reader: reader}
		var group sync.WaitGroup
		group.Go(func() { g.Expect(c.Confirm(t.Context(), "ns", identity())).To(Succeed()) })
		synctest.Wait()
		time.Sleep(time.Second / 2)
		reader.deleted.Store(true)
		asked := time.Now()
		g.Expect(c.Confirm(t.Context(), "ns", identity())).To(MatchError(ContainSubstring("is being deleted")))
		g.Expect(time.Since(asked)).To(Equal(time.Second))
		group.Wait()
	})
}

func TestWhoseLeaderIsCalledOffConfirmsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		reader := &slowReader{}
		c := &provider.Confirmer{Reader: reader}
		leading, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		others := t.Context()
		underWay(t, c, &group)
		group.Go(func() { g.Expect(c.Confirm(leading, "ns", identity())).To(MatchError(context.Canceled)) })
		synctest.Wait()
		group.Go(func() { g.Expect(c.Confirm(others, "ns", identity())).To(Succeed()) })
		synctest.Wait()
		cancel()
		group.Wait()
		g.Expect(reader.reads.Load()).To(BeEquivalentTo(provider.ConfirmationsAtOnce+1), "who was called off has read nothing")
	})
}

func TestConfirmTellsAnotherProviderOfTheName(t *testing.T) {
	g := NewWithT(t)
	other := identity()
	other.UID = "another"
	synctest.Test(t, func(t *testing.T) {
		c := &provider.Confirmer{Reader: &slowReader{}}
		err := c.Confirm(t.Context(), "ns", other)
		_, ok := provider.IsSetup(err)
		g.Expect(ok).To(BeTrue())
		g.Expect(err).To(MatchError(ContainSubstring("another has its name")))
	})
}

func TestConfirmTellsAProviderThatNobodyKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &provider.Confirmer{Reader: &slowReader{unkept: true}}
		err := c.Confirm(t.Context(), "ns", identity())
		NewWithT(t).Expect(err).To(MatchError(apierrors.IsConflict, "conflict"))
	})
}
