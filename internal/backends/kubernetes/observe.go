// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// read returns the pod with this ID.
func (b *backend) read(ctx context.Context, operation, id string) (*corev1.Pod, error) {
	who, err := b.identify(operation, id)
	if err != nil {
		return nil, err
	}
	pod, err := b.pods.Get(ctx, who.name, metav1.GetOptions{})
	switch {
	case err != nil && b.wentDown(ctx, err):
		return nil, notFound(operation)
	case err != nil:
		return nil, b.trouble(operation, "pods", err, false)
	case string(pod.UID) != who.uid:
		// Another one has the name now.
		return nil, notFound(operation)
	case !isSandbox(pod):
		return nil, aboutOne(invalid(operation, "pod %q is no sandbox: it has no label %s=true", pod.Name, SandboxLabel))
	}
	return pod, nil
}

// Get implements backends.Backend.
func (b *backend) Get(ctx context.Context, id string) (backends.Remote, error) {
	pod, err := b.read(ctx, operationGet, id)
	if err != nil {
		return backends.Remote{}, err
	}
	remote := b.remote(pod)
	if remote.State == backends.StateCreating && remote.Reason == "" && time.Since(pod.CreationTimestamp.Time) > quietStart {
		remote.Reason = b.whyNotStarted(ctx, pod)
	}
	return remote, nil
}

// FindByName implements backends.NameFinder.
func (b *backend) FindByName(ctx context.Context, name string) (backends.Remote, error) {
	pod, err := b.pods.Get(ctx, name, metav1.GetOptions{})
	if err != nil && b.wentDown(ctx, err) {
		return backends.Remote{}, notFound(operationFind)
	}
	if err != nil {
		return backends.Remote{}, b.trouble(operationFind, "pods", err, false)
	}
	// A pod of that name that is no sandbox has no mark, and is nobody's then.
	return b.remote(pod), nil
}

// pageSize is the most that is asked for at once.
const pageSize = 500

// List implements backends.Backend.
func (b *backend) List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error) {
	var remotes []backends.Remote
	options := metav1.ListOptions{LabelSelector: selector(filter), Limit: pageSize}
	for {
		page, err := b.pods.List(ctx, options)
		if err != nil {
			return nil, b.trouble(operationList, "pods", err, false)
		}
		for i := range page.Items {
			if remote := b.remote(&page.Items[i]); filter.Matches(remote.Mark) {
				remotes = append(remotes, remote)
			}
		}
		if page.Continue == "" {
			return remotes, nil
		}
		options.Continue = page.Continue
		if err := backends.NextPage(ctx); err != nil {
			return nil, backends.Errorf(backends.Unavailable, Name, operationList, "the list was given up before its last page: %w", err)
		}
	}
}

// remote is the pod in the operator's words.
func (b *backend) remote(pod *corev1.Pod) backends.Remote {
	mark, own := readLabels(pod)
	state, reason := observe(pod, time.Now(), b.options.startDeadline())
	return backends.Remote{
		ID: identityOf(pod).String(), Name: pod.Name, State: state, Reason: reason, Mark: mark, Labels: own,
		Image: imageOf(pod), CreatedAt: pod.CreationTimestamp.UTC(), ExpiresAt: expiresAt(pod),
	}
}

// imageOf is what the node says that it runs.
func imageOf(pod *corev1.Pod) string {
	if status := statusOf(pod); status != nil {
		return status.ImageID
	}
	return ""
}

// statusOf is that of the sandbox's container; nil = there is none yet.
func statusOf(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == containerName {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// quietStart is for how long nobody asks why a pod does not start.
const quietStart = 5 * time.Second

// whyNotStarted is what events say of a pod whose status says nothing; empty where there are none, or they may not be read.
func (b *backend) whyNotStarted(ctx context.Context, pod *corev1.Pod) string {
	list, err := b.events.List(ctx, metav1.ListOptions{Limit: pageSize, FieldSelector: fields.Set{
		"involvedObject.uid": string(pod.UID), "type": corev1.EventTypeWarning,
	}.String()})
	if err != nil {
		return ""
	}
	var last *corev1.Event
	for i := range list.Items {
		if e := &list.Items[i]; last == nil || happened(last).Before(happened(e)) {
			last = e
		}
	}
	if last == nil {
		return ""
	}
	return sentence("its node can't start it", last.Message)
}

func happened(e *corev1.Event) time.Time {
	if !e.EventTime.IsZero() {
		return e.EventTime.Time
	}
	return e.LastTimestamp.Time
}
