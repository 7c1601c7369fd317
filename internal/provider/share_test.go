// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestTheSharesOfAllInstancesAreTheWhole(t *testing.T) {
	for _, instances := range []int{0, 1, 2, 3, 7} {
		for _, limit := range []int{0, 1, 2, 3, 10, 100, 1000000} {
			sum := 0
			for i := range max(instances, 1) {
				sum += Share{Instances: instances, Rest: i == 0}.Of(limit)
			}
			if sum != limit {
				t.Errorf("%d instances have %d together of %d", instances, sum, limit)
			}
		}
	}
}

func TestCallsAtOnceAreNeverNone(t *testing.T) {
	for _, c := range []struct{ limit, want int }{{0, 0}, {1, 1}, {3, 1}, {4, 1}, {9, 2}} {
		if got := (Share{Instances: 4}).ofCalls(c.limit); got != c.want {
			t.Errorf("a fourth of %d is %d, not %d", c.limit, got, c.want)
		}
	}
}

func TestALimiterKeepsItsShare(t *testing.T) {
	limits := v1alpha1.ProviderLimits{RequestsPerSecond: 10, Burst: 6, CreatesPerMinute: 7}
	for _, c := range []struct {
		share           Share
		atOnce, created int
		perMinute       [2]int
	}{
		{Share{}, 6, 7, [2]int{600, 606}},
		{Share{Instances: 3}, 2, 2, [2]int{199, 202}},
		{Share{Instances: 3, Rest: true}, 2, 3, [2]int{199, 202}},
	} {
		l := newLimiter()
		l.configure(limits, c.share)
		if n := taken(l, "get", noon, 50, 0); n != c.atOnce {
			t.Errorf("%+v: %d calls at once, not %d", c.share, n, c.atOnce)
		}
		if n := taken(l, "get", noon.Add(time.Hour), 60000, time.Millisecond); n < c.perMinute[0] || n > c.perMinute[1] {
			t.Errorf("%+v: %d calls a minute, not %v", c.share, n, c.perMinute)
		}
		l = newLimiter()
		l.configure(v1alpha1.ProviderLimits{CreatesPerMinute: limits.CreatesPerMinute}, c.share)
		if n := taken(l, operationCreate, noon, 59, time.Second); n != c.created {
			t.Errorf("%+v: %d creations within a minute, not %d", c.share, n, c.created)
		}
	}
}

func TestFewerCreationsAMinuteThanInstancesAreSpreadOverLongerTimes(t *testing.T) {
	l := newLimiter()
	l.configure(v1alpha1.ProviderLimits{CreatesPerMinute: 2}, Share{Instances: 6})
	if n := taken(l, operationCreate, noon, 179, time.Second); n != 1 {
		t.Errorf("within three minutes it let %d through, not one", n)
	}
	if n := taken(l, operationCreate, noon.Add(3*time.Minute), 1, 0); n != 1 {
		t.Error("after three minutes it let none through")
	}
}

func TestInstancesShareWhatTheBackendTakesAtOnce(t *testing.T) {
	a := newAccount("key", backends.Registration{Concurrency: 8}, &pool{}, Share{Instances: 4})
	n := 0
	for a.enter("ns", "backend", "get", noon) == nil {
		n++
	}
	if n != 2 {
		t.Errorf("%d calls are under way at once, not 2", n)
	}
}
