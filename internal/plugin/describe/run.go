// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/advice"
)

// RunFacts are what a description of a run is made of. All but the run may be missing.
type RunFacts struct {
	Run     *v1alpha1.SandboxExec
	Sandbox *v1alpha1.Sandbox
	Events  []corev1.Event
}

// Run tells of a SandboxExec.
func Run(f RunFacts, p *Page) string {
	r := f.Run
	p.field("Run", r.Namespace+"/"+r.Name)
	p.ready(r.Status.Conditions)
	p.field("Command", commandOf(&r.Spec))
	p.field("State", outcome(r))
	p.field("Cause", r.Status.Reason)
	p.field("Sandbox", sandboxName(r))
	if r.Status.SandboxID != "" {
		p.field("Remote", fmt.Sprintf("%s, incarnation %d", r.Status.SandboxID, r.Status.Incarnation))
	}
	if r.Status.DurationMilliseconds != nil {
		p.field("Took", (time.Duration(*r.Status.DurationMilliseconds) * time.Millisecond).String())
	}
	stream(p, "stdout", r.Status.Stdout)
	stream(p, "stderr", r.Status.Stderr)
	runWhy(f, p)
	outputs(p, r.Status.Outputs)
	t := &timeline{began: r.CreationTimestamp.Time}
	t.addf(&r.CreationTimestamp, "the object was created")
	for _, a := range r.Status.Attempts {
		t.addf(a.StartTime, "attempt %d started", a.Attempt)
		t.addf(a.CompletionTime, "attempt %d ended: %s (%s)", a.Attempt, a.Outcome, a.Reason)
	}
	t.addf(r.Status.NextAttemptTime, "the next attempt may start")
	t.addf(r.Status.StartTime, "the command may have run from here on (attempt %d)", r.Status.Attempt)
	t.addf(r.Status.CompletionTime, "ended: %s", outcome(r))
	t.addf(r.DeletionTimestamp, "the object was deleted")
	t.events(f.Events)
	t.write(p)
	return p.String()
}

// runWhy says what to do, also about its sandbox where it waits for that.
func runWhy(f RunFacts, p *Page) {
	r := f.Run
	about := advice.About{Resource: "sbxe", Namespace: r.Namespace, Name: r.Name}
	var further []string
	if r.Status.Outcome != "" && r.Status.Outcome != v1alpha1.OutcomeSucceeded && r.Status.Reason != string(r.Status.Outcome) {
		further = append(further, r.Status.Reason)
	}
	p.why(r.Status.Conditions, about, further...)
	if f.Sandbox == nil || r.Status.Outcome != "" {
		return
	}
	if !meta.IsStatusConditionTrue(f.Sandbox.Status.Conditions, v1alpha1.ConditionReady) {
		p.section("Its sandbox")
		p.ready(f.Sandbox.Status.Conditions)
		p.why(f.Sandbox.Status.Conditions, sandboxAbout(f.Sandbox, nil))
	}
}

func sandboxName(r *v1alpha1.SandboxExec) string {
	switch {
	case r.Spec.SandboxRef != nil:
		return r.Spec.SandboxRef.Name
	case r.Status.SandboxName != "":
		return r.Status.SandboxName + ", of its own"
	}
	return "one of its own, when it is made"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// stream says how much was printed, and where all of it is.
func stream(p *Page, name string, s *v1alpha1.StreamStatus) {
	if s == nil || s.Bytes == nil {
		return
	}
	text := fmt.Sprintf("%d bytes, %s", *s.Bytes, s.Retention)
	if s.StoredIn != nil {
		text += ", all in " + stored(s.StoredIn)
	}
	p.field(name, text)
}

func stored(in *v1alpha1.StoredObject) string {
	if in.Secret != "" {
		return "Secret " + in.Secret
	}
	return "ConfigMap " + in.ConfigMap
}

// outputs lists what became of the files that were asked for.
func outputs(p *Page, outputs []v1alpha1.OutputStatus) {
	if len(outputs) == 0 {
		return
	}
	p.section("Outputs")
	var rows [][]string
	for i := range outputs {
		o := &outputs[i]
		where := o.Message
		if o.StoredIn != nil {
			where = stored(o.StoredIn)
		}
		rows = append(rows, []string{o.Name, string(o.State), where})
	}
	p.columns(rows)
}
