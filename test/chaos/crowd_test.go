// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos_test

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/chaos"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// What the environment may say of crowds.
const (
	// crowd is how many sandboxes there are, and outage how long their provider is away.
	crowd  = "CHAOS_CROWD"
	outage = "CHAOS_OUTAGE"
)

// What a crowd may cost.
const (
	// callsPerOutage is the most calls to a provider that is away for ten minutes; of a shorter outage, the probes are fewer.
	callsPerOutage = 100
	breakerDelay   = 10 * time.Second
	recovery       = time.Minute
	// callsPerSecond is what the account allows when everything is deleted.
	callsPerSecond = 100
)

func TestACrowdCostsLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	size, away := number(t, crowd, 250), duration(t, outage, 25*time.Second)
	period := 4*time.Second + time.Duration(size)*2*time.Millisecond
	stage := newStage(t)
	began := time.Now()
	sandboxes, err := stage.NewCrowd(t.Context(), size, period)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sandboxes.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d sandboxes were Ready after %s", size, time.Since(began).Round(time.Millisecond))

	t.Run("idle, it is listed page by page and nothing else", func(t *testing.T) {
		g := NewWithT(t)
		g.Expect(sandboxes.Settle(t.Context())).To(Succeed())
		const periods = 3
		idle, err := sandboxes.Idle(t.Context(), periods*period)
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("in %s: %d writes, %d lists of %d pages in all, %d other calls",
			periods*period, len(idle.Writes), idle.Lists, idle.Pages, len(idle.Others))
		g.Expect(idle.Writes).To(BeEmpty())
		g.Expect(idle.Others).To(BeEmpty())
		pages := (size + fake.PageSize - 1) / fake.PageSize
		g.Expect(idle.Pages).To(And(BeNumerically(">=", pages), BeNumerically("<=", (periods+1)*pages)))
	})
	t.Run("an outage costs probes, and everything is as declared soon after it", func(t *testing.T) {
		if away == 0 {
			t.Skip("not asked for")
		}
		g := NewWithT(t)
		seen, err := sandboxes.Outage(t.Context(), away)
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("in %s: %d calls %v; recovered in %s", away, seen.Total, seen.Calls, seen.Recovery.Round(time.Millisecond))
		// The breaker opens at the fifth failure in a row; the calls that are under way by then, as many as the bulkhead has, fail too.
		g.Expect(seen.Total).To(BeNumerically("<", min(callsPerOutage, 70+int(away/breakerDelay))))
		g.Expect(seen.Recovery).To(BeNumerically("<", recovery))
	})
	t.Run("deleted at once, it keeps the rate of its account", func(t *testing.T) {
		g := NewWithT(t)
		seen, err := sandboxes.Clear(t.Context(), callsPerSecond)
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("%d calls in %s, %d in the busiest second", seen.Total, seen.Took.Round(time.Millisecond), seen.Busiest)
		// What the burst allows comes on top of the rate.
		g.Expect(seen.Busiest).To(BeNumerically("<=", 2*callsPerSecond))
	})
}

func duration(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s must be a duration: %v", name, err)
	}
	return value
}

// newStage is for one test.
func newStage(t *testing.T) *chaos.Stage {
	t.Helper()
	watchGoroutines(t)
	stage, err := chaos.NewStage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stage.Close(); err != nil {
			t.Error(err)
		}
	})
	return stage
}
