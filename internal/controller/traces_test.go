// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// lived is the status of a Sandbox with a remote; equipped says that its files were written.
func lived(state v1alpha1.SandboxState, reason string, equipped bool) v1alpha1.SandboxStatus {
	status := v1alpha1.SandboxStatus{SandboxID: "id", Incarnation: 1, State: state}
	progress := v1alpha1.ConditionReconciling
	if reason == v1alpha1.ReasonReady {
		progress = v1alpha1.ConditionReady
	}
	setProgress(&status.Conditions, 1, progress, reason, "")
	if equipped {
		setCondition(&status.Conditions, 1, v1alpha1.ConditionFilesWritten, metav1.ConditionTrue, v1alpha1.ReasonFilesWritten, "")
	}
	return status
}

func TestTheSpanOfASandboxIsSentOnce(t *testing.T) {
	const running, creating, paused = v1alpha1.SandboxRunning, v1alpha1.SandboxCreating, v1alpha1.SandboxPaused
	ready, writing, failing := v1alpha1.ReasonReady, v1alpha1.ReasonWritingFiles, "Unavailable"
	second := lived(running, ready, false)
	second.Incarnation = 2
	for name, c := range map[string]struct {
		before, after v1alpha1.SandboxStatus
		files, told   bool
	}{
		"it is made":                {after: lived(running, ready, false), told: true},
		"it is being made":          {after: lived(creating, v1alpha1.ReasonCreating, false)},
		"what was being made runs":  {before: lived(creating, failing, false), after: lived(running, ready, false), told: true},
		"it runs without its files": {after: lived(running, writing, false), files: true},
		"it gets its files": {
			before: lived(running, writing, false), after: lived(running, ready, true), files: true, told: true,
		},
		"it gets its files after failures": {
			before: lived(running, failing, false), after: lived(running, ready, true), files: true, told: true,
		},
		"it recovers":                {before: lived(running, failing, false), after: lived(running, ready, false)},
		"it recovers with its files": {before: lived(running, failing, true), after: lived(running, ready, true), files: true},
		"it stays":                   {before: lived(running, ready, false), after: lived(running, ready, false)},
		"it fails":                   {before: lived(running, ready, false), after: lived(running, failing, false)},
		"it is resumed":              {before: lived(paused, ready, false), after: lived(running, ready, false)},
		"it is made again, as its first was lost": {before: lived(v1alpha1.SandboxGone, failing, false), after: second},
	} {
		t.Run(name, func(t *testing.T) {
			sandbox := &v1alpha1.Sandbox{Status: c.after}
			if c.files {
				sandbox.Spec.Files = []v1alpha1.File{{}}
			}
			if got := isFirstMade(&c.before, sandbox); got != c.told {
				t.Errorf("its span is sent: %t, and should be: %t", got, c.told)
			}
		})
	}
}
