// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func checkLifetime(operation string, lifetime time.Duration) error {
	if lifetime != 0 && lifetime < leastLifetime {
		return invalid(operation, "the lifetime is %s; the least that this backend takes is %s", lifetime, leastLifetime)
	}
	return nil
}

// SetLifetime implements backends.LifetimeSetter: the lease is an annotation, which the kubelet shows to the first process. Nothing is
// run in the sandbox for it. What its provider ends it by, activeDeadlineSeconds, could be lowered only, and stays.
func (b *backend) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	if err := checkLifetime(operationSetLifetime, lifetime); err != nil {
		return err
	}
	if b.options.FirstProcess == firstImage && lifetime != 0 {
		return backends.Errorf(backends.Unsupported, Name, operationSetLifetime,
			"there is no lease where the image's own first process runs: set leaseSeconds of the provider to 0")
	}
	var lease any
	if lifetime != 0 {
		lease = leaseText(time.Now().Add(lifetime))
	}
	return b.annotate(ctx, operationSetLifetime, id, leaseAnnotation, lease)
}

// annotate changes one annotation of a pod; nil takes it away.
func (b *backend) annotate(ctx context.Context, operation, id, key string, value any) error {
	who, err := b.identify(operation, id)
	if err != nil {
		return err
	}
	// The UID makes it a condition.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": who.uid, "annotations": map[string]any{key: value}}})
	if err != nil {
		return invalid(operation, "%w", err)
	}
	_, err = b.pods.Patch(ctx, who.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "sandbox-operator"})
	switch {
	case apierrors.IsInvalid(err) && strings.Contains(err.Error(), "metadata.uid"):
		return notFound(operation)
	case err != nil:
		return b.trouble(operation, "pods", err, true)
	}
	return nil
}

// leaseText rounds up: nothing ends too early.
func leaseText(end time.Time) string { return strconv.FormatInt(end.Add(time.Second-1).Unix(), 10) }

// expiresAt is when the pod ends by itself; zero = never.
func expiresAt(pod *corev1.Pod) time.Time {
	var end time.Time
	if seconds, err := strconv.ParseInt(pod.Annotations[leaseAnnotation], 10, 64); err == nil {
		end = time.Unix(seconds, 0).UTC()
	}
	if limit := pod.Spec.ActiveDeadlineSeconds; limit != nil {
		began := pod.CreationTimestamp
		if pod.Status.StartTime != nil {
			began = *pod.Status.StartTime
		}
		if last := began.Add(time.Duration(*limit) * time.Second).UTC(); end.IsZero() || last.Before(end) {
			end = last
		}
	}
	return end
}
