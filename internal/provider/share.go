// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import "time"

// Share is this instance's part of what accounts allow, where several instances of the operator share them. They don't talk to
// each other: each keeps its part, so that together they keep the whole. The zero value is all of it.
type Share struct {
	// Instances is how many there are; 0 = 1.
	Instances int
	// Rest says that this instance has what is left over where a limit can't be divided evenly. One of them has it, or none.
	Rest bool
}

func (s Share) instances() int { return max(s.Instances, 1) }

// Of is the part of so many; where there are fewer than instances, it may be none.
func (s Share) Of(limit int) int {
	part := limit / s.instances()
	if s.Rest {
		part += limit % s.instances()
	}
	return part
}

// ofCalls is the part of so many calls at once, without which nothing could be done.
func (s Share) ofCalls(limit int) int {
	if limit == 0 {
		return 0
	}
	return max(s.Of(limit), 1)
}

// ofRate is the part of so many a second.
func (s Share) ofRate(limit int32) float64 { return float64(limit) / float64(s.instances()) }

// perWindow is the part of so many within any window of this length. Where there are fewer than instances, each may do one in a
// longer window.
func (s Share) perWindow(limit int, window time.Duration) (int, time.Duration) {
	if limit == 0 || limit >= s.instances() {
		return s.Of(limit), window
	}
	return 1, window * time.Duration(s.instances()) / time.Duration(limit)
}
