// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// EnvVar is one environment variable. Exactly one of value and valueFrom is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.valueFrom)",message="set exactly one of value and valueFrom"
type EnvVar struct {
	// name of the variable: letters, digits and underscores, not beginning with a digit.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",message="must be a name that a shell can export: letters, digits and underscores, not beginning with a digit, such as LOG_LEVEL"
	Name string `json:"name,omitempty"`

	// value is the literal value. It is not expanded.
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=32768
	Value *string `json:"value,omitempty"`

	// valueFrom takes the value from a Secret or ConfigMap of the same namespace when it is used.
	// +optional
	ValueFrom *ValueSource `json:"valueFrom,omitempty"`
}

// ValueSource names a key of a Secret or ConfigMap of the same namespace. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretKeyRef) != has(self.configMapKeyRef)",message="set exactly one of secretKeyRef and configMapKeyRef"
type ValueSource struct {
	// secretKeyRef names a key of a Secret. The value is read when it is used, and never stored by the operator.
	// +optional
	SecretKeyRef *KeyReference `json:"secretKeyRef,omitempty"`

	// configMapKeyRef names a key of a ConfigMap.
	// +optional
	ConfigMapKeyRef *KeyReference `json:"configMapKeyRef,omitempty"`
}

// KeyReference names one key of a Secret or ConfigMap.
type KeyReference struct {
	// name of the Secret or ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key in its data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="must be a key of a Secret or ConfigMap: letters, digits, dashes, underscores and dots"
	Key string `json:"key,omitempty"`
}

// EnvFromSource takes all keys of a Secret or ConfigMap of the same namespace as environment variables. Keys that are no
// names of variables are left out. Exactly one of secretRef and configMapRef is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.configMapRef)",message="set exactly one of secretRef and configMapRef"
type EnvFromSource struct {
	// prefix is put before every key.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",message="must be the beginning of a name that a shell can export: letters, digits and underscores, not beginning with a digit"
	Prefix string `json:"prefix,omitempty"`

	// secretRef names a Secret.
	// +optional
	SecretRef *LocalReference `json:"secretRef,omitempty"`

	// configMapRef names a ConfigMap.
	// +optional
	ConfigMapRef *LocalReference `json:"configMapRef,omitempty"`
}

// LocalReference names an object of the same namespace.
type LocalReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// Content is inline text, or a key of a Secret or ConfigMap of the same namespace. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.content) != has(self.contentFrom)",message="set exactly one of content and contentFrom"
type Content struct {
	// content is the text itself, as UTF-8. For binary content use contentFrom.
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=262144
	Content *string `json:"content,omitempty"`

	// contentFrom takes the content, byte for byte, from a Secret's data or a ConfigMap's data or binaryData.
	// +optional
	ContentFrom *ValueSource `json:"contentFrom,omitempty"`
}

// ProviderKind is the kind of a provider.
// +kubebuilder:validation:Enum=SandboxProvider;ClusterSandboxProvider
type ProviderKind string

// The kinds of providers.
const (
	// KindSandboxProvider is a provider of the Sandbox's own namespace.
	KindSandboxProvider ProviderKind = "SandboxProvider"
	// KindClusterSandboxProvider is a provider of the cluster.
	KindClusterSandboxProvider ProviderKind = "ClusterSandboxProvider"
)

// ProviderIdentity says which provider a remote belongs to.
type ProviderIdentity struct {
	// kind is SandboxProvider or ClusterSandboxProvider.
	// +required
	Kind ProviderKind `json:"kind,omitempty"`

	// name of the provider object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid of the provider object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// backend of the provider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Backend string `json:"backend,omitempty"`
}
