// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

//go:embed ranges.yaml
var rangesText []byte

// Range is what a figure may be.
type Range struct {
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
	// WhereFloorReaches is what the bare controller must reach of perSecond in the same run for this range to hold: on a slower
	// machine, only the ratio to it does.
	WhereFloorReaches float64 `json:"whereFloorReaches,omitempty"`
}

// Report is what a run of the benchmarks found: of each figure the best of its rounds, as a neighbour of the machine can only make
// it slower.
type Report struct {
	// CPUs of the machine.
	CPUs int `json:"cpus"`
	// Rounds are all figures, as they came.
	Rounds []Figures `json:"rounds"`
	// Metrics are what ranges are kept of: "NAME/PROGRAM" and then the metric.
	Metrics map[string]map[string]float64 `json:"metrics"`
}

// NewReport sums figures up.
func NewReport(figures []Figures) Report {
	r := Report{CPUs: runtime.NumCPU(), Rounds: figures, Metrics: map[string]map[string]float64{}}
	for i := range figures {
		f := &figures[i]
		key := f.Name + "/" + f.Program
		if r.Metrics[key] == nil {
			r.Metrics[key] = map[string]float64{}
		}
		for metric, value := range f.metrics() {
			known, ok := r.Metrics[key][metric]
			if higher := metric == perSecond; !ok || (higher && value > known) || (!higher && value < known) {
				r.Metrics[key][metric] = value
			}
		}
	}
	r.compare()
	return r
}

// perSecond is the only metric of which more is better.
const perSecond = "perSecond"

func (f *Figures) metrics() map[string]float64 {
	m := maps.Clone(f.Values)
	if m == nil {
		m = map[string]float64{}
	}
	for name, value := range map[string]float64{
		perSecond: f.PerSecond, "medianMilliseconds": f.Median, "p99Milliseconds": f.P99,
		"cpuMillisecondsEach": f.CPU, "peakMiB": f.Peak, "writesEach": f.Writes.sum(), "callsEach": f.Calls.sum(),
	} {
		if value > 0 {
			m[name] = value
		}
	}
	return m
}

// compare adds what only two programs together tell, or two loads of the manager: the median of the rounds, as what else the
// machine does changes from one to the next.
func (r Report) compare() {
	found := map[[2]string][]float64{}
	byRound := map[int]map[string]*Figures{}
	for i := range r.Rounds {
		f := &r.Rounds[i]
		if byRound[f.Round] == nil {
			byRound[f.Round] = map[string]*Figures{}
		}
		byRound[f.Round][f.Name+"/"+f.Program] = f
	}
	for _, round := range byRound {
		for key, f := range round {
			for metric, value := range comparisons(f, round) {
				found[[2]string{key, metric}] = append(found[[2]string{key, metric}], value)
			}
		}
	}
	for name, values := range found {
		slices.Sort(values)
		r.Metrics[name[0]][name[1]] = values[len(values)/2]
	}
}

// comparisons are those of figures with others of the same round.
func comparisons(f *Figures, round map[string]*Figures) map[string]float64 {
	if f.Program != Manager {
		return nil
	}
	m := map[string]float64{}
	if bare := round[f.Name+"/"+Floor]; bare != nil {
		m["rateOfFloor"] = f.PerSecond / bare.PerSecond
		m["medianAboveFloorMilliseconds"] = f.Median - bare.Median
		m["p99AboveFloorMilliseconds"] = f.P99 - bare.P99
		m["medianOfFloor"] = f.Median / bare.Median
	}
	if own := life(round, Manager); f.Name == burstMade && own > 0 {
		m["cpuMillisecondsOfALife"] = own
		if bare := life(round, Floor); bare > 0 {
			m["cpuOfFloor"] = own / bare
		}
	}
	if instant := round[burstMade+"/"+Manager]; f.Name == slowMade && instant != nil {
		m["rateOfPossible"] = f.PerSecond / min(mostAt300, instant.PerSecond)
	}
	return m
}

// life is the CPU that a program used to make and to end one Sandbox of the burst, in milliseconds; 0 = not measured.
func life(round map[string]*Figures, program string) float64 {
	made, gone := round[burstMade+"/"+program], round[burstGone+"/"+program]
	if made == nil || gone == nil {
		return 0
	}
	return made.CPU + gone.CPU
}

// The names of figures that are compared.
const (
	burstMade = "sandbox made in a burst"
	burstGone = "sandbox gone in a burst"
	slowMade  = "sandbox made in a burst, 300 ms"
)

// mostAt300 is what 100 at once can reach in a second where each takes 300 ms.
const mostAt300 = 100 / 0.3

// String is the report as a table: a line for each metric that has a range, and whether it is within.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-34s %-30s %10s  %s\n", "what", "metric", "measured", "range")
	for _, line := range r.lines() {
		fmt.Fprintf(&b, "%-34s %-30s %10.2f  %s\n", line.key, line.metric, line.value, line.verdict())
	}
	return b.String()
}

// Check fails where a metric is outside of its range.
func (r Report) Check() error {
	var failures []error
	for _, line := range r.lines() {
		if !line.within() {
			failures = append(failures, fmt.Errorf("%s: %s is %.2f: %s", line.key, line.metric, line.value, line.verdict()))
		}
	}
	return errors.Join(failures...)
}

// WriteJSON writes the report into a file, whose folder is made.
func (r Report) WriteJSON(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // it is for others to read
}

// line is a metric with its range.
type line struct {
	key, metric string
	value       float64
	bounds      Range
	// floor is what the bare controller reached in a second.
	floor float64
}

// lines are the metrics that were measured and have a range.
func (r Report) lines() []line {
	ranges := Ranges()
	var lines []line
	for _, key := range slices.Sorted(maps.Keys(ranges)) {
		name, _, _ := strings.Cut(key, "/")
		for _, metric := range slices.Sorted(maps.Keys(ranges[key])) {
			if value, ok := r.Metrics[key][metric]; ok {
				lines = append(lines, line{key, metric, value, ranges[key][metric], r.Metrics[name+"/"+Floor][perSecond]})
			}
		}
	}
	return lines
}

// Ranges are those that are kept in ranges.yaml, by "NAME/PROGRAM" and metric.
func Ranges() map[string]map[string]Range {
	ranges := map[string]map[string]Range{}
	if err := yaml.UnmarshalStrict(rangesText, &ranges); err != nil {
		panic(fmt.Sprintf("ranges.yaml: %v", err))
	}
	return ranges
}

// tooSlow says that the machine is no measure for this range.
func (l line) tooSlow() bool { return l.bounds.WhereFloorReaches > l.floor }

func (l line) within() bool {
	tooLittle := l.bounds.AtLeast != nil && l.value < *l.bounds.AtLeast
	tooMuch := l.bounds.AtMost != nil && l.value > *l.bounds.AtMost
	return l.tooSlow() || (!tooLittle && !tooMuch)
}

func (l line) verdict() string {
	var parts []string
	if l.bounds.AtLeast != nil {
		parts = append(parts, fmt.Sprintf("at least %g", *l.bounds.AtLeast))
	}
	if l.bounds.AtMost != nil {
		parts = append(parts, fmt.Sprintf("at most %g", *l.bounds.AtMost))
	}
	switch text := strings.Join(parts, ", "); {
	case l.tooSlow():
		return fmt.Sprintf("%s where the bare controller reaches %g a second (here %.0f): not judged",
			text, l.bounds.WhereFloorReaches, l.floor)
	case l.within():
		return text + ": ok"
	default:
		return text + ": OUTSIDE"
	}
}
