// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SandboxExecSpec is one run of a command or of code in a sandbox. All but desiredState and ttlSecondsAfterFinished is
// immutable: another run is another SandboxExec.
//
// +kubebuilder:validation:XValidation:rule="has(self.command) != has(self.code)",message="set exactly one of command (a program with its arguments) and code (a language with its source)"
// +kubebuilder:validation:XValidation:rule="self.sandboxRef == oldSelf.sandboxRef",message="sandboxRef is immutable: create another SandboxExec to run in another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.command) == has(oldSelf.command) && (!has(self.command) || self.command == oldSelf.command)",message="command is immutable: create another SandboxExec to run another command"
// +kubebuilder:validation:XValidation:rule="has(self.code) == has(oldSelf.code) && (!has(self.code) || self.code == oldSelf.code)",message="code is immutable: create another SandboxExec to run other code"
// +kubebuilder:validation:XValidation:rule="has(self.workingDir) == has(oldSelf.workingDir) && (!has(self.workingDir) || self.workingDir == oldSelf.workingDir)",message="workingDir is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.env) == has(oldSelf.env) && (!has(self.env) || self.env == oldSelf.env)",message="env is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.envFrom) == has(oldSelf.envFrom) && (!has(self.envFrom) || self.envFrom == oldSelf.envFrom)",message="envFrom is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.stdin) == has(oldSelf.stdin) && (!has(self.stdin) || self.stdin == oldSelf.stdin)",message="stdin is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.timeoutSeconds) == has(oldSelf.timeoutSeconds) && (!has(self.timeoutSeconds) || self.timeoutSeconds == oldSelf.timeoutSeconds)",message="timeoutSeconds is immutable: set desiredState to Cancelled to end the command earlier"
// +kubebuilder:validation:XValidation:rule="has(self.startDeadlineSeconds) == has(oldSelf.startDeadlineSeconds) && (!has(self.startDeadlineSeconds) || self.startDeadlineSeconds == oldSelf.startDeadlineSeconds)",message="startDeadlineSeconds is immutable: set desiredState to Cancelled to stop waiting"
// +kubebuilder:validation:XValidation:rule="has(self.streams) == has(oldSelf.streams) && (!has(self.streams) || self.streams == oldSelf.streams)",message="streams is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.desiredState) || oldSelf.desiredState != 'Cancelled' || (has(self.desiredState) && self.desiredState == 'Cancelled')",message="desiredState Cancelled can't be taken back: create another SandboxExec to run it again"
type SandboxExecSpec struct {
	// sandboxRef names the Sandbox of this namespace in which to run. The run waits until it is Ready.
	// +required
	SandboxRef LocalReference `json:"sandboxRef,omitzero"`

	// command is the program and its arguments. No shell looks at it: for a shell line write ["sh", "-c", "..."] or code
	// with language shell.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=32768
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self[0] != ''",message="the first element is the program and may not be empty"
	Command []string `json:"command,omitempty"`

	// code is source text with the language that it is in.
	// +optional
	Code *ExecCode `json:"code,omitempty"`

	// workingDir is the absolute directory in which to start. Without it, the Sandbox's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/')",message="must be an absolute path such as /workspace"
	WorkingDir string `json:"workingDir,omitempty"`

	// env are environment variables of this run, on top of the Sandbox's.
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

	// stdin is what the command reads on its standard input, then end of file. Without it, end of file at once.
	// +optional
	Stdin *Content `json:"stdin,omitempty"`

	// timeoutSeconds is the command's time, from its start; it is kept inside the sandbox, also while the operator is down.
	// Then the command is killed with all that it started, and the outcome is TimedOut. 0 = no limit. Without it, 300.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// startDeadlineSeconds is how long the run waits, from the creation of this object, for its Sandbox to be Ready and to
	// be reached. Then the outcome is StartFailed. Without it, 900.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	StartDeadlineSeconds *int32 `json:"startDeadlineSeconds,omitempty"`

	// streams says how much of stdout and stderr to keep in status.
	// +optional
	Streams *ExecStreams `json:"streams,omitempty"`

	// desiredState Cancelled kills the command with all that it started, or keeps it from starting. It can't be taken back.
	// Finished, which holds where nothing is said, lets it run to its end.
	// +optional
	DesiredState ExecDesiredState `json:"desiredState,omitempty"`

	// ttlSecondsAfterFinished deletes this object so many seconds after the run finished. Without it, the object stays: a
	// finished run that vanished would be put back by a GitOps tool, and run again.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
}

