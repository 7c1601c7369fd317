// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC)

func at(minutes int) *metav1.Time {
	return &metav1.Time{Time: now.Add(time.Duration(minutes) * time.Minute)}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: *at(-10)}
}

func TestASandboxThatIsWell(t *testing.T) {
	sandbox := &v1alpha1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "team", Name: "box", CreationTimestamp: *at(-30),
			Annotations: map[string]string{v1alpha1.JournalAnnotation: `{"attempt":1,"time":"2026-01-02T03:31:00Z"}`},
		},
		Spec: v1alpha1.SandboxSpec{Lifetime: &v1alpha1.SandboxLifetime{
			TimeoutSeconds: 3600, IdleTimeoutSeconds: 600, OnIdle: v1alpha1.OnIdlePause,
		}},
		Status: v1alpha1.SandboxStatus{
			SandboxID: "id-1", State: v1alpha1.SandboxRunning, Incarnation: 2, CreatedAt: at(-28), ExpiresAt: at(32), Image: "python:3.14",
			Provider:   &v1alpha1.ProviderIdentity{Kind: v1alpha1.KindClusterSandboxProvider, Name: "local", Backend: "local"},
			Conditions: []metav1.Condition{condition("Ready", "True", "Ready", "The sandbox runs")},
			Endpoints:  []v1alpha1.SandboxEndpoint{{Name: "web", URL: "http://127.0.0.1:1"}},
		},
	}
	event := corev1.Event{Reason: "Told", Message: "a\x1b[31mb", LastTimestamp: *at(-5), Count: 3}
	page := &Page{Now: now, Unread: []string{"its runs can't be read: no"}}
	text := Sandbox(SandboxFacts{Sandbox: sandbox, Events: []corev1.Event{event}}, page)
	NewWithT(t).Expect(text).To(Equal(`Sandbox:     team/box
Ready:       True (Ready)
Provider:    ClusterSandboxProvider local (local)
Remote:      id-1, Running, incarnation 2
Image:       python:3.14
Ends:        2026-01-02T04:32:00Z (in 32m), as lifetime.timeoutSeconds says; Pause after 10m0s without a run
Port web:    http://127.0.0.1:1

Timeline
  2026-01-02 03:30:00Z   +0s      the object was created
  2026-01-02 03:31:00Z   +1m0s    the operator noted that it makes the remote (attempt 1)
  2026-01-02 03:32:00Z   +2m0s    the provider made the remote
  2026-01-02 03:50:00Z   +20m0s   Ready
  2026-01-02 03:55:00Z   +25m0s   event Told: a�[31mb (3 times)
  2026-01-02 04:32:00Z   in 32m   the remote will be destroyed

Not seen
  its runs can't be read: no
`))
}

func TestASandboxThatNoOperatorHasSeen(t *testing.T) {
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "box"}}
	text := Sandbox(SandboxFacts{Sandbox: sandbox}, &Page{Now: now})
	NewWithT(t).Expect(text).To(ContainSubstring("Ready:       Unknown: no operator has seen it yet: kubectl sandbox doctor"))
}

func TestWhyASandboxIsNotReady(t *testing.T) {
	g := NewWithT(t)
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "box"}}
	provider := NamespacedProvider(&v1alpha1.SandboxProvider{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "mine"}})
	provider.Status.Conditions = []metav1.Condition{condition("Ready", "False", v1alpha1.ReasonUnauthorized, "refused")}
	sandbox.Status.Conditions = []metav1.Condition{
		condition("Ready", "False", v1alpha1.ReasonLimitReached, "3 of 3"),
		condition("Stalled", "True", v1alpha1.ReasonLimitReached, "3 of 3"),
		condition("Deleting", "True", v1alpha1.ReasonDestroyFailed, "no answer"),
	}
	text := Sandbox(SandboxFacts{Sandbox: sandbox, Provider: &provider}, &Page{Now: now, Painter: true})
	g.Expect(text).To(ContainSubstring("\x1b[31mFalse (LimitReached), and will not be by itself\x1b[0m"))
	g.Expect(strings.Count(text, "LimitReached: 3 of 3")).To(Equal(1), "what two conditions say is said once")
	g.Expect(text).To(ContainSubstring("or raise limits.maxSandboxes: kubectl edit sbxp mine -n team\n"))
	g.Expect(text).To(ContainSubstring("DestroyFailed: no answer\n    -> mend what the message names; or give the remote up: " +
		"kubectl annotate sbx box -n team sandboxes.run/abandon=true"))
	g.Expect(text).To(ContainSubstring("not Ready (Unauthorized): refused\n    -> renew the key"))
}

