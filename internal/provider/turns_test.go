// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"testing"
	"time"
)

func TestThoseWhoWaitAreSpreadOverTheTimeThatAllNeed(t *testing.T) {
	var turns turns
	soon := 0
	for range 1000 {
		delay := turns.sentAway("crowd", noon, minute, time.Second)
		if delay < minute || delay > minute+mostSpread {
			t.Fatalf("one was told to come again in %s", delay)
		}
		if delay < minute+time.Second {
			soon++
		}
	}
	if soon > 200 {
		t.Errorf("%d of 1000 come back within a second of each other", soon)
	}
	if delay := turns.sentAway("lonely", noon, minute, time.Second); delay > minute+2*time.Second {
		t.Errorf("one of another namespace waits for all of them: %s", delay)
	}
}

func TestWhoHadLessGoesFirst(t *testing.T) {
	var turns turns
	ahead := func(namespace string) int { return turns.come(namespace, noon) }
	if ahead("crowd") != 0 {
		t.Fatal("somebody goes before the first")
	}
	turns.served("crowd", noon)
	for range 100 {
		turns.sentAway("crowd", noon, BusyDelay, 0)
	}
	if n := ahead("lonely"); n != 0 {
		t.Errorf("%d of a crowd go before one who has had nothing", n)
	}
	turns.sentAway("lonely", noon, BusyDelay, 0)
	turns.served("crowd", noon)
	if n := ahead("crowd"); n != 1 {
		t.Errorf("%d go before the crowd, which had one more, and not the one that waits", n)
	}
	if n := ahead("lonely"); n != 0 {
		t.Errorf("%d go before who had less", n)
	}
	turns.served("lonely", noon)
	if n := ahead("crowd"); n != 0 {
		t.Errorf("%d go before the crowd when each had one", n)
	}
}

func TestWhoDoesNotComeAgainHoldsNobodyUp(t *testing.T) {
	var turns turns
	turns.sentAway("crowd", noon, BusyDelay, 0)
	turns.sentAway("gone", noon, BusyDelay, 0)
	turns.served("crowd", noon)
	if turns.come("crowd", noon) != 1 {
		t.Fatal("who waits does not go first")
	}
	later := noon.Add(10 * BusyDelay)
	if n := turns.come("crowd", later); n != 0 {
		t.Errorf("%d who never came again still go first", n)
	}
	if turns.of != nil {
		t.Error("what nobody waits for is remembered")
	}
}

func TestAnAccountTakesNoMorePlacesThanAreFreeElsewhere(t *testing.T) {
	all := &pool{size: 16}
	take := func(p *places, leave int) (n int) {
		for p.take(leave) {
			n++
		}
		return n
	}
	first, second, third := &places{pool: all, own: 64}, &places{pool: all, own: 64}, &places{pool: all, own: 64, most: 1}
	if n := take(first, 0); n != 8 {
		t.Errorf("one that is slow takes %d of 16", n)
	}
	if n := take(second, 0); n != 4 {
		t.Errorf("a second one takes %d of the rest", n)
	}
	if n := take(third, 0); n != 1 {
		t.Errorf("one that answers, and may have one call, gets %d", n)
	}
	first.free()
	if n := take(first, 0); n != 0 {
		t.Errorf("the first takes %d again, though it has most", n)
	}
	for _, p := range []*places{first, second, third} {
		for p.taken > 0 {
			p.free()
		}
	}
	small := &places{pool: all, own: 5}
	if n := take(small, 2); n != 3 {
		t.Errorf("with two to leave to others, %d of 5 are taken", n)
	}
}
