// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// SandboxSpec is what a Sandbox shall be. All is immutable but desiredState, lifetime, deletionPolicy, ports and remoteLabels:
// delete the Sandbox and apply another.
//
// +kubebuilder:validation:XValidation:rule="has(self.providerRef) == has(oldSelf.providerRef) && (!has(self.providerRef) || self.providerRef == oldSelf.providerRef)",message="providerRef is immutable: delete this Sandbox and create another with the provider that you want"
// +kubebuilder:validation:XValidation:rule="has(self.source) == has(oldSelf.source) && (!has(self.source) || self.source == oldSelf.source)",message="source is immutable: delete this Sandbox and create another from the source that you want"
// +kubebuilder:validation:XValidation:rule="has(self.resources) == has(oldSelf.resources)",message="resources are immutable: delete this Sandbox and create another with the resources that you want"
// +kubebuilder:validation:XValidation:rule="has(self.env) == has(oldSelf.env) && (!has(self.env) || self.env == oldSelf.env)",message="env is immutable: set what changes in the SandboxExec, or create another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.envFrom) == has(oldSelf.envFrom) && (!has(self.envFrom) || self.envFrom == oldSelf.envFrom)",message="envFrom is immutable: set what changes in the SandboxExec, or create another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.files) == has(oldSelf.files) && (!has(self.files) || self.files == oldSelf.files)",message="files are immutable: they are written once, before the Sandbox is Ready; create another Sandbox to write others"
// +kubebuilder:validation:XValidation:rule="has(self.workingDir) == has(oldSelf.workingDir) && (!has(self.workingDir) || self.workingDir == oldSelf.workingDir)",message="workingDir is immutable: set it in the SandboxExec, or create another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.network) == has(oldSelf.network) && (!has(self.network) || self.network == oldSelf.network)",message="network is immutable: delete this Sandbox and create another with the network that you want"
// +kubebuilder:validation:XValidation:rule="has(self.user) == has(oldSelf.user) && (!has(self.user) || self.user == oldSelf.user)",message="user is immutable: delete this Sandbox and create another with the user that you want"
// +kubebuilder:validation:XValidation:rule="has(self.sandboxID) == has(oldSelf.sandboxID) && (!has(self.sandboxID) || self.sandboxID == oldSelf.sandboxID)",message="sandboxID is immutable: create another Sandbox to adopt another remote"
// +kubebuilder:validation:XValidation:rule="has(self.parameters) == has(oldSelf.parameters)",message="parameters are immutable: delete this Sandbox and create another with the parameters that you want"
// +kubebuilder:validation:XValidation:rule="!has(self.sandboxID) || (!has(self.source) && !has(self.resources) && !has(self.network) && !has(self.user) && !has(self.parameters))",message="a Sandbox with sandboxID adopts what exists as it is: remove source, resources, network, user and parameters"
// +kubebuilder:validation:XValidation:rule="!has(self.sandboxID) || !has(self.lifetime) || !has(self.lifetime.onLoss) || self.lifetime.onLoss == 'Fail'",message="an adopted sandbox can't be made again: set lifetime.onLoss to Fail, or remove sandboxID"
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
	// +kubebuilder:validation:XValidation:rule="has(self.cpu) == has(oldSelf.cpu) && (!has(self.cpu) || !isQuantity(string(self.cpu)) || quantity(string(self.cpu)).compareTo(quantity(string(oldSelf.cpu))) == 0)",message="cpu is immutable: delete this Sandbox and create another with the resources that you want"
	// +kubebuilder:validation:XValidation:rule="has(self.memory) == has(oldSelf.memory) && (!has(self.memory) || !isQuantity(string(self.memory)) || quantity(string(self.memory)).compareTo(quantity(string(oldSelf.memory))) == 0)",message="memory is immutable: delete this Sandbox and create another with the resources that you want"
	// +kubebuilder:validation:XValidation:rule="has(self.disk) == has(oldSelf.disk) && (!has(self.disk) || !isQuantity(string(self.disk)) || quantity(string(self.disk)).compareTo(quantity(string(oldSelf.disk))) == 0)",message="disk is immutable: delete this Sandbox and create another with the resources that you want"
	// +kubebuilder:validation:XValidation:rule="has(self.gpu) == has(oldSelf.gpu) && (!has(self.gpu) || self.gpu == oldSelf.gpu)",message="gpu is immutable: delete this Sandbox and create another with the resources that you want"
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

	// user is the name or number of the user in the sandbox that runs commands which name none. Without it, the source's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9_][-a-zA-Z0-9_.]*(:[a-zA-Z0-9_][-a-zA-Z0-9_.]*)?$')",message="must be a user, or user:group, by name or number, such as app or 1000:1000"
	User string `json:"user,omitempty"`

	// ports shall be reachable from outside: each has a URL in status.endpoints.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Ports []SandboxPort `json:"ports,omitempty"`

	// network is what the sandbox may reach. Without it, the provider's own default.
	// +optional
	Network *SandboxNetwork `json:"network,omitempty"`

	// desiredState Paused pauses the remote, and Running, which holds where nothing is said, resumes it.
	// +optional
	DesiredState SandboxDesiredState `json:"desiredState,omitempty"`

	// lifetime says when the remote ends, and what follows when it is lost. Without it, the provider's defaults.lifetime.
	// +optional
	Lifetime *SandboxLifetime `json:"lifetime,omitempty"`

	// remoteLabels are put on the remote beside the operator's own. Where the provider can't change the labels of a remote
	// that exists, a change has no effect on it, and an event says so.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) > 0 && size(k) <= 63 && size(self[k]) <= 63)",message="keys and values may have at most 63 characters each"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('sandboxes.run/'))",message="keys with the prefix sandboxes.run/ are the operator's own: choose others"
	RemoteLabels map[string]string `json:"remoteLabels,omitempty"`

	// sandboxID is the provider's identifier of a remote that exists and that nobody's operator manages: it is adopted, and
	// none is created. The provider must allow it. From then on it is treated like any other: deleted with this object
	// unless deletionPolicy is Retain.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SandboxID string `json:"sandboxID,omitempty"`

	// parameters are the backend's own options for this sandbox, listed in its documentation. An unknown or wrong one is told
	// in the Ready condition, and nothing is created.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Parameters *runtime.RawExtension `json:"parameters,omitempty"`

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
// +kubebuilder:validation:XValidation:rule="[has(self.image), has(self.template), has(self.snapshot)].exists_one(x, x)",message="set exactly one of image, template and snapshot"
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

	// snapshot is the provider's own name of the saved state of a sandbox.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Snapshot string `json:"snapshot,omitempty"`
}