func TestARunThatWasRetriedAndFailed(t *testing.T) {
	run := &v1alpha1.SandboxExec{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "run", CreationTimestamp: *at(-30)},
		Spec: v1alpha1.SandboxExecSpec{
			SandboxRef: &v1alpha1.LocalReference{Name: "box"}, Command: []string{"echo", strings.Repeat("x", 100)},
		},
		Status: v1alpha1.SandboxExecStatus{
			Outcome: v1alpha1.OutcomeUnknown, Reason: v1alpha1.ReasonRunnerLost, Attempt: 2, StartTime: at(-20), CompletionTime: at(-19),
			DurationMilliseconds: new(int64(1500)), SandboxID: "id", Incarnation: 1,
			Stdout: &v1alpha1.StreamStatus{
				Bytes: new(int64(7)), Retention: v1alpha1.RetentionComplete, StoredIn: &v1alpha1.StoredObject{Secret: "s"},
			},
			Attempts: []v1alpha1.AttemptStatus{{
				Attempt: 1, Outcome: v1alpha1.OutcomeTimedOut, Reason: "TimeoutExceeded", StartTime: at(-29), CompletionTime: at(-25),
			}},
			Conditions: []metav1.Condition{condition("Ready", "False", "Unknown", "lost"), condition("Stalled", "True", "Unknown", "lost")},
			Outputs:    []v1alpha1.OutputStatus{{Name: "/out", State: v1alpha1.OutputMissing}},
		},
	}
	text := Run(RunFacts{Run: run}, &Page{Now: now})
	for _, part := range []string{
		"State:       Unknown\n", "Cause:       RunnerLost\n", "Took:        1.5s\n",
		"stdout:      7 bytes, Complete, all in Secret s\n", "xxx...\n",
		"  Unknown: lost\n    -> it may have run: look in the sandbox",
		"  RunnerLost\n    -> look in the sandbox at what it did; perhaps it needs more memory\n",
		"  /out   Missing\n",
		"+1m0s    attempt 1 started\n", "+5m0s    attempt 1 ended: TimedOut (TimeoutExceeded)\n", "+11m0s   ended: Unknown\n",
	} {
		NewWithT(t).Expect(text).To(ContainSubstring(part))
	}
}

func TestALongTimelineShowsItsBeginningAndItsEnd(t *testing.T) {
	g := NewWithT(t)
	line := &timeline{began: now}
	for i := range 100 {
		line.addf(at(i-100), "moment %d.", i)
	}
	page := &Page{Now: now}
	line.write(page)
	g.Expect(page.String()).To(SatisfyAll(
		ContainSubstring("moment 2."), ContainSubstring("... 75 more ..."), ContainSubstring("moment 78."), ContainSubstring("moment 99."),
		Not(ContainSubstring("moment 3.")), Not(ContainSubstring("moment 77.")),
	))
}

func TestAProviderWithWhatItLost(t *testing.T) {
	provider := &v1alpha1.ClusterSandboxProvider{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{
		v1alpha1.DefaultProviderAnnotation: "true",
	}}}
	provider.Spec.Backend, provider.Spec.Credentials = "e2b", &v1alpha1.ProviderCredentials{SecretRef: v1alpha1.LocalReference{Name: "key"}}
	provider.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{
		From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
	}
	provider.Spec.Limits = &v1alpha1.ProviderLimits{MaxSandboxes: new(int32(9))}
	provider.Status = v1alpha1.ProviderStatus{
		SandboxCount: new(int32(4)), OrphanCount: new(int32(1)),
		Orphans:    []v1alpha1.OrphanRemote{{SandboxID: "o", Namespace: "n", Name: "m"}},
		Abandoned:  []v1alpha1.AbandonedRemote{{Sandbox: "n/b", AbandonedAt: at(-60)}},
		Conditions: []metav1.Condition{condition("Ready", "True", "Ready", "")},
	}
	text := Provider(ClusterProvider(provider), &Page{Now: now})
	for _, part := range []string{
		"Credentials: Secret key\n", "Default:     yes", "Namespaces:  those that match team=a\n",
		"Has:         4 sandboxes of 9 (limits.maxSandboxes), 1 orphans, 1 abandoned\n",
		"  o   of n/m\n", "  -   of n/b   2026-01-02T03:00:00Z (60m ago)\n",
	} {
		NewWithT(t).Expect(text).To(ContainSubstring(part))
	}
}
