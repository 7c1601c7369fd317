// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package describe

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/advice"
)

// ProviderFacts are what a description of a provider of either kind is made of.
type ProviderFacts struct {
	Kind   v1alpha1.ProviderKind
	Meta   metav1.ObjectMeta
	Spec   v1alpha1.ProviderSpec
	Status v1alpha1.ProviderStatus
	// Allowed says which namespaces may use one of the cluster.
	Allowed *v1alpha1.AllowedNamespaces
	Events  []corev1.Event
}

// NamespacedProvider are the facts of a SandboxProvider.
func NamespacedProvider(p *v1alpha1.SandboxProvider) ProviderFacts {
	return ProviderFacts{Kind: v1alpha1.KindSandboxProvider, Meta: p.ObjectMeta, Spec: p.Spec, Status: p.Status}
}

// ClusterProvider are those of a ClusterSandboxProvider.
func ClusterProvider(p *v1alpha1.ClusterSandboxProvider) ProviderFacts {
	return ProviderFacts{
		Kind: v1alpha1.KindClusterSandboxProvider, Meta: p.ObjectMeta, Spec: p.Spec.ProviderSpec, Status: p.Status,
		Allowed: p.Spec.AllowedNamespaces,
	}
}

// typed is what kubectl calls it.
func (f *ProviderFacts) typed() string {
	if f.Kind == v1alpha1.KindSandboxProvider {
		return fmt.Sprintf("sbxp %s -n %s", f.Meta.Name, f.Meta.Namespace)
	}
	return "csbxp " + f.Meta.Name
}

func (f *ProviderFacts) about() advice.About {
	about := advice.About{Resource: "csbxp", Namespace: f.Meta.Namespace, Name: f.Meta.Name, Provider: f.typed()}
	if f.Kind == v1alpha1.KindSandboxProvider {
		about.Resource = "sbxp"
	}
	return about
}

// summary is what matters of it to one of its sandboxes.
func (f *ProviderFacts) summary(p *Page) {
	p.section(fmt.Sprintf("%s %s", f.Kind, f.Meta.Name))
	ready := meta.FindStatusCondition(f.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		p.linef("%s", noOperator)
	case ready.Status == metav1.ConditionTrue:
		p.linef("Ready; %s", f.counts())
	default:
		p.linef("not Ready (%s): %s", ready.Reason, ready.Message)
		if next := advice.Next(ready.Reason, f.about()); next != "" {
			p.linef("  -> %s", next)
		}
	}
}

// counts says how many sandboxes there are, of how many.
func (f *ProviderFacts) counts() string {
	if f.Status.SandboxCount == nil {
		return "not counted yet"
	}
	text := fmt.Sprintf("%d sandboxes", *f.Status.SandboxCount)
	if f.Spec.Limits != nil && f.Spec.Limits.MaxSandboxes != nil {
		text += fmt.Sprintf(" of %d (limits.maxSandboxes)", *f.Spec.Limits.MaxSandboxes)
	}
	if f.Status.OrphanCount != nil && *f.Status.OrphanCount > 0 {
		text += fmt.Sprintf(", %d orphans", *f.Status.OrphanCount)
	}
	if n := len(f.Status.Abandoned); n > 0 {
		text += fmt.Sprintf(", %d abandoned", n)
	}
	return text
}

// Provider tells of a provider.
func Provider(f ProviderFacts, p *Page) string {
	name := f.Meta.Name
	if f.Meta.Namespace != "" {
		name = f.Meta.Namespace + "/" + name
	}
	p.field(string(f.Kind), name)
	p.ready(f.Status.Conditions)
	p.field("Backend", f.Spec.Backend)
	p.field("Endpoint", f.Spec.Endpoint)
	if f.Spec.Credentials != nil {
		p.field("Credentials", "Secret "+f.Spec.Credentials.SecretRef.Name)
	}
	if f.Meta.Annotations[v1alpha1.DefaultProviderAnnotation] == "true" {
		p.field("Default", "yes, of sandboxes that name none")
	}
	if f.Allowed != nil && f.Allowed.From == v1alpha1.NamespacesFromSelector {
		p.field("Namespaces", "those that match "+metav1.FormatLabelSelector(f.Allowed.Selector))
	}
	p.field("Can", strings.Join(f.Status.Capabilities, ", "))
	p.field("Has", f.counts())
	p.field("Orphans are", string(orDelete(f.Spec.OrphanPolicy)))
	p.field("Listed", p.moment(f.Status.LastSyncTime))
	p.why(f.Status.Conditions, f.about())
	f.lost(p)
	t := &timeline{began: f.Meta.CreationTimestamp.Time}
	t.addf(&f.Meta.CreationTimestamp, "the object was created")
	if ready := meta.FindStatusCondition(f.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		t.addf(&ready.LastTransitionTime, "Ready is %s since then (%s)", ready.Status, ready.Reason)
	}
	t.addf(f.Meta.DeletionTimestamp, "the object was deleted; it waits for its sandboxes")
	t.events(f.Events)
	t.write(p)
	return p.String()
}

func orDelete(policy v1alpha1.OrphanPolicy) v1alpha1.OrphanPolicy {
	if policy == "" {
		return v1alpha1.OrphanDelete
	}
	return policy
}

// lost lists remotes that nobody has any more.
func (f *ProviderFacts) lost(p *Page) {
	if len(f.Status.Orphans) > 0 {
		p.section("Orphans (kubectl sandbox orphans --destroy ID destroys one)")
		var rows [][]string
		for _, o := range f.Status.Orphans {
			rows = append(rows, []string{o.SandboxID, "of " + o.Namespace + "/" + o.Name, p.moment(o.CreatedAt)})
		}
		p.columns(rows)
	}
	if len(f.Status.Abandoned) > 0 {
		p.section("Abandoned (tried again each period)")
		var rows [][]string
		for i := range f.Status.Abandoned {
			a := &f.Status.Abandoned[i]
			rows = append(rows, []string{orDash(a.SandboxID), "of " + a.Sandbox, p.moment(a.AbandonedAt)})
		}
		p.columns(rows)
	}
}
