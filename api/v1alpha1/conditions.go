// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow kstatus and stand on every kind.
const (
	// ConditionReady: the object is as declared. On a SandboxExec: its command ended with exit code 0.
	ConditionReady = "Ready"
	// ConditionReconciling: the operator is at work, or waits and will go on by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled: nothing more will happen until somebody changes something.
	ConditionStalled = "Stalled"
	// ConditionDeleting on a Sandbox: why its deletion has not ended yet.
	ConditionDeleting = "Deleting"
	// ConditionFilesWritten on a Sandbox with spec.files: all of them are in the remote.
	ConditionFilesWritten = "FilesWritten"
	// ConditionStarted on a SandboxExec: from here on its command may have run.
	ConditionStarted = "Started"
	// ConditionComplete on a SandboxExec: the command ended with exit code 0.
	ConditionComplete = "Complete"
	// ConditionFailed on a SandboxExec: it ended in any other way; the reason is the outcome.
	ConditionFailed = "Failed"
	// ConditionFinished on a SandboxExec: it has an outcome. On a Sandbox: its remote ended for good.
	ConditionFinished = "Finished"
)

// Reasons of conditions that more than one kind uses.
const (
	// ReasonReady: as declared.
	ReasonReady = "Ready"
	// ReasonProviderNotFound: spec.providerRef names a provider that does not exist.
	ReasonProviderNotFound = "ProviderNotFound"
	// ReasonNoDefaultProvider: spec.providerRef is not set, and no provider is the default.
	ReasonNoDefaultProvider = "NoDefaultProvider"
	// ReasonSeveralDefaultProviders: spec.providerRef is not set, and more than one provider says that it is the default.
	ReasonSeveralDefaultProviders = "SeveralDefaultProviders"
	// ReasonNamespaceNotAllowed: the ClusterSandboxProvider does not admit sandboxes of this namespace.
	ReasonNamespaceNotAllowed = "NamespaceNotAllowed"
	// ReasonUnknownBackend: spec.backend is not a backend of this operator, or one that is not enabled.
	ReasonUnknownBackend = "UnknownBackend"
	// ReasonCredentialsMissing: the Secret with the credentials, or a key in it, is missing.
	ReasonCredentialsMissing = "CredentialsMissing"
	// ReasonInvalidParameters: spec.parameters are not what the backend takes.
	ReasonInvalidParameters = "InvalidParameters"
	// ReasonUnauthorized: the provider refused the credentials.
	ReasonUnauthorized = "Unauthorized"
	// ReasonUnavailable: the provider does not answer as it should; the operator tries again.
	ReasonUnavailable = "Unavailable"
	// ReasonRateLimited: the provider wants fewer calls; the operator waits as long as it asked for.
	ReasonRateLimited = "RateLimited"
	// ReasonQuotaExceeded: the provider's account may not have more sandboxes now; the operator tries again.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonUnsupported: the backend can't do what the spec asks for. Nothing was created.
	ReasonUnsupported = "Unsupported"
	// ReasonInvalid: the provider says that the spec can never work.
	ReasonInvalid = "Invalid"
	// ReasonReferenceNotFound: a Secret, ConfigMap or key that the spec names does not exist; the operator looks again.
	ReasonReferenceNotFound = "ReferenceNotFound"
)

// Reasons of a provider's conditions.
const (
	// ReasonInUse: it is being deleted, and kept until the sandboxes that it has are destroyed.
	ReasonInUse = "InUse"
	// ReasonAccountChanged: so many of the known sandboxes are missing, or so many without a Sandbox are there, that the
	// credentials or the endpoint may be those of another account. Nothing is declared lost, destroyed or made meanwhile.
	ReasonAccountChanged = "AccountChanged"
)

