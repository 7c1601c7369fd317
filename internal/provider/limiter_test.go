// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// taken is how many of so many calls are let through, one each step.
func taken(l *limiter, operation string, from time.Time, calls int, step time.Duration) (n int) {
	for i := range calls {
		if delay, _ := l.take(operation, 0, from.Add(time.Duration(i)*step)); delay == 0 {
			n++
		}
	}
	return n
}

func TestALimiterWithoutLimitsLetsAllThrough(t *testing.T) {
	if n := taken(newLimiter(), operationCreate, noon, 1000, 0); n != 1000 {
		t.Errorf("it let %d through", n)
	}
}

func TestRequestsPerSecondAndBurst(t *testing.T) {
	l := newLimiter()
	l.configure(v1alpha1.ProviderLimits{RequestsPerSecond: 10, Burst: 3}, Share{})
	if n := taken(l, "get", noon, 20, 0); n != 3 {
		t.Errorf("at once it let %d through", n)
	}
	if n := taken(l, "get", noon.Add(time.Minute), 1000, 10*time.Millisecond); n < 100 || n > 103 {
		t.Errorf("in ten seconds it let %d through", n)
	}
}

func TestWhoComesLateToTheLimiterBringsNoCallsBack(t *testing.T) {
	l := newLimiter()
	l.configure(v1alpha1.ProviderLimits{RequestsPerSecond: 100, Burst: 100}, Share{})
	n := 0
	for range 100 {
		// On a busy machine, one that looked at the clock 200 ms ago asks after one that looks now.
		n += taken(l, "get", noon, 1, 0) + taken(l, "get", noon.Add(-200*time.Millisecond), 1, 0)
	}
	if n != 100 {
		t.Errorf("at once it let %d through", n)
	}
}

func TestCreatesWithinAnyMinute(t *testing.T) {
	l := newLimiter()
	l.configure(v1alpha1.ProviderLimits{CreatesPerMinute: 5}, Share{})
	if n := taken(l, operationCreate, noon, 20, time.Second); n != 5 {
		t.Errorf("in 20 seconds it let %d through", n)
	}
	if n := taken(l, "get", noon, 100, 0); n != 100 {
		t.Errorf("it held back calls that create nothing: %d", n)
	}
	if n := taken(l, operationCreate, noon.Add(59*time.Second), 1, 0); n != 0 {
		t.Error("a minute was not over")
	}
	if n := taken(l, operationCreate, noon.Add(time.Minute), 10, 0); n != 1 {
		t.Errorf("after a minute from the first it let %d through", n)
	}
}

func TestChangedLimitsForgetNothing(t *testing.T) {
	l := newLimiter()
	l.configure(v1alpha1.ProviderLimits{CreatesPerMinute: 5}, Share{})
	taken(l, operationCreate, noon, 5, 0)
	l.configure(v1alpha1.ProviderLimits{CreatesPerMinute: 7}, Share{})
	if n := taken(l, operationCreate, noon.Add(time.Second), 10, 0); n != 2 {
		t.Errorf("raised by two, it let %d through", n)
	}
	l.configure(v1alpha1.ProviderLimits{CreatesPerMinute: 1}, Share{})
	if n := taken(l, operationCreate, noon.Add(2*time.Second), 10, 0); n != 0 {
		t.Errorf("lowered, it let %d through", n)
	}
}

func TestRenewalsGoBeforeCreations(t *testing.T) {
	l := newLimiter()
	done := l.hurry()
	if taken(l, operationCreate, noon, 1, 0) != 0 || taken(l, "set lifetime", noon, 1, 0) != 1 {
		t.Error("a creation went before a renewal")
	}
	done()
	if taken(l, operationCreate, noon, 1, 0) != 1 {
		t.Error("creations wait for ever")
	}
}

func TestWhoGoesBeforeFindsTheRateUntouched(t *testing.T) {
	l := newLimiter()
	l.configure(v1alpha1.ProviderLimits{RequestsPerSecond: 10, Burst: 3, CreatesPerMinute: 2}, Share{})
	for _, c := range []struct {
		operation string
		ahead     int
		passes    bool
	}{
		{"get", 3, false}, {"get", 100, false}, {"get", 2, true}, {"get", 2, false},
		{operationCreate, 2, false}, {operationCreate, 1, true}, {operationCreate, 1, false}, {operationCreate, 0, true},
		{operationCreate, 0, false},
	} {
		delay, apart := l.take(c.operation, c.ahead, noon)
		if (delay == 0) != c.passes || delay > 0 && apart == 0 {
			t.Errorf("%s behind %d: comes again in %s, %s apart", c.operation, c.ahead, delay, apart)
		}
	}
}

func TestTheStrictestLimitHolds(t *testing.T) {
	got := strictest([]v1alpha1.ProviderLimits{
		{RequestsPerSecond: 10, MaxConcurrentCalls: 5}, {RequestsPerSecond: 3}, {CreatesPerMinute: 7},
	})
	if got.RequestsPerSecond != 3 || got.MaxConcurrentCalls != 5 || got.CreatesPerMinute != 7 || got.Burst != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestThePagesOfAListKeepTheRate(t *testing.T) {
	a := newAccount("key", backends.Registration{}, &pool{}, Share{})
	a.limiter.configure(v1alpha1.ProviderLimits{RequestsPerSecond: 100, Burst: 1}, Share{})
	began := time.Now()
	for range 11 {
		if err := a.nextPage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 95*time.Millisecond {
		t.Errorf("eleven pages took %s at a hundred a second", took)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.nextPage(ended); err == nil {
		t.Error("a list goes on whose caller has given up")
	}
}
