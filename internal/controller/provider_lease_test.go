// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"
)

func TestAnEndThatDoesNotMoveIsNotPushedAtEachLook(t *testing.T) {
	start := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	end, r, pushes := start.Add(12*time.Hour), newRenewed(), 0
	for now := start; now.Before(end); now = now.Add(time.Minute) {
		if !r.futile("box", end, 24*time.Hour, now) {
			pushes++
			r.note("box", end, now)
		}
	}
	if pushes < 3 || pushes > 12 {
		t.Errorf("in twelve hours it was pushed %d times", pushes)
	}
	if r.futile("box", end.Add(time.Hour), 24*time.Hour, start) || r.futile("other", end, 24*time.Hour, start) {
		t.Error("an end that has moved, or another's, is taken for one that does not")
	}
	r.note("box", end, start)
	if !r.futile("box", end, 24*time.Hour, start) || r.futile("box", end, time.Hour, start) {
		t.Error("an end that shall be nearer is taken for one that can't be put off")
	}
	r.note("late", end.Add(2*time.Hour), end.Add(time.Hour))
	if len(r.of) != 1 {
		t.Errorf("%d ends are remembered, though all but one are over", len(r.of))
	}
}
