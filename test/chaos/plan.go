// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// Plan is what goes wrong in a run.
type Plan struct {
	// Flavour of the provider: with unique names or without.
	Flavour string
	// Kills are where the manager dies, in any order, each once.
	Kills []Point
	// Faults are what the provider does wrong.
	Faults []fake.Fault
	// ListLag is how long new sandboxes are missing from the provider's lists.
	ListLag time.Duration
}

// String is one line.
func (p Plan) String() string {
	words := []string{p.Flavour}
	for _, kill := range p.Kills {
		words = append(words, "kill at "+kill.String())
	}
	for _, fault := range p.Faults {
		words = append(words, fmt.Sprintf("%s at %s", fault.Kind, fault.Point))
	}
	if p.ListLag > 0 {
		words = append(words, "lists lag by "+p.ListLag.String())
	}
	return strings.Join(words, ", ")
}

// ParsePlan understands String.
func ParsePlan(text string) (Plan, error) {
	words := strings.Split(text, ", ")
	plan := Plan{Flavour: words[0]}
	for _, word := range words[1:] {
		if err := parseInto(&plan, word); err != nil {
			return Plan{}, err
		}
	}
	return plan, nil
}

func parseInto(p *Plan, word string) error {
	if point, ok := strings.CutPrefix(word, "kill at "); ok {
		kill, err := ParsePoint(point)
		p.Kills = append(p.Kills, kill)
		return err
	}
	if lag, ok := strings.CutPrefix(word, "lists lag by "); ok {
		var err error
		p.ListLag, err = time.ParseDuration(lag)
		return err
	}
	kind, where, ok := strings.Cut(word, " at ")
	if !ok || !slices.Contains(fake.Kinds(), fake.Kind(kind)) {
		return fmt.Errorf("%q is no part of a plan: write \"kill at POINT\", \"KIND at CALL#N\" or \"lists lag by TIME\"", word)
	}
	p.Faults = append(p.Faults, NewFault(fake.Kind(kind), where))
	return nil
}

// NewFault is a fault of this kind at a call of the provider's.
func NewFault(kind fake.Kind, call string) fake.Fault {
	return fake.Fault{Kind: kind, Point: call, Delay: 2 * time.Second}
}

// loses says whether a sandbox may be lost in the run, or be taken for lost.
func (p Plan) loses() bool {
	for _, fault := range p.Faults {
		if fault.Kind == fake.Death || fault.Kind == fake.Denied {
			return true
		}
	}
	return false
}

// Run is a plan that was carried out.
type Run struct {
	Plan Plan
	// Err is what is wrong; nil where everything holds.
	Err error
	// Reached says of each kill whether the manager came to it.
	Reached []bool
	// Writes and Calls are what the manager asked for.
	Writes []apiproxy.Request
	Calls  []fake.Call
	// Unknown are the commands whose outcome nobody knows.
	Unknown []string
	// Took is how long it took.
	Took time.Duration
	// Timeline and Log are for a person.
	Timeline, Log string
}

// Perform carries out a plan.
func (s *Stage) Perform(ctx context.Context, plan Plan) Run {
	began := time.Now()
	run := Run{Plan: plan, Reached: make([]bool, len(plan.Kills))}
	c, err := s.newScene(ctx, plan)
	if err != nil {
		run.Err = fmt.Errorf("making the scene: %w", err)
		return run
	}
	run.Err = c.perform(ctx, &run)
	run.Took = time.Since(began)
	run.Timeline, run.Log = c.timeline.String(), c.log()
	run.Err = errors.Join(run.Err, c.Close(ctx))
	return run
}

// runTimeout is the time after which a run is stuck.
const runTimeout = 2 * time.Minute

func (c *scene) perform(ctx context.Context, run *Run) error {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	watching, stop := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer stop()
	if err := c.watch(watching, &watchers); err != nil {
		return err
	}
	strikes := make([]<-chan error, len(run.Plan.Kills))
	for i, kill := range run.Plan.Kills {
		var err error
		if strikes[i], err = c.ambush(watching, kill); err != nil {
			return err
		}
	}
	if err := c.startManager(); err != nil {
		return err
	}
	err := c.live(ctx, run)
	for i, struck := range strikes {
		select {
		case killErr := <-struck:
			run.Reached[i] = true
			err = errors.Join(err, killErr)
		default:
		}
	}
	state, stateErr := c.control.State(context.WithoutCancel(ctx))
	c.note(state)
	run.Calls = state.Calls
	run.Writes = c.proxy.Since(0, func(r apiproxy.Request) bool { return apiKey(r) != "" })
	return errors.Join(err, stateErr)
}
