// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/advice"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// noOperator is what to do about an object of which no operator has said anything.
const noOperator = "no operator has seen it yet: kubectl sandbox doctor says whether one works"

// ready writes the line that says how it is.
func (p *Page) ready(conditions []metav1.Condition) {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		p.readiness("Unknown: "+noOperator, cli.Yellow)
	case ready.Status == metav1.ConditionTrue:
		p.readiness("True ("+ready.Reason+")", cli.Green)
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled):
		p.readiness(string(ready.Status)+" ("+ready.Reason+"), and will not be by itself", cli.Red)
	default:
		p.readiness(string(ready.Status)+" ("+ready.Reason+")", cli.Yellow)
	}
}

// trouble is what a condition says that is not as it should be.
type trouble struct{ reason, message string }

// troubles are all of them, each reason once.
func troubles(conditions []metav1.Condition) []trouble {
	var found []trouble
	for name, wanted := range map[string]metav1.ConditionStatus{
		v1alpha1.ConditionReady: metav1.ConditionTrue, v1alpha1.ConditionFilesWritten: metav1.ConditionTrue,
		v1alpha1.ConditionStalled: metav1.ConditionFalse, v1alpha1.ConditionDeleting: metav1.ConditionFalse,
	} {
		c := meta.FindStatusCondition(conditions, name)
		if c == nil || c.Status == wanted || slices.ContainsFunc(found, func(t trouble) bool { return t.reason == c.Reason }) {
			continue
		}
		found = append(found, trouble{c.Reason, c.Message})
	}
	slices.SortFunc(found, func(a, b trouble) int { return strings.Compare(a.reason, b.reason) })
	return found
}

// why writes what is not as it should be, and what to do about it.
func (p *Page) why(conditions []metav1.Condition, about advice.About, further ...string) {
	found := troubles(conditions)
	if len(found) == 0 && len(further) == 0 {
		return
	}
	p.section("Why, and what to do")
	said := map[string]bool{"": true}
	for _, t := range found {
		p.linef("%s: %s", t.reason, t.message)
		if next := advice.Next(t.reason, about); !said[next] {
			p.linef("  -> %s", next)
			said[next] = true
		}
	}
	for _, reason := range further {
		if next := advice.Next(reason, about); !said[next] {
			p.linef("%s", reason)
			p.linef("  -> %s", next)
		}
	}
}
