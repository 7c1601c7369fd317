// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
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
		p.painted("Ready", "Unknown: "+noOperator, cli.Yellow)
	case ready.Status == metav1.ConditionTrue:
		p.painted("Ready", "True ("+ready.Reason+")", cli.Green)
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled):
		p.painted("Ready", string(ready.Status)+" ("+ready.Reason+"), and will not be by itself", cli.Red)
	default:
		p.painted("Ready", string(ready.Status)+" ("+ready.Reason+")", cli.Yellow)
	}
}

// why writes what is not as it should be, and what to do about it.
func (p *Page) why(conditions []metav1.Condition, about advice.About, further ...string) {
	type trouble struct{ reason, message string }
	var troubles []trouble
	note := func(c *metav1.Condition) {
		if c == nil {
			return
		}
		for _, t := range troubles {
			if t.reason == c.Reason {
				return
			}
		}
		troubles = append(troubles, trouble{c.Reason, c.Message})
	}
	for _, name := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionFilesWritten} {
		if c := meta.FindStatusCondition(conditions, name); c != nil && c.Status != metav1.ConditionTrue {
			note(c)
		}
	}
	for _, name := range []string{v1alpha1.ConditionStalled, v1alpha1.ConditionDeleting} {
		if c := meta.FindStatusCondition(conditions, name); c != nil && c.Status == metav1.ConditionTrue {
			note(c)
		}
	}
	if len(troubles) == 0 && len(further) == 0 {
		return
	}
	p.section("Why, and what to do")
	said := map[string]bool{"": true}
	for _, t := range troubles {
		p.line("%s: %s", t.reason, t.message)
		if next := advice.Next(t.reason, about); !said[next] {
			p.line("  -> %s", next)
			said[next] = true
		}
	}
	for _, reason := range further {
		if next := advice.Next(reason, about); !said[next] {
			p.line("%s", reason)
			p.line("  -> %s", next)
		}
	}
}
