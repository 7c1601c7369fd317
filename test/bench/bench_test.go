// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sandbox-operator/sandbox-operator/test/bench"
)

// The whole is `make bench`. This plays every scenario with few objects, so that it still works when it is wanted, and so that the
// writes and calls of an object, which no machine changes, are held to their ranges with every change.
func TestEveryScenarioPlaysAndKeepsTheCountsOfItsRanges(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	g := NewWithT(t)
	log.SetLogger(logr.Discard())
	stage := &bench.Stage{Size: 25, MixedSeconds: 2, Out: t.Output()}
	defer func() { g.Expect(stage.Close()).To(Succeed()) }()
	g.Expect(stage.Open(t.Context())).To(Succeed())
	for _, scenario := range bench.Scenarios() {
		g.Expect(scenario.Play(stage, t.Context(), 1)).To(Succeed(), scenario.Name)
	}
	report := bench.NewReport(stage.Figures())
	file := filepath.Join(t.TempDir(), "bench.json")
	g.Expect(report.WriteJSON(file)).To(Succeed())
	g.Expect(os.ReadFile(file)).To(ContainSubstring(`"sandbox made in a burst/manager"`))
	for key, ranges := range bench.Ranges() {
		for metric, bounds := range ranges {
			value, measured := report.Metrics[key][metric]
			if metric == "writesEach" || metric == "callsEach" {
				g.Expect(measured).To(BeTrue(), "%s has a range for %s, which nobody measures", key, metric)
				g.Expect(value).To(BeNumerically("<=", *bounds.AtMost), "%s of %s", metric, key)
			}
		}
	}
}

func figures(name, program string, perSecond float64) bench.Figures {
	return bench.Figures{Name: name, Program: program, Round: 1, Objects: 500, PerSecond: perSecond, Median: 100, P99: 200}
}

const made = "sandbox made in a burst"

func TestGrowthShowsWhereTheCostOfOneRisesWithTheNumber(t *testing.T) {
	g := NewWithT(t)
	g.Expect(bench.NewReport(nil).Growth()).To(BeEmpty())
	small, large := figures("100 sandboxes made", bench.Crowd, 100), figures("1000 sandboxes made", bench.Crowd, 50)
	small.Objects, large.Objects = 100, 1000
	lines := strings.Split(bench.NewReport([]bench.Figures{large, small}).Growth(), "\n")
	g.Expect(lines[1]).To(Equal("     100    10.00  " + strings.Repeat("#", 20)))
	g.Expect(lines[2]).To(Equal("    1000    20.00  " + strings.Repeat("#", 40)))
}

func TestTheBestRoundCounts(t *testing.T) {
	g := NewWithT(t)
	slow, fast := figures(made, bench.Manager, 100), figures(made, bench.Manager, 200)
	slow.Median = 300
	for _, rounds := range [][]bench.Figures{{slow, fast}, {fast, slow}} {
		metrics := bench.NewReport(rounds).Metrics[made+"/manager"]
		g.Expect(metrics).To(HaveKeyWithValue("perSecond", 200.0))
		g.Expect(metrics).To(HaveKeyWithValue("medianMilliseconds", 100.0))
	}
}

func TestWhatIsOutsideOfItsRangeFails(t *testing.T) {
	g := NewWithT(t)
	report := bench.NewReport([]bench.Figures{figures(made, bench.Floor, 200), figures(made, bench.Manager, 140)})
	g.Expect(report.Check()).To(MatchError(ContainSubstring("rateOfFloor is 0.70")))
	g.Expect(report.String()).To(ContainSubstring("OUTSIDE"))
	g.Expect(bench.NewReport([]bench.Figures{figures(made, bench.Floor, 200), figures(made, bench.Manager, 160)}).Check()).To(Succeed())
}

func TestCPUIsComparedWithTheBareControllersOfTheSameRound(t *testing.T) {
	g := NewWithT(t)
	var all []bench.Figures
	for program, cpu := range map[string]float64{bench.Floor: 1, bench.Manager: 1.5} {
		for _, name := range []string{made, "sandbox gone in a burst"} {
			f := figures(name, program, 100)
			f.CPU = cpu
			all = append(all, f)
		}
	}
	metrics := bench.NewReport(all).Metrics[made+"/manager"]
	g.Expect(metrics).To(HaveKeyWithValue("cpuMillisecondsOfALife", 3.0))
	g.Expect(metrics).To(HaveKeyWithValue("cpuOfFloor", 1.5))
	g.Expect(metrics).To(HaveKeyWithValue("medianOfFloor", 1.0))
}

func TestAbsoluteRatesAreJudgedOnlyOnMachinesThatReachThem(t *testing.T) {
	g := NewWithT(t)
	slow := bench.NewReport([]bench.Figures{figures(made, bench.Floor, 300), figures(made, bench.Manager, 290)})
	g.Expect(slow.Check()).To(Succeed())
	g.Expect(slow.String()).To(ContainSubstring("not judged"))
	fast := bench.NewReport([]bench.Figures{figures(made, bench.Floor, 410), figures(made, bench.Manager, 290)})
	g.Expect(fast.Check()).To(MatchError(ContainSubstring("perSecond is 290")))
}

func TestEveryRangeIsOfSomethingThatIsPlayed(t *testing.T) {
	g := NewWithT(t)
	for key, ranges := range bench.Ranges() {
		_, program, _ := strings.Cut(key, "/")
		g.Expect([]string{bench.Manager, bench.Crowd}).To(ContainElement(program), key)
		g.Expect(ranges).NotTo(BeEmpty(), key)
		for metric, bounds := range ranges {
			g.Expect(slices.ContainsFunc([]*float64{bounds.AtLeast, bounds.AtMost}, func(b *float64) bool { return b != nil })).
				To(BeTrue(), "%s: %s", key, metric)
		}
	}
}
