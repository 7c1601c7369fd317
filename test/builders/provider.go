// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package builders

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// ProviderBuilder makes a SandboxProvider.
type ProviderBuilder struct{ provider v1alpha1.SandboxProvider }

// MakeProvider begins a SandboxProvider of the backend.
func MakeProvider(namespace, name, backend string) *ProviderBuilder {
	return &ProviderBuilder{v1alpha1.SandboxProvider{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: string(v1alpha1.KindSandboxProvider)},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ProviderSpec{Backend: backend},
	}}
}

// Obj returns the SandboxProvider.
func (b *ProviderBuilder) Obj() *v1alpha1.SandboxProvider { return b.provider.DeepCopy() }

// Default makes it the default of its namespace.
func (b *ProviderBuilder) Default() *ProviderBuilder {
	return b.Annotation(v1alpha1.DefaultProviderAnnotation, "true")
}

// Annotation adds an annotation.
func (b *ProviderBuilder) Annotation(key, value string) *ProviderBuilder {
	b.provider.Annotations = with(b.provider.Annotations, key, value)
	return b
}

// Credentials names the Secret.
func (b *ProviderBuilder) Credentials(secret string) *ProviderBuilder {
	b.provider.Spec.Credentials = credentials(secret)
	return b
}

// Parameters sets the backend's options, as JSON.
func (b *ProviderBuilder) Parameters(json string) *ProviderBuilder {
	b.provider.Spec.Parameters = &runtime.RawExtension{Raw: []byte(json)}
	return b
}

// Orphans sets what becomes of orphans.
func (b *ProviderBuilder) Orphans(policy v1alpha1.OrphanPolicy) *ProviderBuilder {
	b.provider.Spec.OrphanPolicy = policy
	return b
}

// Lease sets how long a remote outlives the operator; 0 = for ever.
func (b *ProviderBuilder) Lease(seconds int32) *ProviderBuilder {
	b.provider.Spec.LeaseSeconds = &seconds
	return b
}

// AllowAdoption lets Sandboxes adopt remotes.
func (b *ProviderBuilder) AllowAdoption() *ProviderBuilder {
	b.provider.Spec.Adoption = v1alpha1.AdoptionAllowed
	return b
}

// Endpoint sets the URL of the provider's API.
func (b *ProviderBuilder) Endpoint(url string) *ProviderBuilder {
	b.provider.Spec.Endpoint = url
	return b
}

// Limits sets what the operator may ask of the provider.
func (b *ProviderBuilder) Limits(limits v1alpha1.ProviderLimits) *ProviderBuilder {
	b.provider.Spec.Limits = &limits
	return b
}

// Defaults sets what holds for sandboxes that say nothing.
func (b *ProviderBuilder) Defaults(defaults v1alpha1.SandboxDefaults) *ProviderBuilder {
	b.provider.Spec.Defaults = &defaults
	return b
}

func credentials(secret string) *v1alpha1.ProviderCredentials {
	return &v1alpha1.ProviderCredentials{SecretRef: v1alpha1.LocalReference{Name: secret}}
}

// ClusterProviderBuilder makes a ClusterSandboxProvider.
type ClusterProviderBuilder struct {
	provider v1alpha1.ClusterSandboxProvider
}

// MakeClusterProvider begins a ClusterSandboxProvider of the backend.
func MakeClusterProvider(name, backend string) *ClusterProviderBuilder {
	b := &ClusterProviderBuilder{v1alpha1.ClusterSandboxProvider{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: string(v1alpha1.KindClusterSandboxProvider)},
		ObjectMeta: metav1.ObjectMeta{Name: name},
	}}
	b.provider.Spec.Backend = backend
	return b
}

// Obj returns the ClusterSandboxProvider.
func (b *ClusterProviderBuilder) Obj() *v1alpha1.ClusterSandboxProvider {
	return b.provider.DeepCopy()
}

// Default makes it the default of the cluster.
func (b *ClusterProviderBuilder) Default() *ClusterProviderBuilder {
	b.provider.Annotations = with(b.provider.Annotations, v1alpha1.DefaultProviderAnnotation, "true")
	return b
}

// Credentials names the Secret in the operator's namespace.
func (b *ClusterProviderBuilder) Credentials(secret string) *ClusterProviderBuilder {
	b.provider.Spec.Credentials = credentials(secret)
	return b
}

// Parameters sets the backend's options, as JSON.
func (b *ClusterProviderBuilder) Parameters(json string) *ClusterProviderBuilder {
	b.provider.Spec.Parameters = &runtime.RawExtension{Raw: []byte(json)}
	return b
}

// AllowedNamespaces admits the namespaces that have all of these labels.
func (b *ClusterProviderBuilder) AllowedNamespaces(labels map[string]string) *ClusterProviderBuilder {
	b.provider.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{
		From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{MatchLabels: labels},
	}
	return b
}
