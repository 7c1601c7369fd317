// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos_test

import (
	"reflect"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/test/chaos"
)

func catalogue(t *testing.T) []chaos.Point {
	t.Helper()
	points, err := chaos.Catalogue()
	if err != nil || len(points) == 0 {
		t.Fatalf("the catalogue has %d points: %v", len(points), err)
	}
	return points
}

func TestEveryPlanCanBeReplayedFromItsText(t *testing.T) {
	points := catalogue(t)
	for _, plan := range append(chaos.Matrix(points), chaos.Sample(points, 7, 200)...) {
		again, err := chaos.ParsePlan(plan.String())
		if err != nil || !reflect.DeepEqual(again, plan) {
			t.Errorf("%q is read as %+v (%v), not as %+v", plan, again, err, plan)
		}
	}
	for _, text := range []string{
		"chaos, kill at nowhere", "chaos, kill at api patch sandboxes box before", "chaos, kill at api patch sandboxes box#1 never",
		"chaos, flood at create box#1", "chaos, lists lag by much",
	} {
		if plan, err := chaos.ParsePlan(text); err == nil {
			t.Errorf("%q is read as %+v", text, plan)
		}
	}
}

func TestASeedDrawsTheSameSample(t *testing.T) {
	points := catalogue(t)
	one, again, other := chaos.Sample(points, 1, 20), chaos.Sample(points, 1, 20), chaos.Sample(points, 2, 20)
	if !reflect.DeepEqual(one, again) || reflect.DeepEqual(one, other) {
		t.Error("a seed does not decide the sample")
	}
}

func TestTheMatrixHasEachPointAndNothingTwice(t *testing.T) {
	points, seen := catalogue(t), map[string]bool{}
	for _, plan := range chaos.Matrix(points) {
		if seen[plan.String()] {
			t.Errorf("%s is there twice", plan)
		}
		seen[plan.String()] = true
	}
	for _, p := range points {
		if !seen["chaos, kill at "+p.String()] {
			t.Errorf("no run dies at %s", p)
		}
	}
}
