// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command cmd runs the benchmarks, prints what came of them as a table, writes it as JSON, and fails where it is outside of the
// ranges that are kept in test/bench/ranges.yaml, if it is told to look. hack/with-binaries finds the programs for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sandbox-operator/sandbox-operator/test/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetLogger(logr.Discard())
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func run(ctx context.Context) (err error) {
	stage := &bench.Stage{Out: os.Stdout}
	rounds := flag.Int("rounds", 3, "how often each scenario is played of which one round says little")
	only := flag.String("only", "", "a regular expression: the scenarios to play; empty = all")
	jsonFile := flag.String("json", "", "where to write the figures; empty = nowhere")
	check := flag.Bool("check", false, "fail where figures are outside of their ranges")
	flag.IntVar(&stage.Size, "size", 1, "divides the numbers of objects: above 1 nothing is measured, and all is tried")
	flag.IntVar(&stage.MixedSeconds, "mixed-seconds", 300, "how long the mixed load goes on")
	flag.StringVar(&stage.Profiles, "profiles", "", "a folder for CPU profiles of manager and API server; empty = none are taken")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	if err := stage.Open(ctx); err != nil {
		return err
	}
	if err := play(ctx, stage, wanted, *rounds); err != nil {
		return err
	}
	report := bench.NewReport(stage.Figures())
	fmt.Print(report)
	if growth := report.Growth(); growth != "" {
		fmt.Printf("\nWhat one Sandbox costs, by how many there are:\n%s", growth)
	}
	if *jsonFile != "" {
		if err := report.WriteJSON(*jsonFile); err != nil {
			return err
		}
	}
	if *check {
		return report.Check()
	}
	return nil
}

func play(ctx context.Context, stage *bench.Stage, wanted *regexp.Regexp, rounds int) error {
	for _, scenario := range bench.Scenarios() {
		if !wanted.MatchString(scenario.Name) {
			continue
		}
		times := 1
		if scenario.Rounds {
			times = rounds
		}
		for round := range times {
			if err := scenario.Play(stage, ctx, round+1); err != nil {
				return fmt.Errorf("%s: %w", scenario.Name, err)
			}
		}
	}
	return nil
}
