// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

func TestCompletedAt(t *testing.T) {
	ended := func(ago time.Duration) ending { return ending{end: &execution.End{Ago: ago}} }
	at := func(t time.Time) *metav1.Time { return new(metav1.NewTime(t)) }
	for name, c := range map[string]struct {
		ending  ending
		started *metav1.Time
		want    time.Time
	}{
		"as long ago as the runner says":                {ended(time.Second), at(noon.Add(-time.Minute)), noon.Add(-time.Second)},
		"not before it started":                         {ended(time.Minute), at(noon.Add(-time.Second)), noon.Add(-time.Second)},
		"now, where nobody says":                        {ending{}, at(noon.Add(-time.Minute)), noon},
		"of a run that never started, now":              {ending{}, nil, noon},
		"not before a start that this clock calls late": {ending{}, at(noon.Add(time.Second)), noon.Add(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.ending.completedAt(noon, c.started); !got.Equal(c.want) {
				t.Errorf("it ended at %s, not at %s", got, c.want)
			}
		})
	}
}

func TestALostRunSaysWhatItsSandboxKnowsOfTheEnd(t *testing.T) {
	const stopped, gone = v1alpha1.ReasonRemoteStopped, v1alpha1.ReasonRemoteGone
	const oom = "The sandbox ended by itself: out of memory"
	for name, c := range map[string]struct {
		state                         v1alpha1.SandboxState
		ready, message, reason, wants string
	}{
		"that it stopped":           {v1alpha1.SandboxStopped, stopped, oom, stopped, oom},
		"and another comes":         {v1alpha1.SandboxStopped, v1alpha1.ReasonRecreating, oom, stopped, oom},
		"not why no other comes":    {v1alpha1.SandboxStopped, v1alpha1.ReasonUnavailable, "away", stopped, stoppedMessage("")},
		"that its time was over":    {v1alpha1.SandboxGone, v1alpha1.ReasonExpired, "60 seconds", gone, "60 seconds"},
		"that nobody used it":       {v1alpha1.SandboxGone, v1alpha1.ReasonIdleTimeout, "idle", gone, "idle"},
		"not what to do with it":    {v1alpha1.SandboxGone, gone, "delete this", gone, goneMessage},
		"nothing, where it says so": {v1alpha1.SandboxGone, "", "", gone, goneMessage},
	} {
		t.Run(name, func(t *testing.T) {
			sandbox := &v1alpha1.Sandbox{Status: v1alpha1.SandboxStatus{State: c.state}}
			if c.ready != "" {
				sandbox.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: c.ready, Message: c.message}}
			}
			if reason, message := remoteLost(sandbox); reason != c.reason || message != c.wants {
				t.Errorf("it says %s: %q", reason, message)
			}
		})
	}
}

func TestWhatIsTooLargeIsToldWhereItFits(t *testing.T) {
	for name, c := range map[string]struct {
		bytes int64
		to    *v1alpha1.OutputDestination
		want  string
	}{
		"for status":                       {mostKept + 1, nil, "name a ConfigMap or a Secret"},
		"for status, and everywhere":       {mostStored + 1, nil, "a store of yours"},
		"for a ConfigMap that others fill": {mostStored, &v1alpha1.OutputDestination{}, "one of its own"},
		"for every ConfigMap":              {mostStored + 1, &v1alpha1.OutputDestination{}, "takes: write less"},
	} {
		t.Run(name, func(t *testing.T) {
			o := output{to: c.to}
			o.status.Bytes = &c.bytes
			if o.tooLarge(mostKept); !strings.Contains(o.status.Message, c.want) {
				t.Errorf("%q doesn't say %q", o.status.Message, c.want)
			}
		})
	}
}
