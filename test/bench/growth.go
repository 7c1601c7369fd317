// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// growthBar is how many characters the longest bar has.
const growthBar = 40

// Growth plots what one Sandbox costs against how many are made: bars of one length mean that the whole grows with their number, and
// no faster. "" = the crowd was not measured.
func (r Report) Growth() string {
	crowds := r.crowds()
	if len(crowds) == 0 {
		return ""
	}
	var b strings.Builder
	for _, cost := range []struct {
		name string
		of   func(*Figures) float64
	}{
		{"milliseconds of the clock for each", func(f *Figures) float64 { return 1000 / f.PerSecond }},
		{"milliseconds of CPU for each", func(f *Figures) float64 { return f.CPU }},
		{"writes for each", func(f *Figures) float64 { return f.Writes.sum() }},
		{"provider calls for each", func(f *Figures) float64 { return f.Calls.sum() }},
		{"MiB of memory at the end, of all", func(f *Figures) float64 { return f.Memory }},
	} {
		fmt.Fprintf(&b, "%s\n", cost.name)
		most := 0.0
		for _, f := range crowds {
			most = max(most, cost.of(f))
		}
		for _, f := range crowds {
			value := cost.of(f)
			fmt.Fprintf(&b, "%8d  %7.2f  %s\n", f.Objects, value, bar(value, most))
		}
	}
	return b.String()
}

// crowds are the figures of the crowd's making, the smallest first.
func (r Report) crowds() []*Figures {
	var all []*Figures
	for i := range r.Rounds {
		if f := &r.Rounds[i]; f.Program == Crowd && strings.HasSuffix(f.Name, crowdMade) && f.PerSecond > 0 {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b *Figures) int { return cmp.Compare(a.Objects, b.Objects) })
	return all
}

func bar(value, most float64) string {
	if most <= 0 {
		return ""
	}
	return strings.Repeat("#", int(value/most*growthBar+0.5))
}