// SandboxResources are hard limits of a sandbox.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.cpu) || !isQuantity(string(self.cpu)) || quantity(string(self.cpu)).isGreaterThan(quantity('0'))",message="cpu must be more than 0, such as 500m or 2"
// +kubebuilder:validation:XValidation:rule="!has(self.memory) || !isQuantity(string(self.memory)) || quantity(string(self.memory)).isGreaterThan(quantity('0'))",message="memory must be more than 0, such as 512Mi"
// +kubebuilder:validation:XValidation:rule="!has(self.disk) || !isQuantity(string(self.disk)) || quantity(string(self.disk)).isGreaterThan(quantity('0'))",message="disk must be more than 0, such as 4Gi"
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

	// gpu asks for graphics processors.
	// +optional
	GPU *SandboxGPU `json:"gpu,omitempty"`
}

// SandboxGPU asks for graphics processors.
type SandboxGPU struct {
	// count of them.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Count int32 `json:"count,omitempty"`

	// model as the provider calls it, such as H100. Without it, any.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Model string `json:"model,omitempty"`
}

// SandboxPort is a port of a sandbox that shall be reachable.
type SandboxPort struct {
	// name of the port, unique in this sandbox.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be lower case letters, digits and dashes, such as web"
	Name string `json:"name,omitempty"`

	// port is its number.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// protocol that is spoken on it: HTTP, which holds where nothing is said, HTTPS or TCP.
	// +optional
	Protocol PortProtocol `json:"protocol,omitempty"`
}

// PortProtocol is what is spoken on a port.
// +kubebuilder:validation:Enum=HTTP;HTTPS;TCP
type PortProtocol string

// The protocols of a port.
const (
	// PortHTTP is HTTP, WebSockets included. It holds where nothing is said.
	PortHTTP PortProtocol = "HTTP"
	// PortHTTPS is HTTP over TLS that the sandbox itself speaks.
	PortHTTPS PortProtocol = "HTTPS"
	// PortTCP is any stream of bytes.
	PortTCP PortProtocol = "TCP"
)

// SandboxNetwork is what a sandbox may reach.
//
// +kubebuilder:validation:XValidation:rule="(self.policy == 'Restricted') == (has(self.hosts) || has(self.cidrs))",message="set hosts or cidrs together with policy: Restricted, and only then"
type SandboxNetwork struct {
	// policy is Allow (everything), Deny (nothing) or Restricted (hosts and cidrs, nothing else).
	// +required
	Policy NetworkPolicy `json:"policy,omitempty"`

	// hosts are names that Restricted lets through; *.example.com stands for all names below it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^([*][.])?[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?$`
	Hosts []string `json:"hosts,omitempty"`

	// cidrs are address ranges that Restricted lets through, such as 10.1.0.0/16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be an address range such as 10.1.0.0/16"
	CIDRs []string `json:"cidrs,omitempty"`
}

// NetworkPolicy says what a sandbox may reach.
// +kubebuilder:validation:Enum=Allow;Deny;Restricted
type NetworkPolicy string