// ExecCode is source text and its language. Exactly one of source and sourceFrom is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.source) != has(self.sourceFrom)",message="set exactly one of source and sourceFrom"
type ExecCode struct {
	// language of the source: python (run by python3, else python), javascript (node, else nodejs) or shell (sh). The
	// sandbox must have that program.
	// +required
	Language CodeLanguage `json:"language,omitempty"`

	// source is the text.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Source string `json:"source,omitempty"`

	// sourceFrom takes the text from a Secret or ConfigMap.
	// +optional
	SourceFrom *ValueSource `json:"sourceFrom,omitempty"`
}

// CodeLanguage is a language of code.
// +kubebuilder:validation:Enum=python;javascript;shell
type CodeLanguage string

// The languages of code.
const (
	LanguagePython     CodeLanguage = "python"
	LanguageJavaScript CodeLanguage = "javascript"
	LanguageShell      CodeLanguage = "shell"
)

// ExecStreams says how much of each stream to keep in status.
//
// +kubebuilder:validation:MinProperties=1
type ExecStreams struct {
	// stdout is how much of standard output to keep.
	// +optional
	Stdout *StreamLimits `json:"stdout,omitempty"`

	// stderr is how much of standard error to keep.
	// +optional
	Stderr *StreamLimits `json:"stderr,omitempty"`
}

// StreamLimits is how much of a stream to keep: its beginning and its end. What is shorter than both together is kept whole.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="(has(self.headBytes) ? self.headBytes : 8192) + (has(self.tailBytes) ? self.tailBytes : 8192) <= 65536",message="headBytes and tailBytes may be at most 65536 together, and each is 8192 where it is not set: to keep 65536 of one, set the other to 0"
type StreamLimits struct {
	// headBytes is how many of the first bytes to keep. Without it, 8192.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	HeadBytes *int32 `json:"headBytes,omitempty"`

	// tailBytes is how many of the last bytes to keep. Without it, 8192.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	TailBytes *int32 `json:"tailBytes,omitempty"`
}

// ExecDesiredState is how a run shall end.
// +kubebuilder:validation:Enum=Finished;Cancelled
type ExecDesiredState string

// The desired states of a run.
const (
	// ExecFinished lets the command run to its end. It holds where nothing is said.
	ExecFinished ExecDesiredState = "Finished"
	// ExecCancelled kills the command, or keeps it from starting.
	ExecCancelled ExecDesiredState = "Cancelled"
)

// ExecOutcome is how a run ended.
// +kubebuilder:validation:Enum=Succeeded;Failed;TimedOut;Cancelled;SandboxLost;StartFailed;Unknown
type ExecOutcome string

// The outcomes of a run.
const (
	// OutcomeSucceeded: the command ended with exit code 0.
	OutcomeSucceeded ExecOutcome = "Succeeded"
	// OutcomeFailed: the command ended with another exit code, or by a signal.
	OutcomeFailed ExecOutcome = "Failed"
	// OutcomeTimedOut: timeoutSeconds were over, and it was killed.
	OutcomeTimedOut ExecOutcome = "TimedOut"
	// OutcomeCancelled: it was killed, or kept from starting, because desiredState says so.
	OutcomeCancelled ExecOutcome = "Cancelled"
	// OutcomeSandboxLost: the sandbox that it ran in is gone, or is another one now.
	OutcomeSandboxLost ExecOutcome = "SandboxLost"
	// OutcomeStartFailed: it certainly never ran, and never will.
	OutcomeStartFailed ExecOutcome = "StartFailed"
	// OutcomeUnknown: it may have run; how it ended can't be known.
	OutcomeUnknown ExecOutcome = "Unknown"
)

// StreamRetention says whether the whole of a stream is in status.
// +kubebuilder:validation:Enum=Complete;Truncated;Dropped;Withheld;Unknown
type StreamRetention string

// The retentions of a stream.
const (
	// RetentionComplete: head is the whole stream.
	RetentionComplete StreamRetention = "Complete"
	// RetentionTruncated: head and tail are its beginning and end; the middle is missing.
	RetentionTruncated StreamRetention = "Truncated"
	// RetentionDropped: nothing of it was kept, because the API server refused the result with it.
	RetentionDropped StreamRetention = "Dropped"
	// RetentionWithheld: nothing of it was kept, because the Secrets that the command was given have changed since, so that
	// their old values could not be taken out.
	RetentionWithheld StreamRetention = "Withheld"
	// RetentionUnknown: the disk of the sandbox was full when the command ended; head and tail are what could be written of
	// the stream, and what came last may be missing.
	RetentionUnknown StreamRetention = "Unknown"
)

