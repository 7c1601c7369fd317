// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// How long one waits at most in these tests, and how many at once.
const (
	longest = time.Second
	most    = 100
)

func TestACrowdBeginsInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := newStagger(longest, most)
		crowd := comeTo(t.Context(), s, "crowded", 2*creationsAtOnce)
		g.Expect(crowd.begun).To(HaveLen(creationsAtOnce), "who may begin at once")

		for range 3 {
			(<-crowd.begun)()
		}
		synctest.Wait()
		g.Expect(crowd.begun).To(HaveLen(creationsAtOnce), "who began where three journals stand")

		for range 2*creationsAtOnce - 3 {
			begun := <-crowd.begun
			begun()
			begun()
			synctest.Wait()
		}
		g.Expect(crowd.came()).To(BeZero(), "how long they waited in all")
		g.Expect(s.namespaces).To(BeEmpty(), "what is remembered of those who have begun")
	})
}

func TestAnotherNamespaceDoesNotWaitForACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := newStagger(longest, most)
		crowd := comeTo(t.Context(), s, "crowded", most)
		alone := comeTo(t.Context(), s, "quiet", 1)
		g.Expect(alone.begun).To(HaveLen(1))
		g.Expect(alone.came()).To(BeZero())
		crowd.came()
	})
}

func TestACreationBeginsAfterAMomentHoweverManyThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := newStagger(longest, most)
		const all = creationsAtOnce + most
		crowd := comeTo(t.Context(), s, "crowded", all)
		time.Sleep(longest)
		synctest.Wait()
		g.Expect(crowd.begun).To(HaveLen(all), "who began, though no journal stands")

		for range all {
			(<-crowd.begun)()
		}
		g.Expect(crowd.came()).To(And(BeNumerically(">", longest/2), BeNumerically("<=", longest)))
		g.Expect(s.namespaces).To(BeEmpty())
	})
}

func TestThoseWhoCameTogetherDoNotBeginTogetherAfterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := newStagger(longest, most)
		crowd := comeTo(t.Context(), s, "crowded", creationsAtOnce+most)
		time.Sleep(longest * 3 / 4)
		synctest.Wait()
		g.Expect(len(crowd.begun)).To(And(
			BeNumerically(">", creationsAtOnce+most/10), BeNumerically("<", creationsAtOnce+most*9/10)))
		crowd.came()
	})
}

func TestWorkersAreNotAllKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := newStagger(longest, most)
		crowd := comeTo(t.Context(), s, "crowded", creationsAtOnce+most)
		late := comeTo(t.Context(), s, "crowded", 5)
		g.Expect(late.came()).To(BeZero())
		g.Expect(late.begun).To(HaveLen(5))

		crowd.came()
		g.Expect(s.waiting).To(BeEmpty())
	})
}

func TestNoCreationBeginsOnceThePassIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		s := newStagger(longest, most)
		crowd := comeTo(t.Context(), s, "crowded", creationsAtOnce)
		ctx, cut := context.WithCancel(t.Context())
		late := comeTo(ctx, s, "crowded", 1)
		cut()
		g.Expect(late.came()).To(BeZero())
		g.Expect(late.begun).To(BeEmpty())

		for range creationsAtOnce {
			(<-crowd.begun)()
		}
		g.Expect(s.namespaces).To(BeEmpty(), "what is remembered of one who did not begin")
	})
}

func TestNoCreationBeginsOnceTheManagerEnds(t *testing.T) {
	for name, others := range map[string]int{"with a free turn": 0, "without": creationsAtOnce} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				s := newStagger(longest, most)
				comeTo(t.Context(), s, "crowded", others)
				ctx, stop := context.WithCancel(t.Context())
				pass := reconcile.Func(func(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
					stop()
					_, _, may := s.begin(ctx, "crowded")
					g.Expect(may).To(BeFalse())
					return ctrl.Result{}, nil
				})
				came := time.Now()
				_, err := unhurried{pass}.Reconcile(ctx, ctrl.Request{})
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(time.Since(came)).To(BeZero())
			})
		})
	}
}

// creations are some that came together.
type creations struct {
	// begun gets what each has to call once its journal stands.
	begun chan func()
	// came is how long until the last began, or was told that it may not.
	came func() time.Duration
}

// comeTo has so many creations come, and returns once nothing moves.
func comeTo(ctx context.Context, s *stagger, namespace string, number int) creations {
	came, begun, ended := time.Now(), make(chan func(), number), make(chan time.Duration, number)
	for range number {
		go func() {
			one, _, may := s.begin(ctx, namespace)
			if may {
				begun <- one
			}
			ended <- time.Since(came)
		}()
	}
	synctest.Wait()
	return creations{begun: begun, came: func() time.Duration {
		var longest time.Duration
		for range number {
			longest = max(longest, <-ended)
		}
		return longest
	}}
}
