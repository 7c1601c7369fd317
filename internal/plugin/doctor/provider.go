// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/advice"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/providers"
)

// providers looks at each provider that the namespace can have, and whether there is one default.
func (p *patient) providers(ctx context.Context) []Finding {
	const check = "provider"
	all, problems, err := providers.Read(ctx, p, p.namespace)
	if err != nil {
		if apierrors.IsForbidden(err) {
			return []Finding{warned(check, "ask for the ClusterRole view in this namespace", "you may not list providers")}
		}
		return []Finding{broken(check, err)}
	}
	var findings []Finding
	for _, problem := range problems {
		findings = append(findings, warned(check, "", "%s", problem))
	}
	findings = append(findings, defaultProvider(all, len(problems) > 0))
	for i := range all {
		findings = append(findings, p.health(&all[i])...)
		if found := p.credentials(ctx, &all[i]); found != nil {
			findings = append(findings, *found)
		}
	}
	return findings
}

// defaultProvider says which one sandboxes get that name none. One of the namespace comes before the cluster's.
func defaultProvider(all []providers.Provider, partly bool) Finding {
	const check = "default"
	named := map[v1alpha1.ProviderKind][]string{}
	for i := range all {
		if all[i].Meta.Annotations[v1alpha1.DefaultProviderAnnotation] == "true" {
			named[all[i].Kind] = append(named[all[i].Kind], all[i].About().Provider)
		}
	}
	for _, kind := range []v1alpha1.ProviderKind{v1alpha1.KindSandboxProvider, v1alpha1.KindClusterSandboxProvider} {
		switch names := named[kind]; {
		case len(names) == 1:
			return fine(check, "%s is that of sandboxes that name none", names[0])
		case len(names) > 1:
			return failed(check, "leave one: kubectl annotate "+names[1]+" "+v1alpha1.DefaultProviderAnnotation+"-",
				"there are %d defaults, so that sandboxes which name no provider get none: %v", len(names), names)
		}
	}
	switch {
	case partly:
		return warned(check, "", "no default is seen, but not all providers are")
	case len(all) == 0:
		return failed(check, "create one: docs/api-by-example.md#a-provider", "there is no provider")
	}
	return warned(check, advice.Next(v1alpha1.ReasonNoDefaultProvider, all[0].About()),
		"no provider is the default: each sandbox has to name one (--provider)")
}

// health is what the operator last found, by a real call.
func (p *patient) health(provider *providers.Provider) []Finding {
	check, name := "provider", provider.About().Provider
	ready := meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || provider.Status.ObservedGeneration < 0 {
		return []Finding{failed(check, startIt, "%s: no operator has seen it", name)}
	}
	if ready.Status != metav1.ConditionTrue {
		return []Finding{failed(check, advice.Next(ready.Reason, provider.About()), "%s: %s: %s", name, ready.Reason, ready.Message)}
	}
	findings := []Finding{fine(check, "%s (%s) answers, with these credentials", name, provider.Spec.Backend)}
	// The time of the last list is rounded to the hour.
	const stale = 3 * time.Hour
	if synced := provider.Status.LastSyncTime; synced != nil && p.now.Sub(synced.Time) > stale {
		findings = append(findings, failed(check, startIt, "%s was last listed %s ago: no operator works", name,
			duration.HumanDuration(p.now.Sub(synced.Time))))
	}
	status, limits := &provider.Status, provider.Spec.Limits
	if limits != nil && limits.MaxSandboxes != nil && status.SandboxCount != nil && *status.SandboxCount >= *limits.MaxSandboxes {
		findings = append(findings, warned("quota", advice.Next(v1alpha1.ReasonLimitReached, provider.About()),
			"%s has %d sandboxes of %d: further ones wait", name, *status.SandboxCount, *limits.MaxSandboxes))
	}
	if status.OrphanCount != nil && *status.OrphanCount > 0 {
		findings = append(findings, warned("orphans", "kubectl sandbox orphans lists them (docs/leaks.md#orphans)",
			"%s has %d sandboxes that no object has any more", name, *status.OrphanCount))
	}
	if n := len(status.Abandoned); n > 0 {
		findings = append(findings, warned("orphans",
			"kubectl describe "+name+" (docs/leaks.md#abandoned-remotes)",
			"%s has %d sandboxes that were given up and may still exist", name, n))
	}
	return findings
}

// credentials looks for the Secret of a provider, where that may be read; nil where there is nothing to say.
func (p *patient) credentials(ctx context.Context, provider *providers.Provider) *Finding {
	if provider.Spec.Credentials == nil {
		return nil
	}
	key := types.NamespacedName{Namespace: provider.Meta.Namespace, Name: provider.Spec.Credentials.SecretRef.Name}
	if provider.Kind == v1alpha1.KindClusterSandboxProvider {
		key.Namespace = p.operatorNamespace
	}
	if err := p.Get(ctx, key, &corev1.Secret{}); apierrors.IsNotFound(err) {
		return new(failed("credentials", advice.Next(v1alpha1.ReasonCredentialsMissing, provider.About()),
			"the Secret %s of %s does not exist", key.String(), provider.About().Provider))
	}
	return nil
}