// StreamEncoding says whether a stream was text.
// +kubebuilder:validation:Enum=UTF8;Replaced
type StreamEncoding string

// The encodings of a stream.
const (
	// EncodingUTF8: what was kept is exact.
	EncodingUTF8 StreamEncoding = "UTF8"
	// EncodingReplaced: bytes that are no UTF-8 were replaced by U+FFFD.
	EncodingReplaced StreamEncoding = "Replaced"
)

// StreamStatus is what a command printed on one stream.
type StreamStatus struct {
	// head is the beginning of the stream, or the whole where retention is Complete.
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=262144
	Head string `json:"head,omitempty"`

	// tail is the end of the stream, where retention is Truncated.
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=262144
	Tail string `json:"tail,omitempty"`

	// bytes is how many bytes the command printed, kept or not.
	// +required
	// +kubebuilder:validation:Minimum=0
	Bytes *int64 `json:"bytes,omitempty"`

	// retention says whether all of it is here.
	// +required
	Retention StreamRetention `json:"retention,omitempty"`

	// encoding says whether what is here is exact.
	// +required
	Encoding StreamEncoding `json:"encoding,omitempty"`

	// sha256 of the whole stream, in hexadecimal; not set where it could not be computed.
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`
}

// SandboxExecStatus is what was observed of a run.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.outcome) || (has(self.outcome) && self.outcome == oldSelf.outcome)",message="an outcome never changes"
type SandboxExecStatus struct {
	// observedGeneration is the generation that this status speaks of; -1 on a fresh object.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled; Started once the command may have run; and at the end Finished with
	// Complete (exit code 0) or Failed (any other outcome).
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// outcome is how the run ended. Once set it never changes.
	// +optional
	Outcome ExecOutcome `json:"outcome,omitempty"`

	// reason is the cause of the outcome, in one word.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// exitCode of the command's first process, where it is known: 0 to 255; 128 + n where signal n ended it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	ExitCode *int32 `json:"exitCode,omitempty"`

	// signal is the name of the signal that an exit code above 128 stands for, such as SIGKILL for 137.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Signal string `json:"signal,omitempty"`

	// stdout is what the command printed on its standard output.
	// +optional
	Stdout *StreamStatus `json:"stdout,omitempty"`

	// stderr is what the command printed on its standard error.
	// +optional
	Stderr *StreamStatus `json:"stderr,omitempty"`

	// startTime is when the operator recorded that the command may start.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when the run finished.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// durationMilliseconds is how long the command ran, measured inside the sandbox.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DurationMilliseconds *int64 `json:"durationMilliseconds,omitempty"`

	// attempt is the how-manieth start it is, from 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt,omitempty"`

	// provider that has the sandbox in which it ran.
	// +optional
	Provider *ProviderIdentity `json:"provider,omitempty"`

	// sandboxUID is the UID of the Sandbox in which it ran.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	SandboxUID string `json:"sandboxUID,omitempty"`

	// sandboxID is the provider's identifier of the sandbox in which it ran.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SandboxID string `json:"sandboxID,omitempty"`

	// incarnation of the Sandbox in which it ran.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Incarnation int64 `json:"incarnation,omitempty"`
}

// SandboxExec runs one command, or code, in a Sandbox, once; exit code and output are in its status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sbxe,categories=sandbox-operator
// +kubebuilder:printcolumn:name="Sandbox",type=string,JSONPath=`.spec.sandboxRef.name`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Exit",type=integer,JSONPath=`.status.exitCode`
// +kubebuilder:printcolumn:name="Millis",type=integer,JSONPath=`.status.durationMilliseconds`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type SandboxExec struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what to run, and where.
	// +required
	Spec SandboxExecSpec `json:"spec,omitzero"`

	// status is what was observed.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status SandboxExecStatus `json:"status,omitzero"`
}

// SandboxExecList is a list of SandboxExecs.
//
// +kubebuilder:object:root=true
type SandboxExecList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SandboxExec `json:"items"`
}
