// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
)

// waited is how long the census says that a Sandbox has waited.
func (c *census) waited() time.Duration {
	longest := 0.0
	c.observe(func(gauge *metrics.Gauge, value float64, _ ...string) {
		if gauge == metrics.OldestPending {
			longest = max(longest, value)
		}
	})
	return time.Duration(longest) * time.Second
}

func TestASandboxWaitsSinceItBecamePending(t *testing.T) {
	start := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(start)
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{UID: "uid", CreationTimestamp: metav1.NewTime(start)}}
	is := func(progress string) {
		setProgress(&sandbox.Status.Conditions, 1, progress, "Reason", "")
		for i := range sandbox.Status.Conditions {
			if one := &sandbox.Status.Conditions[i]; one.Type == progress {
				one.LastTransitionTime = metav1.NewTime(clock.Now())
			}
		}
	}
	at := func(c *census, after, want time.Duration, what string) {
		t.Helper()
		clock.SetTime(start.Add(after))
		if got := c.waited(); got != want {
			t.Errorf("%s: it has waited for %s, not %s", what, got, want)
		}
	}
	c := newCensus(clock)
	c.note(sandbox, false)
	at(c, time.Minute, time.Minute, "new")
	is(v1alpha1.ConditionStalled)
	c.note(sandbox, true)
	at(c, 48*time.Hour, 0, "stalled")
	is(v1alpha1.ConditionReconciling)
	c.note(sandbox, true)
	at(c, 48*time.Hour+time.Minute, time.Minute, "mended")
	c.note(sandbox, true)
	at(c, 48*time.Hour+2*time.Minute, 2*time.Minute, "it still waits")
	c = newCensus(clock)
	c.note(sandbox, true)
	at(c, 48*time.Hour+3*time.Minute, 3*time.Minute, "counted by another process")
}

func TestANamespaceWithoutSandboxesMakesRoomAfterAnHour(t *testing.T) {
	metrics.SetLimit(1)
	t.Cleanup(func() {
		metrics.ForgetNamespace("second")
		metrics.ForgetNamespace(metrics.Other)
		metrics.SetLimit(metrics.DefaultLimit)
	})
	start := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(start)
	c := newCensus(clock)
	spent := func(namespace string) float64 {
		var counted dto.Metric
		if err := metrics.SandboxSeconds.WithLabelValues(namespace, "roomy").Write(&counted); err != nil {
			t.Fatal(err)
		}
		return counted.GetCounter().GetValue()
	}
	running := func(namespace, uid string) *v1alpha1.Sandbox {
		sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, UID: types.UID(uid)}}
		sandbox.Status.State = v1alpha1.SandboxRunning
		sandbox.Status.Provider = &v1alpha1.ProviderIdentity{Kind: v1alpha1.KindSandboxProvider, Name: "p", Backend: "roomy"}
		return sandbox
	}
	// runs has a Sandbox run for so long, and be gone.
	runs := func(namespace, uid string, long time.Duration) {
		sandbox := running(namespace, uid)
		c.note(sandbox, false)
		clock.SetTime(clock.Now().Add(long))
		c.drop(sandbox)
	}
	scrape := func() { c.observe(func(*metrics.Gauge, float64, ...string) {}) }
	is := func(when, namespace string, want float64) {
		t.Helper()
		if got := spent(namespace); got != want {
			t.Errorf("%s: Sandboxes of %s ran for %v s, not %v", when, namespace, got, want)
		}
	}

	runs("first", "1", 10*time.Second)
	scrape()
	is("the first is gone", "first", 10)
	clock.SetTime(clock.Now().Add(50 * time.Minute))
	runs("first", "2", 5*time.Second)
	clock.SetTime(clock.Now().Add(50 * time.Minute))
	scrape()
	is("the second has not been gone for an hour", "first", 15)
	runs("second", "3", time.Second)
	is("there is room for one", metrics.Other, 1)

	still := running("first", "4")
	c.note(still, false)
	clock.SetTime(clock.Now().Add(2 * time.Hour))
	scrape()
	is("it has a Sandbox again", "first", 15+7200)
	c.drop(still)
	clock.SetTime(clock.Now().Add(time.Hour))
	scrape()
	is("an hour without", "first", 0)
	runs("second", "5", 3*time.Second)
	is("there is room again", "second", 3)
}
