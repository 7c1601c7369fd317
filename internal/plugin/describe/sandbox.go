// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/advice"
)

// SandboxFacts are what a description of a Sandbox is made of. All but the Sandbox may be missing.
type SandboxFacts struct {
	Sandbox  *v1alpha1.Sandbox
	Provider *ProviderFacts
	// Runs are its newest runs, the newest first, and AllRuns is how many there are.
	Runs    []v1alpha1.SandboxExec
	AllRuns int
	Events  []corev1.Event
}

// mostRuns are shown of the runs of a sandbox.
const mostRuns = 5

// Sandbox tells of a Sandbox.
func Sandbox(f SandboxFacts, p *Page) string {
	s := f.Sandbox
	p.field("Sandbox", s.Namespace+"/"+s.Name)
	p.ready(s.Status.Conditions)
	switch {
	case s.Status.Provider != nil:
		p.field("Provider", fmt.Sprintf("%s %s (%s)", s.Status.Provider.Kind, s.Status.Provider.Name, s.Status.Provider.Backend))
	case s.Spec.ProviderRef != nil:
		p.field("Provider", fmt.Sprintf("%s %s, as spec asks", s.Spec.ProviderRef.Kind, s.Spec.ProviderRef.Name))
	default:
		p.field("Provider", "the default one, when it is made")
	}
	p.field("Remote", remote(&s.Status))
	p.field("Image", s.Status.Image)
	p.field("Wanted", wanted(&s.Spec))
	p.field("Ends", ends(s, p))
	for i := range s.Status.Endpoints {
		p.field("Port "+s.Status.Endpoints[i].Name, s.Status.Endpoints[i].URL)
	}
	p.why(s.Status.Conditions, sandboxAbout(s, f.Provider))
	if f.Provider != nil {
		f.Provider.summary(p)
	}
	sandboxTimeline(f).write(p)
	lastRuns(f, p)
	return p.String()
}

func sandboxAbout(s *v1alpha1.Sandbox, provider *ProviderFacts) advice.About {
	about := advice.About{Resource: "sbx", Namespace: s.Namespace, Name: s.Name}
	if provider != nil {
		about.Provider = provider.typed()
	}
	return about
}

func remote(status *v1alpha1.SandboxStatus) string {
	if status.SandboxID == "" {
		return "none yet"
	}
	return fmt.Sprintf("%s, %s, incarnation %d", status.SandboxID, orUnknown(string(status.State)), status.Incarnation)
}

func orUnknown(text string) string {
	if text == "" {
		return "state unknown"
	}
	return text
}

// wanted is what the spec says it shall be doing, beside what everybody's does.
func wanted(spec *v1alpha1.SandboxSpec) string {
	var words []string
	if spec.DesiredState == v1alpha1.DesiredPaused {
		words = append(words, "Paused")
	}
	if spec.ExecConcurrency == v1alpha1.ExecSerial {
		words = append(words, "one run after another")
	}
	if spec.DeletionPolicy == v1alpha1.DeletionPolicyRetain {
		words = append(words, "the remote outlives the object (Retain)")
	}
	return strings.Join(words, ", ")
}

// ends is when and why the remote will end, or did.
func ends(s *v1alpha1.Sandbox, p *Page) string {
	var words []string
	if finished := s.Status.FinishedAt; finished != nil {
		return "ended " + p.moment(finished)
	}
	if expires := s.Status.ExpiresAt; expires != nil {
		words = append(words, p.moment(expires)+", as lifetime.timeoutSeconds says")
	}
	if lifetime := s.Spec.Lifetime; lifetime != nil && lifetime.IdleTimeoutSeconds > 0 {
		onIdle := lifetime.OnIdle
		if onIdle == "" {
			onIdle = v1alpha1.OnIdleDestroy
		}
		words = append(words, fmt.Sprintf("%s after %s without a run", onIdle, time.Duration(lifetime.IdleTimeoutSeconds)*time.Second))
	}
	return strings.Join(words, "; ")
}

// sandboxTimeline is what happened to it.
func sandboxTimeline(f SandboxFacts) *timeline {
	s := f.Sandbox
	t := &timeline{began: s.CreationTimestamp.Time}
	t.addf(&s.CreationTimestamp, "the object was created")
	var journal struct {
		Attempt int
		Time    time.Time
	}
	if text := s.Annotations[v1alpha1.JournalAnnotation]; text != "" && json.Unmarshal([]byte(text), &journal) == nil {
		noted := metav1.Time{Time: journal.Time.Truncate(time.Second)}
		t.addf(&noted, "the operator noted that it makes the remote (attempt %d)", journal.Attempt)
	}
	t.addf(s.Status.CreatedAt, "the provider made the remote")
	for _, c := range s.Status.Conditions {
		switch {
		case c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue:
			t.addf(&c.LastTransitionTime, "Ready")
		case c.Type == v1alpha1.ConditionReady:
			t.addf(&c.LastTransitionTime, "not Ready (%s)", c.Reason)
		case c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue:
			t.addf(&c.LastTransitionTime, "Stalled (%s)", c.Reason)
		}
	}
	for i := range f.Runs {
		run := &f.Runs[i]
		t.addf(run.Status.StartTime, "run %s started", run.Name)
		t.addf(run.Status.CompletionTime, "run %s ended: %s", run.Name, outcome(run))
	}
	t.events(f.Events)
	t.addf(s.Status.LastActivityTime, "last seen in use")
	t.addf(s.DeletionTimestamp, "the object was deleted; it waits for the remote to be gone")
	t.addf(s.Status.FinishedAt, "the remote ended for good")
	if s.Status.FinishedAt == nil {
		t.addf(s.Status.ExpiresAt, "the remote will be destroyed")
	}
	return t
}

// outcome is how a run ended, or what it does.
func outcome(run *v1alpha1.SandboxExec) string {
	switch {
	case run.Status.Outcome == "":
		if ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			return ready.Reason
		}
		return "not seen by an operator"
	case run.Status.ExitCode != nil:
		return fmt.Sprintf("%s (exit code %d)", run.Status.Outcome, *run.Status.ExitCode)
	}
	return string(run.Status.Outcome)
}

// lastRuns lists the newest runs.
func lastRuns(f SandboxFacts, p *Page) {
	runs := f.Runs
	if len(runs) == 0 {
		return
	}
	p.section(fmt.Sprintf("Last runs (%d in all)", max(f.AllRuns, len(runs))))
	rows := [][]string{{"NAME", "OUTCOME", "TOOK", "CREATED", "COMMAND"}}
	for i := range runs[:min(mostRuns, len(runs))] {
		run, took := &runs[i], ""
		if run.Status.DurationMilliseconds != nil {
			took = (time.Duration(*run.Status.DurationMilliseconds) * time.Millisecond).String()
		}
		rows = append(rows, []string{run.Name, outcome(run), took, p.ago(run.CreationTimestamp.Time), commandOf(&run.Spec)})
	}
	p.columns(rows)
}

// commandOf is the beginning of what a run runs.
func commandOf(spec *v1alpha1.SandboxExecSpec) string {
	const most = 60
	text := strings.Join(spec.Command, " ")
	if spec.Code != nil {
		text = fmt.Sprintf("code (%s)", spec.Code.Language)
	}
	if short := []rune(text); len(short) > most {
		text = string(short[:most]) + "..."
	}
	return text
}
