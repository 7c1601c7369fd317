// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// observe translates a pod's status. A pod never starts twice, so whatever ended stays so.
func observe(pod *corev1.Pod, now time.Time, startDeadline time.Duration) (state backends.State, reason string) {
	status := statusOf(pod)
	switch {
	case pod.DeletionTimestamp != nil:
		return backends.StateStopped, leaving(pod)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return backends.StateStopped, ended(pod, now)
	case status != nil && status.State.Terminated != nil:
		return backends.StateStopped, ended(pod, now)
	case status != nil && status.State.Running != nil:
		return backends.StateRunning, ""
	}
	why, forGood := standsInTheWay(pod, status)
	switch {
	case forGood:
		return backends.StateStopped, why
	case now.Sub(pod.CreationTimestamp.Time) <= startDeadline:
		return backends.StateCreating, why
	case why == "":
		why = "no reason is known"
	}
	return backends.StateStopped, fmt.Sprintf("it did not start within %s: %s", startDeadline, why)
}

// standsInTheWay says why a pod does not run yet, and whether it never will.
func standsInTheWay(pod *corev1.Pod, status *corev1.ContainerStatus) (why string, forGood bool) {
	if status == nil || status.State.Waiting == nil {
		return unscheduled(pod), false
	}
	waiting := status.State.Waiting
	switch waiting.Reason {
	case "InvalidImageName":
		return fmt.Sprintf("%q is no name of an image", backends.Bounded(status.Image, 256)), true
	case "ErrImageNeverPull":
		return "its image is not on the node, and the parameter imagePullPolicy is Never", true
	case "ErrImagePull", "ImagePullBackOff":
		return sentence("its image can't be pulled", pulling(waiting.Message)), false
	case "CreateContainerConfigError":
		return sentence("its container can't be configured", waiting.Message), strings.Contains(waiting.Message, "runAsNonRoot")
	case "CreateContainerError", "RunContainerError", "CrashLoopBackOff":
		return cannotStart(waiting.Message), false
	}
	return "", false
}

// unscheduled is what the scheduler says.
func unscheduled(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			if condition.Reason == corev1.PodReasonSchedulingGated {
				return "its scheduling is held back by a gate of somebody else's"
			}
			return sentence("no node can take it", placement(condition.Message))
		}
	}
	return ""
}

// endings are reasons that pods have when their node, or the cluster, ended them.
var endings = map[string]string{
	"Evicted":                  "its node evicted it",
	"DeadlineExceeded":         "it reached the longest lifetime that its provider allows (parameter maxLifetimeSeconds)",
	"NodeShutdown":             "its node was shut down",
	"Shutdown":                 "its node was shut down",
	"Terminated":               "its node was shut down",
	"NodeLost":                 "its node does not answer",
	"Preempting":               "a pod of higher priority took its place",
	"UnexpectedAdmissionError": "its node refused it",
	"NodeAffinity":             "its node refused it",
	"OutOfcpu":                 "its node has no CPU left for it",
	"OutOfmemory":              "its node has no memory left for it",
	"OutOfpods":                "its node has no place left for it",
	"OutOfephemeral-storage":   "its node has no disk left for it",
}

// disruptions are reasons of the condition DisruptionTarget.
var disruptions = map[string]string{
	"EvictionByEvictionAPI":               "it was evicted, as when a node is drained",
	corev1.PodReasonPreemptionByScheduler: "a pod of higher priority took its place",
	"DeletionByTaintManager":              "its node does not answer, or is not for it any more",
	"DeletionByPodGC":                     "its node is gone",
	corev1.PodReasonTerminationByKubelet:  "its node ended it",
}

// disrupted is why the cluster ended a pod; empty = it did not.
func disrupted(pod *corev1.Pod) string {
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return ""
	}
	if words, ok := disruptions[pod.Status.Conditions[i].Reason]; ok {
		return words
	}
	return sentence("the cluster ended it", pod.Status.Conditions[i].Message)
}

// leaving is why a pod is being deleted.
func leaving(pod *corev1.Pod) string {
	if why := disrupted(pod); why != "" {
		return why
	}
	if words, ok := endings[pod.Status.Reason]; ok {
		return words
	}
	return "its pod is being deleted"
}

// ended is why a pod's processes have ended.
func ended(pod *corev1.Pod, now time.Time) string {
	if words, ok := endings[pod.Status.Reason]; ok {
		if pod.Status.Reason == "DeadlineExceeded" {
			return words
		}
		return sentence(words, pod.Status.Message)
	}
	status := statusOf(pod)
	if status == nil || status.State.Terminated == nil {
		if why := disrupted(pod); why != "" {
			return why
		}
		return sentence("its pod has failed", strings.TrimSpace(pod.Status.Reason+" "+pod.Status.Message))
	}
	terminated := status.State.Terminated
	end := expiresAt(pod)
	switch {
	case terminated.Reason == "OOMKilled":
		return outOfMemory(pod)
	case terminated.Reason == "StartError" || terminated.Reason == "ContainerCannotRun":
		return cannotStart(terminated.Message)
	case disrupted(pod) != "":
		return disrupted(pod)
	case terminated.ExitCode == 0 && !end.IsZero() && !now.Before(end):
		return "its lease was not renewed, and is over"
	case terminated.Reason == "ContainerStatusUnknown":
		return "its node lost sight of it"
	}
	return fmt.Sprintf("its first process ended with exit code %d", terminated.ExitCode)
}

func outOfMemory(pod *corev1.Pod) string {
	for i := range pod.Spec.Containers {
		if limit := pod.Spec.Containers[i].Resources.Limits.Memory(); pod.Spec.Containers[i].Name == containerName && !limit.IsZero() {
			return fmt.Sprintf("it ran out of memory: its limit is %s (spec.resources.memory)", limit)
		}
	}
	return "it ran out of memory"
}

// cannotStart explains what a container runtime says of a container that it can't start.
func cannotStart(message string) string {
	if isShellMissing(message) {
		return "its image has no /bin/sh, which keeps the lease: use another image, or a provider with the parameter firstProcess: Image"
	}
	return sentence("its first process can't be started", message)
}
