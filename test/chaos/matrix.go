// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"context"
	_ "embed"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// catalogue has a line for each point that runs without trouble come to. It is kept, so that a seed means the same on each
// machine. CHAOS_UPDATE=1 writes it anew.
//
//go:embed points.txt
var catalogue string

// CatalogueFile is where the catalogue is kept.
const CatalogueFile = "points.txt"

// Catalogue returns its points.
func Catalogue() ([]Point, error) {
	var all []Point
	for line := range strings.Lines(catalogue) {
		p, err := ParsePoint(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Flavours are those of the provider.
func Flavours() []string { return []string{backend.Named, backend.Listed} }

// Points are the moments that the run came to, sorted.
func (r Run) Points() []Point {
	all := points(r.Writes, r.Calls)
	slices.SortFunc(all, func(a, b Point) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all)
}

// listLag is shorter than the time after which a backend's user believes a list.
const listLag = backend.VisibilityDelay / 2

// Matrix has a plan for each kill and each fault. How a remote is found again makes a difference only where one is made or ended:
// all else is left to one flavour.
func Matrix(all []Point) []Plan {
	var plans []Plan
	for _, p := range all {
		plans = append(plans, Plan{Flavour: backend.Named, Kills: []Point{p}})
		if p.isAboutRemotes() {
			plans = append(plans, Plan{Flavour: backend.Listed, Kills: []Point{p}})
		}
		if isCreate(p.Call) {
			plans = append(plans, Plan{Flavour: backend.Listed, Kills: []Point{p}, ListLag: listLag})
		}
	}
	for _, call := range providerCalls(all) {
		for _, kind := range kindsAt(call) {
			plans = append(plans, Plan{Flavour: backend.Named, Faults: []fake.Fault{NewFault(kind, call)}})
			if isCreate(call) {
				plans = append(plans, Plan{Flavour: backend.Listed, Faults: []fake.Fault{NewFault(kind, call)}, ListLag: listLag})
			}
		}
	}
	return plans
}

func isCreate(call string) bool { return strings.HasPrefix(call, fake.Create+" ") }

// isAboutRemotes says of a point that it is in the making or the ending of a remote.
func (p Point) isAboutRemotes() bool {
	return strings.HasPrefix(p.Call, "patch sandboxes") || isCreate(p.Call) || strings.HasPrefix(p.Call, fake.Destroy+" ")
}

// kindsAt are the faults of interest at a call: of one that only looks, what can be taken for news.
func kindsAt(call string) []fake.Kind {
	operation, _, _ := strings.Cut(call, " ")
	if onlyLooks(operation) {
		return []fake.Kind{fake.Broken, fake.Denied, fake.Death}
	}
	return fake.Kinds()
}

// providerCalls are the calls at which faults strike.
func providerCalls(all []Point) []string {
	var calls []string
	for _, p := range all {
		if p.Side == Provider {
			calls = append(calls, p.Call)
		}
	}
	slices.Sort(calls)
	return slices.Compact(calls)
}

// Sample draws plans: one kill or two, half of them with a fault, some with lists that lag.
func Sample(all []Point, seed uint64, count int) []Plan {
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // it must be the same again
	calls := providerCalls(all)
	plans := make([]Plan, count)
	for i := range plans {
		plan := Plan{Flavour: Flavours()[random.IntN(2)], Kills: []Point{all[random.IntN(len(all))]}}
		if second := all[random.IntN(len(all))]; random.IntN(2) == 0 && second != plan.Kills[0] {
			plan.Kills = append(plan.Kills, second)
		}
		if random.IntN(2) == 0 {
			call := calls[random.IntN(len(calls))]
			kinds := kindsAt(call)
			plan.Faults = []fake.Fault{NewFault(kinds[random.IntN(len(kinds))], call)}
		}
		if random.IntN(4) == 0 {
			plan.ListLag = listLag
		}
		plans[i] = plan
	}
	return plans
}

// PerformAll carries out plans in several lanes, and tells of each as it ends.
func (s *Stage) PerformAll(ctx context.Context, plans []Plan, lanes int, tell func(Run)) time.Duration {
	began := time.Now()
	todo, done := make(chan Plan), make(chan Run)
	var work sync.WaitGroup
	for range lanes {
		work.Go(func() {
			for plan := range todo {
				done <- s.Perform(ctx, plan)
			}
		})
	}
	go func() {
		for _, plan := range plans {
			todo <- plan
		}
		close(todo)
		work.Wait()
		close(done)
	}()
	for run := range done {
		tell(run)
	}
	return time.Since(began)
}
