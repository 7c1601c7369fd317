// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"

	evaluationsv1 "example.com/evaluation/api/v1"
)

// judge says what the outcome of a run means for its task. No outcome yet is no verdict: a run ends once, and then never changes.
func judge(task evaluationsv1.Task, attempt int32, exec *v1alpha1.SandboxExec) evaluationsv1.TaskStatus {
	status := evaluationsv1.TaskStatus{Name: task.Name, Attempt: attempt, Verdict: evaluationsv1.Pending}
	switch exec.Status.Outcome {
	case "":
		return status
	case v1alpha1.OutcomeSucceeded:
		status.Verdict = evaluationsv1.Passed
		return status
	case v1alpha1.OutcomeFailed, v1alpha1.OutcomeTimedOut:
		// The command ran to an end of its own: that is about what was evaluated.
		status.Verdict = evaluationsv1.Failed
	default:
		// StartFailed: it certainly never ran. SandboxLost and Unknown: it may have, and nobody knows how it would have ended. Cancelled:
		// somebody wanted no answer. None of these says that the task is bad, and none is reason enough to run it again unasked.
		status.Verdict = evaluationsv1.Inconclusive
	}
	// The message of Ready is written for people: it says what happened, and what to do.
	if ready := meta.FindStatusCondition(exec.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		status.Message = fmt.Sprintf("%s: %s", exec.Status.Outcome, ready.Message)
	}
	return status
}

// judgeLost is judge for a run whose sandbox was lost, and that is to be followed by another: that one waits for another sandbox. A
// Sandbox that is Stalled gets none by itself, because its time is over, or because the provider refuses it: to wait for it is to wait
// for ever.
func judgeLost(
	task evaluationsv1.Task, attempt int32, lost *v1alpha1.SandboxExec, sandbox *v1alpha1.Sandbox,
) evaluationsv1.TaskStatus {
	stalled := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled == nil || stalled.Status != metav1.ConditionTrue {
		return evaluationsv1.TaskStatus{Name: task.Name, Attempt: attempt, Verdict: evaluationsv1.Pending}
	}
	status := judge(task, attempt, lost)
	status.Message += fmt.Sprintf(", and there is no other (%s): %s", stalled.Reason, stalled.Message)
	return status
}

// finished is the condition that sums up all tasks.
func finished(evaluation *evaluationsv1.Evaluation) metav1.Condition {
	count := map[evaluationsv1.Verdict]int{}
	for _, task := range evaluation.Status.Tasks {
		count[task.Verdict]++
	}
	condition := metav1.Condition{
		Type: evaluationsv1.ConditionFinished, Status: metav1.ConditionTrue, ObservedGeneration: evaluation.Generation,
		Message: fmt.Sprintf("%d passed, %d failed, %d inconclusive", count[evaluationsv1.Passed], count[evaluationsv1.Failed],
			count[evaluationsv1.Inconclusive]),
	}
	switch {
	case count[evaluationsv1.Pending] > 0:
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "Running", "Tasks are running"
	case count[evaluationsv1.Failed] > 0:
		condition.Reason = string(evaluationsv1.Failed)
	case count[evaluationsv1.Inconclusive] > 0:
		condition.Reason = string(evaluationsv1.Inconclusive)
	default:
		condition.Reason = string(evaluationsv1.Passed)
	}
	return condition
}
