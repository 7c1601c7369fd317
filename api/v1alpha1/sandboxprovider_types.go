// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ProviderSpec is what both kinds of provider have in common.
type ProviderSpec struct {
	// backend is the kind of provider, such as local. A name that the operator does not know is told, with the known ones, in
	// the Ready condition. It is immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a backend: lower case letters, digits and dashes, such as local"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="backend is immutable: create another provider"
	Backend string `json:"backend,omitempty"`

	// credentials say where the provider's key is. The page of the backend in the documentation has the keys of the Secret.
	// +optional
	Credentials *ProviderCredentials `json:"credentials,omitempty"`

	// parameters are the backend's own options, listed in its documentation. An unknown or wrong one is told in the Ready
	// condition, and nothing is created until it is mended.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Parameters *runtime.RawExtension `json:"parameters,omitempty"`
}

// ProviderCredentials say where a provider's key is.
type ProviderCredentials struct {
	// secretRef names the Secret: of the same namespace for a SandboxProvider, of the operator's own namespace for a
	// ClusterSandboxProvider.
	// +required
	SecretRef LocalReference `json:"secretRef,omitzero"`
}

// ProviderStatus is what was observed of a provider.
type ProviderStatus struct {
	// observedGeneration is the generation that this status speaks of; -1 on a fresh object.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready (True after a real call with these credentials), Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// capabilities are what the backend can do beyond the required.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Capabilities []string `json:"capabilities,omitempty"`
}

// SandboxProvider is an account at a provider, for the sandboxes of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sbxp,categories=sandbox-operator
// +kubebuilder:printcolumn:name="Backend",type=string,JSONPath=`.spec.backend`
// +kubebuilder:printcolumn:name="Default",type=string,JSONPath=`.metadata.annotations.sandboxes\.run/is-default-provider`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type SandboxProvider struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which provider it is, and how to reach it.
	// +required
	Spec ProviderSpec `json:"spec,omitzero"`

	// status is what was observed.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ProviderStatus `json:"status,omitzero"`
}

// SandboxProviderList is a list of SandboxProviders.
//
// +kubebuilder:object:root=true
type SandboxProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SandboxProvider `json:"items"`
}

// ClusterProviderSpec is the spec of a provider of the cluster.
type ClusterProviderSpec struct {
	ProviderSpec `json:",inline"`

	// allowedNamespaces says which namespaces may have sandboxes of this provider. Without it, all.
	// +optional
	AllowedNamespaces *AllowedNamespaces `json:"allowedNamespaces,omitempty"`
}

// AllowedNamespaces selects namespaces.
//
// +kubebuilder:validation:XValidation:rule="(self.from == 'Selector') == has(self.selector)",message="set selector together with from: Selector, and only then"
type AllowedNamespaces struct {
	// from is All, or Selector for the namespaces whose labels the selector matches.
	// +required
	From NamespacesFrom `json:"from,omitempty"`

	// selector matches labels of namespaces. An empty selector matches all.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// NamespacesFrom says how namespaces are selected.
// +kubebuilder:validation:Enum=All;Selector
type NamespacesFrom string

// The ways to select namespaces.
const (
	// NamespacesFromAll admits every namespace.
	NamespacesFromAll NamespacesFrom = "All"
	// NamespacesFromSelector admits namespaces by their labels.
	NamespacesFromSelector NamespacesFrom = "Selector"
)

// ClusterSandboxProvider is an account at a provider, for sandboxes of any namespace that it allows. Its Secret lives in
// the operator's namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=csbxp,categories=sandbox-operator
// +kubebuilder:printcolumn:name="Backend",type=string,JSONPath=`.spec.backend`
// +kubebuilder:printcolumn:name="Default",type=string,JSONPath=`.metadata.annotations.sandboxes\.run/is-default-provider`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type ClusterSandboxProvider struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which provider it is, how to reach it, and who may use it.
	// +required
	Spec ClusterProviderSpec `json:"spec,omitzero"`

	// status is what was observed.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ProviderStatus `json:"status,omitzero"`
}

// ClusterSandboxProviderList is a list of ClusterSandboxProviders.
//
// +kubebuilder:object:root=true
type ClusterSandboxProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterSandboxProvider `json:"items"`
}
