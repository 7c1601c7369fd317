// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubelet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var metaCreate = metav1.CreateOptions{}

// say writes what the node says of the pod. Where the pod is gone, nobody listens.
func (p *pod) say(ctx context.Context, status corev1.PodStatus) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.uid}, "status": status})
	if err == nil {
		_, _ = p.kubelet.core.Pods(p.namespace).Patch(ctx, p.name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	}
}

// RunsSince is an annotation that pods get right after their status became Running: when that was, more exactly than a status tells.
const RunsSince = "kubelet.test/runs-since"

func (p *pod) noteRunning(ctx context.Context) {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, RunsSince, time.Now().Format(time.RFC3339Nano))
	_, _ = p.kubelet.core.Pods(p.namespace).Patch(ctx, p.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
}

// confirm takes out a pod whose processes have ended.
func (p *pod) confirm(ctx context.Context) {
	_ = p.kubelet.core.Pods(p.namespace).Delete(ctx, p.name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &p.uid},
	})
}

func containerStatus(pod *corev1.Pod, state corev1.ContainerState) corev1.ContainerStatus {
	container := &pod.Spec.Containers[0]
	status := corev1.ContainerStatus{Name: container.Name, Image: container.Image, State: state, Ready: state.Running != nil}
	if state.Waiting == nil {
		sum := sha256.Sum256([]byte(container.Image))
		status.ImageID = container.Image + "@sha256:" + hex.EncodeToString(sum[:])
	}
	return status
}

func unscheduledStatus() corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are available: " +
			"1 Preemption is not helpful for scheduling.",
	}}}
}

func waitingStatus(pod *corev1.Pod, reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
		containerStatus(pod, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}),
	}}
}

func runningStatus(pod *corev1.Pod, ip string, began time.Time) corev1.PodStatus {
	at := metav1.NewTime(began)
	status := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, StartTime: &at}
	for _, condition := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: at})
	}
	status.ContainerStatuses = []corev1.ContainerStatus{
		containerStatus(pod, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}),
	}
	return status
}

func failedStatus(pod *corev1.Pod, err error) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
		containerStatus(pod, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "StartError", ExitCode: 128, Message: err.Error(),
		}}),
	}}
}

// endedStatus is that of a pod whose first process has ended; a reason of the node's own is the pod's, unless it is OOMKilled.
func endedStatus(pod *corev1.Pod, reason string, code int, began time.Time) corev1.PodStatus {
	terminated := &corev1.ContainerStateTerminated{
		ExitCode: int32(code), Reason: "Completed", StartedAt: metav1.NewTime(began), FinishedAt: metav1.Now(),
	}
	status := corev1.PodStatus{Phase: corev1.PodSucceeded}
	if code != 0 {
		terminated.Reason, status.Phase = "Error", corev1.PodFailed
	}
	if reason == "OOMKilled" {
		terminated.Reason = reason
	} else {
		status.Reason = reason
	}
	status.ContainerStatuses = []corev1.ContainerStatus{containerStatus(pod, corev1.ContainerState{Terminated: terminated})}
	return status
}
