// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos_test

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sandbox-operator/sandbox-operator/test/chaos"
)

// What the environment may say.
const (
	// all is 1 for the whole matrix.
	all = "CHAOS_ALL"
	// seed draws the same sample again, and sampleSize a larger one.
	seed       = "CHAOS_SEED"
	sampleSize = "CHAOS_COUNT"
	// plan is one to be replayed, as a failure prints it.
	plan = "CHAOS_PLAN"
	// lanes are how many runs go on at once.
	lanes = "CHAOS_LANES"
	// update is 1 to write the catalogue anew.
	update = "CHAOS_UPDATE"
)

const (
	defaultSample = 8
	defaultLanes  = 4
	// mostTimelines are printed; of further failures a line must do.
	mostTimelines = 3
)

func TestNothingLeaksNothingRunsTwiceNothingIsStuck(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	stage := newStage(t)
	known, err := chaos.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(update) == "1" {
		known = recorded(t, stage)
	}
	plans := choose(t, known)
	results := report{t: t}
	took := stage.PerformAll(t.Context(), plans, number(t, lanes, defaultLanes), results.tell)
	t.Logf("%d runs in %s: %d failed; the manager came to %d of %d points; %d outcomes are Unknown; the slowest took %s (%s)",
		len(plans), took.Round(time.Second), results.failed, results.reached, results.kills, results.unknown,
		results.slowest.Took.Round(time.Millisecond), results.slowest.Plan)
}

// watchGoroutines complains at the test's end of those that it left.
func watchGoroutines(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, ignore, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
	})
	log.SetLogger(logr.Discard()) // controller-runtime asks for one
}

// choose returns the plans that the environment asks for.
func choose(t *testing.T, known []chaos.Point) []chaos.Plan {
	t.Helper()
	if text := os.Getenv(plan); text != "" {
		replayed, err := chaos.ParsePlan(text)
		if err != nil {
			t.Fatal(err)
		}
		return []chaos.Plan{replayed}
	}
	if os.Getenv(all) == "1" {
		return chaos.Matrix(known)
	}
	drawn := number(t, seed, int(time.Now().UnixNano()&0xffffff))
	t.Logf("the sample's seed is %d: replay it with %s=%d", drawn, seed, drawn)
	return chaos.Sample(known, uint64(drawn), number(t, sampleSize, defaultSample))
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 1 {
		t.Fatalf("%s must be a number from 1", name)
	}
	return value
}

// recorded runs without trouble, and writes down the points that the manager comes to.
func recorded(t *testing.T, stage *chaos.Stage) []chaos.Point {
	t.Helper()
	found := map[string]chaos.Point{}
	for range 3 {
		for _, flavour := range chaos.Flavours() {
			run := stage.Perform(t.Context(), chaos.Plan{Flavour: flavour})
			if run.Err != nil {
				t.Fatalf("a run without trouble: %v\n%s\n%s", run.Err, run.Timeline, run.Log)
			}
			for _, p := range run.Points() {
				found[p.String()] = p
			}
		}
	}
	var points []chaos.Point
	var lines strings.Builder
	for _, p := range found {
		points = append(points, p)
	}
	slices.SortFunc(points, func(a, b chaos.Point) int { return cmp.Compare(a.String(), b.String()) })
	for _, p := range points {
		fmt.Fprintln(&lines, p)
	}
	if err := os.WriteFile(chaos.CatalogueFile, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return points
}

// report counts, and complains of runs that went wrong.
type report struct {
	t                               *testing.T
	failed, reached, kills, unknown int
	slowest                         chaos.Run
}

func (r *report) tell(run chaos.Run) {
	r.kills += len(run.Reached)
	for _, reached := range run.Reached {
		if reached {
			r.reached++
		}
	}
	r.unknown += len(run.Unknown)
	if run.Took > r.slowest.Took {
		r.slowest = run
	}
	if testing.Verbose() {
		r.t.Logf("%6.1fs reached %v, unknown %v: %s", run.Took.Seconds(), run.Reached, run.Unknown, run.Plan)
	}
	if run.Err == nil {
		if os.Getenv(plan) != "" && testing.Verbose() {
			r.t.Logf("the timeline:\n%s", run.Timeline)
		}
		return
	}
	r.failed++
	r.t.Errorf("%v\n  replay it with CHAOS_PLAN='%s'", run.Err, run.Plan)
	if r.failed <= mostTimelines {
		r.t.Logf("the timeline of %s:\n%s\nthe end of the manager's log:\n%s", run.Plan, run.Timeline, run.Log)
	}
}
