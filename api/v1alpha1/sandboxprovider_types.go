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

	// endpoint is the URL of the provider's API, for providers that are hosted elsewhere than usual. Not every backend has one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@]+(/[^?#]*)?$')",message="must be an http or https URL without user, query and fragment, such as https://sandboxes.example.com"
	Endpoint string `json:"endpoint,omitempty"`

	// caBundle are the certificates, in PEM, by which the endpoint is known. Without it, those of the operator's image.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----')",message="must be certificates in PEM: -----BEGIN CERTIFICATE----- ..."
	CABundle string `json:"caBundle,omitempty"`

	// defaults hold for sandboxes that say nothing themselves; lifetime for those that exist, too.
	// +optional
	Defaults *SandboxDefaults `json:"defaults,omitempty"`

	// limits are kept by the operator, over all sandboxes and runs of the account. What the provider itself asks for is obeyed
	// in any case.
	// +optional
	Limits *ProviderLimits `json:"limits,omitempty"`

	// leaseSeconds is how long a remote outlives the operator, where the provider can end remotes by itself: the operator
	// renews it all the time. Without it, a day or the provider's most; 0 = remotes don't end by themselves.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	LeaseSeconds *int32 `json:"leaseSeconds,omitempty"`

	// orphanPolicy says what becomes of remotes that this installation made and that no Sandbox has any more: Delete, which
	// holds where nothing is said, or Report.
	// +optional
	OrphanPolicy OrphanPolicy `json:"orphanPolicy,omitempty"`

	// adoption says whether a Sandbox may adopt a remote by its ID: Forbidden, which holds where nothing is said, or Allowed.
	// Whoever may create Sandboxes can then take, and destroy, any remote of the account that no operator manages.
	// +optional
	Adoption AdoptionPolicy `json:"adoption,omitempty"`
}

// SandboxDefaults hold for sandboxes that say nothing themselves.
//
// +kubebuilder:validation:MinProperties=1
type SandboxDefaults struct {
	// source of sandboxes that have none.
	// +optional
	Source *SandboxSource `json:"source,omitempty"`

	// resources of sandboxes that have none.
	// +optional
	Resources *SandboxResources `json:"resources,omitempty"`

	// lifetime of sandboxes that have none.
	// +optional
	Lifetime *SandboxLifetime `json:"lifetime,omitempty"`
}

// ProviderLimits bound what the operator asks of a provider. Providers with the same account share the strictest.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.burst) || has(self.requestsPerSecond)",message="burst is of requestsPerSecond: set that, too"
type ProviderLimits struct {
	// maxSandboxes is how many sandboxes of this provider may exist. Further ones wait, in the order of their creation.
	// Lowering it destroys none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	MaxSandboxes *int32 `json:"maxSandboxes,omitempty"`

	// requestsPerSecond is how many calls may be made, of any kind.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	RequestsPerSecond int32 `json:"requestsPerSecond,omitempty"`

	// burst is how many calls may be made at once before requestsPerSecond counts. Without it, as many as requestsPerSecond.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Burst int32 `json:"burst,omitempty"`

	// createsPerMinute is how many sandboxes may be made within any minute.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	CreatesPerMinute int32 `json:"createsPerMinute,omitempty"`

	// maxConcurrentCalls is how many calls may be under way at once. Without it, as many as the backend says.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxConcurrentCalls int32 `json:"maxConcurrentCalls,omitempty"`
}

// OrphanPolicy says what becomes of orphans.
// +kubebuilder:validation:Enum=Delete;Report
type OrphanPolicy string

// The orphan policies.
const (
	// OrphanDelete destroys orphans. It holds where nothing is said.
	OrphanDelete OrphanPolicy = "Delete"
	// OrphanReport lists them in status.orphans.
	OrphanReport OrphanPolicy = "Report"
)

// AdoptionPolicy says whether remotes may be adopted.
// +kubebuilder:validation:Enum=Forbidden;Allowed
type AdoptionPolicy string

