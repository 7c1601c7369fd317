// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// contentDeleted is the reason with which a namespace's controller says that it has deleted what is in the namespace, and waits for
// what is not gone yet (seen with kube-controller-manager 1.36).
const contentDeleted = "ContentDeleted"

// wentDown says that a pod may not be looked at because its namespace is being deleted, and the operator's rights in it are gone
// before the operator is done there; and that no pod is left in it. Nobody else could say so: a sandbox in that namespace would
// keep it until somebody gives the rights back, or the deletion's deadline is over.
func (b *backend) wentDown(ctx context.Context, err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	namespace, err := b.spaces.Get(ctx, b.options.Namespace, metav1.GetOptions{})
	return err == nil && namespace.DeletionTimestamp != nil && hasNoPods(namespace)
}

// hasNoPods reads what the namespace's controller says is left in a namespace that is being deleted.
func hasNoPods(namespace *corev1.Namespace) bool {
	deleted := false
	for _, condition := range namespace.Status.Conditions {
		switch condition.Type {
		case corev1.NamespaceDeletionContentFailure:
			deleted = condition.Status == corev1.ConditionFalse && condition.Reason == contentDeleted
		case corev1.NamespaceContentRemaining:
			// "Some resources are remaining: pods. has 1 resource instances, ..."
			if condition.Status == corev1.ConditionTrue && strings.Contains(condition.Message, "pods. has ") {
				return false
			}
		}
	}
	return deleted
}
