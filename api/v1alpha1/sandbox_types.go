// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SandboxSpec is what a Sandbox shall be. All but deletionPolicy is immutable: delete the Sandbox and apply another.
//
// +kubebuilder:validation:XValidation:rule="has(self.providerRef) == has(oldSelf.providerRef) && (!has(self.providerRef) || self.providerRef == oldSelf.providerRef)",message="providerRef is immutable: delete this Sandbox and create another with the provider that you want"
// +kubebuilder:validation:XValidation:rule="has(self.source) == has(oldSelf.source) && (!has(self.source) || self.source == oldSelf.source)",message="source is immutable: delete this Sandbox and create another from the source that you want"
// +kubebuilder:validation:XValidation:rule="has(self.resources) == has(oldSelf.resources)",message="resources are immutable: delete this Sandbox and create another with the resources that you want"
// +kubebuilder:validation:XValidation:rule="has(self.env) == has(oldSelf.env) && (!has(self.env) || self.env == oldSelf.env)",message="env is immutable: set what changes in the SandboxExec, or create another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.envFrom) == has(oldSelf.envFrom) && (!has(self.envFrom) || self.envFrom == oldSelf.envFrom)",message="envFrom is immutable: set what changes in the SandboxExec, or create another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.files) == has(oldSelf.files) && (!has(self.files) || self.files == oldSelf.files)",message="files are immutable: they are written once, before the Sandbox is Ready; create another Sandbox to write others"
// +kubebuilder:validation:XValidation:rule="has(self.workingDir) == has(oldSelf.workingDir) && (!has(self.workingDir) || self.workingDir == oldSelf.workingDir)",message="workingDir is immutable: set it in the SandboxExec, or create another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.execConcurrency) == has(oldSelf.execConcurrency) && (!has(self.execConcurrency) || self.execConcurrency == oldSelf.execConcurrency)",message="execConcurrency is immutable: delete this Sandbox and create another with the concurrency that you want"
type SandboxSpec struct {
	// providerRef names the provider. Without it, the default provider is used: one with the annotation
	// sandboxes.run/is-default-provider: "true", of this namespace before the cluster's.
	// +optional
	ProviderRef *ProviderReference `json:"providerRef,omitempty"`

	// source is the root filesystem that the sandbox starts from. Without it, the provider's own default.
	// +optional
	Source *SandboxSource `json:"source,omitempty"`

	// resources are the sandbox's hard limits. Without them, the provider's own defaults.
	// +optional
	Resources *SandboxResources `json:"resources,omitempty"`

	// env are environment variables of every command in the sandbox. A SandboxExec's own come on top.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	Env []EnvVar `json:"env,omitempty"`

	// envFrom takes environment variables from all keys of Secrets and ConfigMaps. Later entries win over earlier ones, and
	// env wins over envFrom.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	EnvFrom []EnvFromSource `json:"envFrom,omitempty"`

	// files are written into the sandbox before it is Ready.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Files []File `json:"files,omitempty"`

	// workingDir is the absolute directory in which commands start that name none. It is made where it is missing.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/]+)+$') && !self.matches('/[.][.]?(/|$)')",message="must be an absolute, clean path such as /workspace: no '.', '..' or empty element, no slash at the end"
	WorkingDir string `json:"workingDir,omitempty"`

	// execConcurrency says whether SandboxExecs run in this sandbox side by side. Parallel, which holds where nothing is
	// said, starts each at once; Serial starts one after another, in the order of their creation, those of the same second by
	// name.
	// +optional
	ExecConcurrency ExecConcurrency `json:"execConcurrency,omitempty"`

	// deletionPolicy says what becomes of the remote when this object is deleted. Delete, which holds where nothing is said,
	// destroys it; Retain leaves it at the provider, where it goes on costing what it costs.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// ProviderReference names a provider.
type ProviderReference struct {
	// kind is SandboxProvider (of the same namespace) or ClusterSandboxProvider.
	// +required
	Kind ProviderKind `json:"kind,omitempty"`

	// name of the provider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// SandboxSource is the root filesystem that a sandbox starts from. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.image) != has(self.template)",message="set exactly one of image and template"
type SandboxSource struct {
	// image is an OCI image, as in a Pod.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// template is the provider's own name of a prepared filesystem.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Template string `json:"template,omitempty"`
}

// SandboxResources are hard limits of a sandbox.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.cpu) || !isQuantity(string(self.cpu)) || quantity(string(self.cpu)).isGreaterThan(quantity('0'))",message="cpu must be more than 0, such as 500m or 2"
// +kubebuilder:validation:XValidation:rule="!has(self.memory) || !isQuantity(string(self.memory)) || quantity(string(self.memory)).isGreaterThan(quantity('0'))",message="memory must be more than 0, such as 512Mi"
// +kubebuilder:validation:XValidation:rule="!has(self.disk) || !isQuantity(string(self.disk)) || quantity(string(self.disk)).isGreaterThan(quantity('0'))",message="disk must be more than 0, such as 4Gi"
// +kubebuilder:validation:XValidation:rule="has(self.cpu) == has(oldSelf.cpu) && (!has(self.cpu) || !isQuantity(string(self.cpu)) || quantity(string(self.cpu)).compareTo(quantity(string(oldSelf.cpu))) == 0)",message="cpu is immutable: delete this Sandbox and create another with the resources that you want"
// +kubebuilder:validation:XValidation:rule="has(self.memory) == has(oldSelf.memory) && (!has(self.memory) || !isQuantity(string(self.memory)) || quantity(string(self.memory)).compareTo(quantity(string(oldSelf.memory))) == 0)",message="memory is immutable: delete this Sandbox and create another with the resources that you want"
// +kubebuilder:validation:XValidation:rule="has(self.disk) == has(oldSelf.disk) && (!has(self.disk) || !isQuantity(string(self.disk)) || quantity(string(self.disk)).compareTo(quantity(string(oldSelf.disk))) == 0)",message="disk is immutable: delete this Sandbox and create another with the resources that you want"
type SandboxResources struct {
	// cpu in CPUs, such as 500m or 2.
	// +optional
	CPU *resource.Quantity `json:"cpu,omitempty"`

	// memory in bytes, such as 512Mi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`

	// disk in bytes, such as 4Gi: what the sandbox may write beside its source.
	// +optional
	Disk *resource.Quantity `json:"disk,omitempty"`
}

// File is a file in a sandbox.
type File struct {
	// path is where the file is written: absolute and clean. Missing directories are made.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/]+)+$') && !self.matches('/[.][.]?(/|$)')",message="must be an absolute, clean path such as /workspace/data.csv: no '.', '..' or empty element, no slash at the end"
	Path string `json:"path,omitempty"`

	// mode are the permission bits, as a decimal or (in YAML) octal number from 0 to 0777. Without it, 0644.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=511
	Mode *int32 `json:"mode,omitempty"`

	Content `json:",inline"`
}

// ExecConcurrency says whether SandboxExecs run side by side.
// +kubebuilder:validation:Enum=Parallel;Serial
type ExecConcurrency string

// The concurrencies of SandboxExecs.
const (
	// ExecParallel starts each at once. It holds where nothing is said.
	ExecParallel ExecConcurrency = "Parallel"
	// ExecSerial starts one after another.
	ExecSerial ExecConcurrency = "Serial"
)

// DeletionPolicy says what becomes of a remote when its Sandbox is deleted.
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionPolicyDelete destroys the remote. It holds where nothing is said.
	DeletionPolicyDelete DeletionPolicy = "Delete"
	// DeletionPolicyRetain leaves the remote at the provider.
	DeletionPolicyRetain DeletionPolicy = "Retain"
)

// SandboxState is what the provider last said of a remote.
// +kubebuilder:validation:Enum=Creating;Running;Paused;Stopped;Gone
type SandboxState string

// The states of a Sandbox's remote.
const (
	// SandboxCreating: the provider is making it.
	SandboxCreating SandboxState = "Creating"
	// SandboxRunning: commands can run.
	SandboxRunning SandboxState = "Running"
	// SandboxPaused: kept, must be resumed before commands can run.
	SandboxPaused SandboxState = "Paused"
	// SandboxStopped: exists, but its processes ended by themselves.
	SandboxStopped SandboxState = "Stopped"
	// SandboxGone: the provider does not know it any more.
	SandboxGone SandboxState = "Gone"
)

// SandboxStatus is what was observed of a Sandbox.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.sandboxID) || (has(self.sandboxID) && (self.sandboxID == oldSelf.sandboxID || self.incarnation > oldSelf.incarnation))",message="sandboxID changes only with a higher incarnation"
type SandboxStatus struct {
	// observedGeneration is the generation that this status speaks of; -1 on a fresh object.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled, and Deleting while deletion goes on.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// sandboxID is the provider's identifier of the remote.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SandboxID string `json:"sandboxID,omitempty"`

	// provider is the provider that has the remote.
	// +optional
	Provider *ProviderIdentity `json:"provider,omitempty"`

	// state is what the provider last said of the remote.
	// +optional
	State SandboxState `json:"state,omitempty"`

	// image is the source as the provider resolved it: an image with its digest, or a template.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1280
	Image string `json:"image,omitempty"`

	// createdAt is when the remote was made.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`

	// incarnation is the how-manieth remote of this Sandbox it is, from 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Incarnation int64 `json:"incarnation,omitempty"`
}

// Sandbox is a remote sandbox: while the object exists, the provider has it; when the object is deleted, it is destroyed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sbx,categories=sandbox-operator
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.status.provider.name`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.sandboxID`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Image",type=string,priority=1,JSONPath=`.status.image`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Sandbox struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the sandbox shall be. An empty spec is a sandbox of the default provider.
	// +required
	Spec SandboxSpec `json:"spec,omitempty"`

	// status is what was observed.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status SandboxStatus `json:"status,omitzero"`
}

// SandboxList is a list of Sandboxes.
//
// +kubebuilder:object:root=true
type SandboxList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Sandbox `json:"items"`
}
