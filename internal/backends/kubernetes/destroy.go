// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// stuckAfter is how long after it was deleted a pod may still be there before it is taken out without waiting for its node: that may be
// gone for good.
const stuckAfter = 30 * time.Second

// Destroy implements backends.Backend. A pod stays until its node says that its processes have ended, so that what is gone has
// certainly stopped; only a node that does not answer is not waited for.
func (b *backend) Destroy(ctx context.Context, id string) error {
	pod, err := b.read(ctx, operationDestroy, id)
	if err != nil {
		return err
	}
	grace := int64(graceSeconds)
	if isStuck(pod, time.Now()) {
		grace = 0
	}
	uid := types.UID(pod.UID)
	err = b.pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &grace, Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil {
		return b.trouble(operationDestroy, "pods", err, true)
	}
	return nil
}

// isStuck says that a pod ought to be gone for long. Its deletion timestamp is when the grace is over.
func isStuck(pod *corev1.Pod, now time.Time) bool {
	return pod.DeletionTimestamp != nil && now.Sub(pod.DeletionTimestamp.Time) > stuckAfter
}
