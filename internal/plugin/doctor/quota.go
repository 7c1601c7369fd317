// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// quota looks whether the namespace may have more of what commands make.
func (p *patient) quota(ctx context.Context) []Finding {
	const check = "quota"
	quotas := &corev1.ResourceQuotaList{}
	if err := p.List(ctx, quotas, client.InNamespace(p.namespace)); err != nil {
		return []Finding{warned(check, "", "you may not list ResourceQuotas of namespace %s", p.namespace)}
	}
	var findings []Finding
	for i := range quotas.Items {
		findings = append(findings, exhausted(&quotas.Items[i])...)
	}
	if len(findings) == 0 {
		return []Finding{fine(check, "no ResourceQuota of namespace %s is in the way", p.namespace)}
	}
	return findings
}

// exhausted says what a quota leaves no room for.
func exhausted(quota *corev1.ResourceQuota) []Finding {
	var findings []Finding
	for name, hard := range quota.Status.Hard {
		resource := strings.TrimPrefix(string(name), "count/")
		ours := strings.HasSuffix(resource, "."+v1alpha1.GroupVersion.Group) || resource == "secrets" || resource == "configmaps"
		if used := quota.Status.Used[name]; ours && used.Cmp(hard) >= 0 {
			findings = append(findings, failed("quota",
				"delete some, or raise it: kubectl edit resourcequota "+quota.Name+" -n "+quota.Namespace,
				"ResourceQuota %s allows %s of %s, and there are %s", quota.Name, hard.String(), resource, used.String()))
		}
	}
	return findings
}
