// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Figures are what was measured of one thing. Zero means that it was not measured.
type Figures struct {
	// Name says what was done, such as "sandbox made in a burst", and Program who did it.
	Name    string `json:"name"`
	Program string `json:"program"`
	// Round is the how-manieth time in this run, from 1.
	Round int `json:"round"`
	// Objects of the load, and how many of them at once.
	Objects int `json:"objects"`
	AtOnce  int `json:"atOnce,omitempty"`
	// PerSecond is how many were done in a second, of all of them.
	PerSecond float64 `json:"perSecond,omitempty"`
	// Median, P90, P99 and Most are how long one took, in milliseconds, from the client's request to its watch.
	Median float64 `json:"medianMilliseconds,omitempty"`
	P90    float64 `json:"p90Milliseconds,omitempty"`
	P99    float64 `json:"p99Milliseconds,omitempty"`
	Most   float64 `json:"mostMilliseconds,omitempty"`
	// CPU is what the program used for one object, in milliseconds.
	CPU float64 `json:"cpuMillisecondsEach,omitempty"`
	// Memory is what the program had at the end, and Peak the most that it had meanwhile, in MiB.
	Memory float64 `json:"memoryMiB,omitempty"`
	Peak   float64 `json:"peakMiB,omitempty"`
	// Writes and Reads are the requests that the program made to the API server for one object, by verb and resource, and Calls its
	// provider calls by operation.
	Writes counts `json:"writesEach,omitempty"`
	Reads  counts `json:"readsEach,omitempty"`
	Calls  counts `json:"callsEach,omitempty"`
	// Values are what only this has, by name with unit.
	Values map[string]float64 `json:"values,omitempty"`
}

// String is a line of a table.
func (f *Figures) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %-8s", f.Name, f.Program)
	if f.PerSecond > 0 {
		fmt.Fprintf(&b, " %5d x %-3d %6.1f/s  p50 %6.1f  p90 %6.1f  p99 %6.1f ms", f.Objects, f.AtOnce, f.PerSecond, f.Median, f.P90, f.P99)
	}
	if f.CPU > 0 {
		fmt.Fprintf(&b, "  cpu %.2f ms  peak %.0f MiB", f.CPU, f.Peak)
	}
	for _, part := range []struct {
		name   string
		counts counts
	}{{"writes", f.Writes}, {"reads", f.Reads}, {"calls", f.Calls}} {
		if len(part.counts) > 0 {
			fmt.Fprintf(&b, "  %s %.2f (%s)", part.name, part.counts.sum(), part.counts)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Values)) {
		fmt.Fprintf(&b, "  %s %.2f", name, f.Values[name])
	}
	return b.String()
}

// String lists the counts, the most frequent first.
func (c counts) String() string {
	names := slices.SortedFunc(maps.Keys(c), func(a, b string) int {
		return cmp.Or(cmp.Compare(c[b], c[a]), strings.Compare(a, b))
	})
	parts := make([]string, 0, len(names))
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %.2f", name, c[name]))
	}
	return strings.Join(parts, ", ")
}

// took sets the figures that tell of time. It sorts the waits.
func (f *Figures) took(waits []time.Duration, whole time.Duration) {
	slices.Sort(waits)
	n := len(waits)
	f.PerSecond = float64(n) / whole.Seconds()
	f.Median, f.P90, f.P99, f.Most = milliseconds(waits[n/2]), milliseconds(waits[n*9/10]), milliseconds(waits[n*99/100]),
		milliseconds(waits[n-1])
}

// cost sets the figures that tell what a program used for so many objects.
func (f *Figures) cost(objects int, before, after costs) {
	f.CPU = milliseconds(after.cpu-before.cpu) / float64(objects)
	f.Memory, f.Peak = mebibytes(after.memory), mebibytes(after.peak)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