// The adoption policies.
const (
	// AdoptionForbidden refuses spec.sandboxID. It holds where nothing is said.
	AdoptionForbidden AdoptionPolicy = "Forbidden"
	// AdoptionAllowed takes it.
	AdoptionAllowed AdoptionPolicy = "Allowed"
)

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

	// sandboxCount is how many remotes the provider has for Sandboxes, as last seen.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SandboxCount *int32 `json:"sandboxCount,omitempty"`

	// orphanCount is how many orphans there are: remotes that this installation made and that no Sandbox has any more.
	// +optional
	// +kubebuilder:validation:Minimum=0
	OrphanCount *int32 `json:"orphanCount,omitempty"`

	// orphans are the first hundred of them, the oldest first.
	// +optional
	// +listType=map
	// +listMapKey=sandboxID
	// +kubebuilder:validation:MaxItems=100
	Orphans []OrphanRemote `json:"orphans,omitempty"`

	// abandoned are remotes that were given up and may still exist. They are looked for, and destroyed where that can be done;
	// the provider is kept as long.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=500
	Abandoned []AbandonedRemote `json:"abandoned,omitempty"`

	// retained are the IDs of remotes that were left to the provider by a deletionPolicy which was changed to Retain after they
	// were made, so that their mark says otherwise. They are no orphans.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Retained []string `json:"retained,omitempty"`

	// lastSyncTime is when the provider's sandboxes were last listed and compared with what there should be, rounded to the
	// hour.
	// +optional
	LastSyncTime *metav1.Time `json:"lastSyncTime,omitempty"`
}

// OrphanRemote is a remote that no Sandbox has any more.
type OrphanRemote struct {
	// sandboxID is the provider's identifier.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SandboxID string `json:"sandboxID,omitempty"`

	// createdAt is when it was made, where the provider says so.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`

	// namespace of the Sandbox that it was made for.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name of the Sandbox that it was made for.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid of the Sandbox that it was made for.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// incarnation of that Sandbox.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Incarnation int64 `json:"incarnation,omitempty"`
}

// AbandonedRemote is a remote whose Sandbox was let go though it may still exist.
type AbandonedRemote struct {
	// name that the remote was made with; it holds the UID of its Sandbox and the incarnation.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// sandboxID is the provider's identifier, where it is known. A creation that was cut off leaves none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SandboxID string `json:"sandboxID,omitempty"`

	// sandbox is namespace/name of the Sandbox.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Sandbox string `json:"sandbox,omitempty"`

	// uid of the Sandbox.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// incarnation of the Sandbox.
	// +required
	// +kubebuilder:validation:Minimum=1
	Incarnation int64 `json:"incarnation,omitempty"`

	// abandonedAt is when it was given up.
	// +optional
	AbandonedAt *metav1.Time `json:"abandonedAt,omitempty"`
}

// SandboxProvider is an account at a provider, for the sandboxes of its namespace.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sbxp,categories=sandbox-operator
// +kubebuilder:printcolumn:name="Backend",type=string,JSONPath=`.spec.backend`
// +kubebuilder:printcolumn:name="Default",type=string,JSONPath=`.metadata.annotations.sandboxes\.run/is-default-provider`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Sandboxes",type=integer,JSONPath=`.status.sandboxCount`
// +kubebuilder:printcolumn:name="Orphans",type=integer,JSONPath=`.status.orphanCount`
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
// +genclient
// +genclient:nonNamespaced
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=csbxp,categories=sandbox-operator
// +kubebuilder:printcolumn:name="Backend",type=string,JSONPath=`.spec.backend`
// +kubebuilder:printcolumn:name="Default",type=string,JSONPath=`.metadata.annotations.sandboxes\.run/is-default-provider`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Sandboxes",type=integer,JSONPath=`.status.sandboxCount`
// +kubebuilder:printcolumn:name="Orphans",type=integer,JSONPath=`.status.orphanCount`
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
