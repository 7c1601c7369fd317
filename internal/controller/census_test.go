// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"testing"
	"time"

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

func TestTheCensusKnowsHowManySandboxesNamespacesHave(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC))
	c := newCensus(clock)
	sandbox := func(uid, namespace string) *v1alpha1.Sandbox {
		return &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, UID: types.UID(uid)}}
	}
	is := func(want map[string]int) {
		t.Helper()
		if !maps.Equal(c.namespaces, want) {
			t.Errorf("namespaces have %v, not %v", c.namespaces, want)
		}
	}
	c.note(sandbox("1", "a"), false)
	c.note(sandbox("1", "a"), true)
	c.note(sandbox("2", "a"), false)
	c.note(sandbox("3", "b"), false)
	is(map[string]int{"a": 2, "b": 1})
	c.drop(sandbox("1", "a"))
	c.drop(sandbox("1", "a"))
	is(map[string]int{"a": 1, "b": 1})
	c.drop(sandbox("2", "a"))
	is(map[string]int{"b": 1})
}
