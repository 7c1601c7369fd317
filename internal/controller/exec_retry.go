// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

const (
	defaultBackoffSeconds = 10
	mostBackoff           = 10 * time.Minute
)

// isRetried says that an attempt which ends so is followed by another. What can never work is not tried again.
func (p *execPass) isRetried(e ending) bool {
	retry := p.exec.Spec.Retry
	switch {
	case retry == nil, attemptOf(p.exec) > retry.Limit:
		return false
	case p.exec.Spec.DesiredState == v1alpha1.ExecCancelled, p.exec.DeletionTimestamp != nil:
		return false
	case e.reason == v1alpha1.ReasonInvalid, e.reason == v1alpha1.ReasonUnsupported:
		return false
	default:
		return slices.Contains(retry.Outcomes, v1alpha1.RetriedOutcome(e.outcome))
	}
}

// backoff is the wait before the next attempt, after so many.
func backoff(retry *v1alpha1.ExecRetry, attempts int32) time.Duration {
	seconds := int32(defaultBackoffSeconds)
	if retry.BackoffSeconds != nil {
		seconds = *retry.BackoffSeconds
	}
	return min(time.Duration(seconds)*time.Second<<(attempts-1), mostBackoff)
}

// fold puts an attempt that ended behind the status, and makes that ready for the next one.
func (p *execPass) fold(e ending) {
	status, retry := &p.exec.Status, p.exec.Spec.Retry
	attempt := v1alpha1.AttemptStatus{
		Attempt: attemptOf(p.exec), Outcome: e.outcome, Reason: e.reason, StartTime: status.StartTime,
		CompletionTime: new(metav1.NewTime(e.completedAt(p.clock.Now(), status.StartTime))),
		SandboxID:      status.SandboxID, Incarnation: status.Incarnation,
	}
	if e.end != nil {
		attempt.ExitCode = new(int32(e.end.ExitCode))
		attempt.DurationMilliseconds = new(e.end.Duration.Milliseconds())
	}
	*status = v1alpha1.SandboxExecStatus{
		ObservedGeneration: status.ObservedGeneration, Conditions: status.Conditions, Attempts: append(status.Attempts, attempt),
		NextAttemptTime: new(metav1.NewTime(roundedUp(p.now.Add(backoff(retry, attempt.Attempt))))),
	}
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStarted)
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonWaitingForRetry,
		fmt.Sprintf("Attempt %d of %d ended %s (%s): %s", attempt.Attempt, retry.Limit+1, e.outcome, e.reason, e.redaction.text(e.message)))
}

// roundedUp is the time as the API keeps it, and not before it.
func roundedUp(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// backOff waits until the next attempt may start.
func (p *execPass) backOff(context.Context) (ctrl.Result, error) {
	return ctrl.Result{RequeueAfter: p.facts().startAt.Sub(p.now) + time.Millisecond}, nil
}
