// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Figures are what was measured of one load.
type Figures struct {
	// Objects of the load.
	Objects int
	// PerSecond is how many were done in a second, of all of them.
	PerSecond float64
	// Median, P90, P99 and Most are how long one took, from the client's request to its watch.
	Median, P90, P99, Most time.Duration
	// CPU is what the program used for one object, and Memory the most that it had, in bytes.
	CPU    time.Duration
	Memory int64
}

// String is a line of a table.
func (f Figures) String() string {
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("%5d objects %7.1f/s  p50 %-8v p90 %-8v p99 %-8v max %-8v cpu %-7v peak %d MiB", f.Objects, f.PerSecond,
		round(f.Median), round(f.P90), round(f.P99), round(f.Most), f.CPU.Round(10*time.Microsecond), f.Memory>>20)
}

// costs are what a process has used so far.
type costs struct {
	cpu    time.Duration
	memory int64
}

func figures(waits []time.Duration, took time.Duration, before, after costs) Figures {
	slices.Sort(waits)
	n := len(waits)
	return Figures{
		Objects: n, PerSecond: float64(n) / took.Seconds(),
		Median: waits[n/2], P90: waits[n*9/10], P99: waits[n*99/100], Most: waits[n-1],
		CPU: (after.cpu - before.cpu) / time.Duration(n), Memory: after.memory,
	}
}

// tick is the kernel's unit of CPU time in /proc, on every architecture that Go runs on.
const tick = 10 * time.Millisecond

func (p *process) costs() (costs, error) {
	dir := fmt.Sprintf("/proc/%d/", p.command.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return costs{}, err
	}
	// The name in brackets may have spaces; user and system time are the 12th and 13th field after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var c costs
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return costs{}, err
		}
		c.cpu += time.Duration(ticks) * tick
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return costs{}, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			c.memory = kilobytes << 10
			return c, err
		}
	}
	return c, nil
}