// Reasons of a Sandbox's conditions.
const (
	// ReasonCreating: the remote is being made.
	ReasonCreating = "Creating"
	// ReasonOtherInstallation: the remote was made by another installation of the operator, as in a cluster that was cloned. It is
	// left alone.
	ReasonOtherInstallation = "OtherInstallation"
	// ReasonWritingFiles: the remote runs; spec.files are being written.
	ReasonWritingFiles = "WritingFiles"
	// ReasonFilesWritten: spec.files are in the remote.
	ReasonFilesWritten = "FilesWritten"
	// ReasonFileFailed: a file of spec.files could not be written.
	ReasonFileFailed = "FileFailed"
	// ReasonRemoteGone: the provider says that the remote does not exist any more.
	ReasonRemoteGone = "RemoteGone"
	// ReasonRemoteStopped: the remote exists, but its processes ended by themselves.
	ReasonRemoteStopped = "RemoteStopped"
	// ReasonRemotePaused: the remote is paused at the provider, and not by the operator.
	ReasonRemotePaused = "RemotePaused"
	// ReasonPaused: the remote is paused, as desiredState says.
	ReasonPaused = "Paused"
	// ReasonIdle: the remote is paused, as nobody used it for lifetime.idleTimeoutSeconds; the next run resumes it.
	ReasonIdle = "Idle"
	// ReasonPausing: the remote is being paused.
	ReasonPausing = "Pausing"
	// ReasonResuming: the remote is being resumed.
	ReasonResuming = "Resuming"
	// ReasonExpired: lifetime.timeoutSeconds were over, and the remote was destroyed.
	ReasonExpired = "Expired"
	// ReasonIdleTimeout: nobody used the sandbox for lifetime.idleTimeoutSeconds, and the remote was destroyed.
	ReasonIdleTimeout = "IdleTimeout"
	// ReasonRecreating: the remote was lost, and another is made in its place.
	ReasonRecreating = "Recreating"
	// ReasonLifetimeOutOfBounds: the provider does not take a lifetime so short or so long. The message has its bounds.
	ReasonLifetimeOutOfBounds = "LifetimeOutOfBounds"
	// ReasonLimitReached: the provider has as many sandboxes as limits.maxSandboxes allows.
	ReasonLimitReached = "LimitReached"
	// ReasonAdoptionForbidden: spec.sandboxID is set, and the provider does not allow adoption.
	ReasonAdoptionForbidden = "AdoptionForbidden"
	// ReasonAdoptionFailed: the remote that spec.sandboxID names can't be adopted. The message says why.
	ReasonAdoptionFailed = "AdoptionFailed"
	// ReasonEndpointFailed: a port of spec.ports could not be made reachable.
	ReasonEndpointFailed = "EndpointFailed"
	// ReasonParametersChanged: spec.parameters were changed after the remote was made with others.
	ReasonParametersChanged = "ParametersChanged"
	// ReasonSearching: an earlier attempt may have made a remote; the operator looks for it before it makes another.
	ReasonSearching = "Searching"
	// ReasonDestroying: the provider was asked to destroy the remote.
	ReasonDestroying = "Destroying"
	// ReasonDestroyFailed: destroying failed; the operator tries again. The message says why.
	ReasonDestroyFailed = "DestroyFailed"
)

// Reasons of a SandboxExec's conditions, beside the outcomes.
const (
	// ReasonNeverStarted: it certainly never ran.
	ReasonNeverStarted = "NeverStarted"
	// ReasonWaitingForSandbox: the Sandbox does not exist or is not Ready yet.
	ReasonWaitingForSandbox = "WaitingForSandbox"
	// ReasonOtherShard: the Sandbox is another instance's, by its label sandboxes.run/shard, than the run is.
	ReasonOtherShard = "OtherShard"
	// ReasonStarting: the start is being tried.
	ReasonStarting = "Starting"
	// ReasonRunning: the command runs.
	ReasonRunning = "Running"
	// ReasonStartDeadlineExceeded: the sandbox was not Ready, or could not be reached, within startDeadlineSeconds.
	ReasonStartDeadlineExceeded = "StartDeadlineExceeded"
	// ReasonInterpreterMissing: the sandbox has no program that runs the language of spec.code.
	ReasonInterpreterMissing = "InterpreterMissing"
	// ReasonWorkingDirMissing: spec.workingDir could not be entered.
	ReasonWorkingDirMissing = "WorkingDirMissing"
	// ReasonSpoolUnavailable: the sandbox has no place to keep the command's output (no shell, disk full, read-only).
	ReasonSpoolUnavailable = "SpoolUnavailable"
	// ReasonRunnerLost: what watched the command in the sandbox ended without an exit code.
	ReasonRunnerLost = "RunnerLost"
	// ReasonFenceGone: the spool was removed from the sandbox while the command ran.
	ReasonFenceGone = "FenceGone"
	// ReasonSandboxDeleted: the Sandbox was deleted, or replaced by another of its name.
	ReasonSandboxDeleted = "SandboxDeleted"
	// ReasonSandboxFailed: the Sandbox will not become Ready.
	ReasonSandboxFailed = "SandboxFailed"
	// ReasonExited: the command ended by itself.
	ReasonExited = "Exited"
	// ReasonTimeoutExceeded: timeoutSeconds were over.
	ReasonTimeoutExceeded = "TimeoutExceeded"
	// ReasonCancelRequested: desiredState became Cancelled.
	ReasonCancelRequested = "CancelRequested"
	// ReasonOutputDropped: the API server refused the result with its output, so that it was stored without.
	ReasonOutputDropped = "OutputDropped"
	// ReasonWaitingForTurn: an earlier run of the Sandbox is not finished, and its execConcurrency is Serial.
	ReasonWaitingForTurn = "WaitingForTurn"
	// ReasonWaitingForRetry: an attempt ended, and the next one waits for its time.
	ReasonWaitingForRetry = "WaitingForRetry"
	// ReasonAttached: the command runs within a call to the provider, as the sandbox has no shell or the code is native.
	ReasonAttached = "Attached"
	// ReasonOperatorRestarted: the operator ended while a command ran within a call of its.
	ReasonOperatorRestarted = "OperatorRestarted"
	// ReasonCallFailed: the call to the provider within which a command ran failed.
	ReasonCallFailed = "CallFailed"
	// ReasonInputFailed: a file of spec.inputs could not be put into the sandbox.
	ReasonInputFailed = "InputFailed"
	// ReasonOutputMissing: the command succeeded, and an output that is Required is missing or could not be stored.
	ReasonOutputMissing = "OutputMissing"
	// ReasonNameConflict: an object of the name that the operator would make exists, and is not this run's.
	ReasonNameConflict = "NameConflict"
)
