// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Labels, annotations and finalizers of this API. All carry the prefix sandboxes.run/.
const (
	// DefaultProviderAnnotation, with the value "true" on a SandboxProvider or ClusterSandboxProvider, makes it the provider
	// of sandboxes that name none: a SandboxProvider within its namespace, before any ClusterSandboxProvider.
	DefaultProviderAnnotation = "sandboxes.run/is-default-provider"

	// JournalAnnotation on a Sandbox says that the operator is about to create, or has created, its remote. It is the
	// operator's own: a journal whose UID is not the object's is ignored.
	JournalAnnotation = "sandboxes.run/journal"

	// AbandonAnnotation, with the value "true" on a Sandbox that is being deleted, gives the remote up: the object goes at
	// once, and the remote stands in the provider's status.abandoned. On a provider that is being deleted, it gives those up.
	AbandonAnnotation = "sandboxes.run/abandon"

	// DestroyOrphanAnnotation on a provider, with the IDs of orphans in status.orphans, separated by commas, destroys them
	// whatever orphanPolicy says. The operator takes it off when it has done so.
	DestroyOrphanAnnotation = "sandboxes.run/destroy-orphan"

	// AcceptLossesAnnotation, with the value "true" on a provider whose condition says AccountChanged, tells the operator that
	// what it can't see any more is gone, and that what it found without a Sandbox may go. The operator takes it off then.
	AcceptLossesAnnotation = "sandboxes.run/accept-losses"

	// TraceparentAnnotation on a Sandbox or SandboxExec has the trace context of who creates it, in the form of W3C's traceparent: where
	// the operator traces (--tracing-endpoint), what it does for the object joins that trace. It is read in each pass, and changes
	// nothing else.
	TraceparentAnnotation = "sandboxes.run/traceparent"

	// ShardLabel on a Sandbox or SandboxExec names the instance of the operator that works on it (--shard); without it, that is
	// the instance without a --shard.
	ShardLabel = "sandboxes.run/shard"

	// LookAnnotation on a Sandbox is how the instance that lists the accounts asks the one that works on the Sandbox to look at
	// its remote. The value, a time, tells one request from the next. It is the operator's own.
	LookAnnotation = "sandboxes.run/look"

	// ProviderUIDLabel on a Secret in the operator's namespace has the UID of the provider whose credentials are copied there.
	ProviderUIDLabel = "sandboxes.run/provider-uid"

	// SandboxFinalizer keeps a Sandbox until its remote is gone.
	SandboxFinalizer = "sandboxes.run/remote"

	// ExecFinalizer keeps a SandboxExec until its command is over; it also means that the start was seen.
	ExecFinalizer = "sandboxes.run/exec"

	// InUseFinalizer keeps a provider while a Sandbox has, or may have, a remote of it.
	InUseFinalizer = "sandboxes.run/in-use"
)
