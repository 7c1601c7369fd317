// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestANamespaceThatGoesDownSaysWhetherItHasPods(t *testing.T) {
	failure := func(status corev1.ConditionStatus, reason string) corev1.NamespaceCondition {
		return corev1.NamespaceCondition{Type: corev1.NamespaceDeletionContentFailure, Status: status, Reason: reason}
	}
	remaining := func(message string) corev1.NamespaceCondition {
		return corev1.NamespaceCondition{Type: corev1.NamespaceContentRemaining, Status: corev1.ConditionTrue, Message: message}
	}
	for name, c := range map[string]struct {
		conditions []corev1.NamespaceCondition
		none       bool
	}{
		"nothing is known yet":        {nil, false},
		"nothing could be deleted":    {[]corev1.NamespaceCondition{failure(corev1.ConditionTrue, "ContentDeletionFailed")}, false},
		"all is deleted, and is gone": {[]corev1.NamespaceCondition{failure(corev1.ConditionFalse, contentDeleted)}, true},
		"pods are left": {[]corev1.NamespaceCondition{failure(corev1.ConditionFalse, contentDeleted),
			remaining("Some resources are remaining: pods. has 1 resource instances, " +
				"sandboxes.sandboxes.run has 1 resource instances")}, false},
		"sandboxes are left": {[]corev1.NamespaceCondition{failure(corev1.ConditionFalse, contentDeleted),
			remaining("Some resources are remaining: sandboxes.sandboxes.run has 1 resource instances")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := &corev1.Namespace{Status: corev1.NamespaceStatus{Conditions: c.conditions}}
			if got := hasNoPods(namespace); got != c.none {
				t.Errorf("hasNoPods says %v", got)
			}
		})
	}
}