// The network policies.
const (
	// NetworkAllow lets everything through.
	NetworkAllow NetworkPolicy = "Allow"
	// NetworkDeny lets nothing through.
	NetworkDeny NetworkPolicy = "Deny"
	// NetworkRestricted lets through what is named.
	NetworkRestricted NetworkPolicy = "Restricted"
)

// SandboxDesiredState is what a sandbox shall be doing.
// +kubebuilder:validation:Enum=Running;Paused
type SandboxDesiredState string

// The desired states of a sandbox.
const (
	// DesiredRunning: it runs, or is paused by idleness until a run needs it. It holds where nothing is said.
	DesiredRunning SandboxDesiredState = "Running"
	// DesiredPaused: it is paused.
	DesiredPaused SandboxDesiredState = "Paused"
)

// SandboxLifetime says when a remote ends. It ends the remote and leaves the object, which then says why.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.onIdle) || has(self.idleTimeoutSeconds)",message="onIdle says what happens after idleTimeoutSeconds: set that, too"
type SandboxLifetime struct {
	// timeoutSeconds is the hard limit, from the creation of the remote: then it is destroyed, whatever it does. Without it,
	// there is none.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// idleTimeoutSeconds is how long nothing may be done with the sandbox through the operator (a SandboxExec that has not
	// finished, files that are written). Then onIdle says what happens. Without it, idleness does not matter.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	IdleTimeoutSeconds int32 `json:"idleTimeoutSeconds,omitempty"`

	// onIdle is Destroy, which holds where nothing is said, or Pause: then the next SandboxExec resumes it.
	// +optional
	OnIdle OnIdle `json:"onIdle,omitempty"`

	// onLoss is Fail, which holds where nothing is said, or Recreate: where the remote ends before its time and not by the
	// operator, another is made in its place, with spec.files written again. Runs in the lost one end as SandboxLost.
	// +optional
	OnLoss OnLoss `json:"onLoss,omitempty"`

	// ttlSecondsAfterFinished deletes this object so many seconds after its remote ended for good. Without it, the object
	// stays: a Sandbox that vanished would be put back by a GitOps tool, and made again.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// OnIdle says what happens to a sandbox that nobody uses.
// +kubebuilder:validation:Enum=Pause;Destroy
type OnIdle string

// What happens to a sandbox that nobody uses.
const (
	// OnIdlePause pauses it. The next SandboxExec in it resumes it.
	OnIdlePause OnIdle = "Pause"
	// OnIdleDestroy destroys the remote. It holds where nothing is said.
	OnIdleDestroy OnIdle = "Destroy"
)

// OnLoss says what happens when a remote ends before its time.
// +kubebuilder:validation:Enum=Fail;Recreate
type OnLoss string

// What happens when a remote ends before its time.
const (
	// OnLossFail leaves the object, Stalled. It holds where nothing is said.
	OnLossFail OnLoss = "Fail"
	// OnLossRecreate makes another remote.
	OnLossRecreate OnLoss = "Recreate"
)

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

// SandboxEndpoint is how a port is reached.
type SandboxEndpoint struct {
	// name of the port in spec.ports.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name,omitempty"`

	// url without credentials: http://, https:// or tcp://host:port.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`

	// secretRef names a Secret of the same namespace with the headers that each request must have: the keys are the name of the
	// port, a dot and the name of the header. Where the provider signed a URL, which needs no header, its key is the name of the port
	// and .url.
	// +optional
	SecretRef *LocalReference `json:"secretRef,omitempty"`

	// expiresAt is when the signed URL in the Secret ends; another is put into its place half an hour before.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}

// SandboxStatus is what was observed of a Sandbox.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.sandboxID) || (has(self.sandboxID) && (self.sandboxID == oldSelf.sandboxID || self.incarnation > oldSelf.incarnation))",message="sandboxID changes only with a higher incarnation"
type SandboxStatus struct {
	// observedGeneration is the generation that this status speaks of; -1 on a fresh object.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled; FilesWritten where there are files; Finished when the remote ended for
	// good; and Deleting while deletion goes on.
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

	// image is the source as the provider resolved it: an image with its digest, a template or a snapshot.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1280
	Image string `json:"image,omitempty"`

	// createdAt is when the remote was made.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`

	// expiresAt is when the remote will be destroyed, as lifetime.timeoutSeconds says.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// lastActivityTime is when something was last done with the sandbox, as of the last time that this status was written
	// for another reason.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`

	// finishedAt is when the remote ended for good: ttlSecondsAfterFinished counts from here.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`

	// endpoints are how spec.ports are reached.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Endpoints []SandboxEndpoint `json:"endpoints,omitempty"`

	// parametersDigest is that of spec.parameters with which the remote was made.
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	ParametersDigest string `json:"parametersDigest,omitempty"`

	// incarnation is the how-manieth remote of this Sandbox it is, from 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Incarnation int64 `json:"incarnation,omitempty"`
}

// Sandbox is a remote sandbox: while the object exists, the provider has it; when the object is deleted, it is destroyed.
//
// +genclient
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
