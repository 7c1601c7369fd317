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
// +kubebuilder:validation:XValidation:rule="!has(self.stdin) || !has(self.code) || !has(self.code.engine) || self.code.engine != 'Native'",message="engine Native gives the code no standard input: bring it as a file in inputs"
// +kubebuilder:validation:XValidation:rule="has(self.sandboxRef) != has(self.sandbox)",message="set exactly one of sandboxRef (a Sandbox that there is) and sandbox (one that is made for this run and destroyed with its end)"
// +kubebuilder:validation:XValidation:rule="has(self.sandboxRef) == has(oldSelf.sandboxRef) && (!has(self.sandboxRef) || self.sandboxRef == oldSelf.sandboxRef)",message="sandboxRef is immutable: create another SandboxExec to run in another Sandbox"
// +kubebuilder:validation:XValidation:rule="has(self.sandbox) == has(oldSelf.sandbox)",message="sandbox is immutable: create another SandboxExec to run in another Sandbox"
// +kubebuilder:validation:XValidation:rule="!has(self.sandbox) || !has(self.sandbox.deletionPolicy) || self.sandbox.deletionPolicy != 'Retain'",message="the sandbox of one run is destroyed when the run ends, deletionPolicy Retain is not for it: create a Sandbox with deletionPolicy Retain and name it in sandboxRef"
// +kubebuilder:validation:XValidation:rule="!has(self.sandbox) || !has(self.sandbox.sandboxID)",message="the sandbox of one run is made for it, sandboxID is not for it: create a Sandbox with sandboxID and name it in sandboxRef"
// +kubebuilder:validation:XValidation:rule="!has(self.sandbox) || !has(self.sandbox.desiredState) || self.sandbox.desiredState == 'Running'",message="the sandbox of one run has to run: remove sandbox.desiredState"
// +kubebuilder:validation:XValidation:rule="!has(self.sandbox) || !has(self.sandbox.lifetime) || !has(self.sandbox.lifetime.ttlSecondsAfterFinished)",message="the sandbox of one run goes when the run ends: remove sandbox.lifetime.ttlSecondsAfterFinished"
// +kubebuilder:validation:XValidation:rule="!has(self.sandbox) || !has(oldSelf.sandbox) || (has(self.sandbox.lifetime) == has(oldSelf.sandbox.lifetime) && (!has(self.sandbox.lifetime) || self.sandbox.lifetime == oldSelf.sandbox.lifetime))",message="sandbox.lifetime is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="!has(self.sandbox) || !has(oldSelf.sandbox) || (has(self.sandbox.ports) == has(oldSelf.sandbox.ports) && (!has(self.sandbox.ports) || self.sandbox.ports == oldSelf.sandbox.ports))",message="sandbox.ports is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="!has(self.sandbox) || !has(oldSelf.sandbox) || (has(self.sandbox.remoteLabels) == has(oldSelf.sandbox.remoteLabels) && (!has(self.sandbox.remoteLabels) || self.sandbox.remoteLabels == oldSelf.sandbox.remoteLabels))",message="sandbox.remoteLabels is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.command) == has(oldSelf.command) && (!has(self.command) || self.command == oldSelf.command)",message="command is immutable: create another SandboxExec to run another command"
// +kubebuilder:validation:XValidation:rule="has(self.code) == has(oldSelf.code) && (!has(self.code) || self.code == oldSelf.code)",message="code is immutable: create another SandboxExec to run other code"
// +kubebuilder:validation:XValidation:rule="has(self.workingDir) == has(oldSelf.workingDir) && (!has(self.workingDir) || self.workingDir == oldSelf.workingDir)",message="workingDir is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.env) == has(oldSelf.env) && (!has(self.env) || self.env == oldSelf.env)",message="env is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.envFrom) == has(oldSelf.envFrom) && (!has(self.envFrom) || self.envFrom == oldSelf.envFrom)",message="envFrom is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.stdin) == has(oldSelf.stdin) && (!has(self.stdin) || self.stdin == oldSelf.stdin)",message="stdin is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.inputs) == has(oldSelf.inputs) && (!has(self.inputs) || self.inputs == oldSelf.inputs)",message="inputs are immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.outputs) == has(oldSelf.outputs) && (!has(self.outputs) || self.outputs == oldSelf.outputs)",message="outputs are immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="has(self.retry) == has(oldSelf.retry) && (!has(self.retry) || self.retry == oldSelf.retry)",message="retry is immutable: set desiredState to Cancelled to end the attempts"
// +kubebuilder:validation:XValidation:rule="has(self.timeoutSeconds) == has(oldSelf.timeoutSeconds) && (!has(self.timeoutSeconds) || self.timeoutSeconds == oldSelf.timeoutSeconds)",message="timeoutSeconds is immutable: set desiredState to Cancelled to end the command earlier"
// +kubebuilder:validation:XValidation:rule="has(self.startDeadlineSeconds) == has(oldSelf.startDeadlineSeconds) && (!has(self.startDeadlineSeconds) || self.startDeadlineSeconds == oldSelf.startDeadlineSeconds)",message="startDeadlineSeconds is immutable: set desiredState to Cancelled to stop waiting"
// +kubebuilder:validation:XValidation:rule="has(self.streams) == has(oldSelf.streams) && (!has(self.streams) || self.streams == oldSelf.streams)",message="streams is immutable: create another SandboxExec"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.desiredState) || oldSelf.desiredState != 'Cancelled' || (has(self.desiredState) && self.desiredState == 'Cancelled')",message="desiredState Cancelled can't be taken back: create another SandboxExec to run it again"
// +kubebuilder:validation:MinProperties=1
type SandboxExecSpec struct {
	// sandboxRef names the Sandbox of this namespace in which to run. The run waits until it is Ready.
	// +optional
	SandboxRef *LocalReference `json:"sandboxRef,omitempty"`

	// sandbox is the spec of a Sandbox that is made for this run alone, and destroyed when the run ends, whatever way it ends.
	// An empty one ({}) is a sandbox of the default provider. Each attempt has a new one.
	// +optional
	Sandbox *SandboxSpec `json:"sandbox,omitempty"`

	// command is the program and its arguments. No shell looks at it: for a shell line write ["sh", "-c", "..."] or code
	// with language shell.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=32768
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self[0] != ''",message="the first element is the program and may not be empty"
	Command []string `json:"command,omitempty"`

	// code is source text and the language that it is in, or the interpreter that runs it.
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

	// inputs are files that are put into the sandbox right before the command starts; what is there is replaced, and missing
	// directories are made. They stay there afterwards. Together with stdin they may be 16 MiB.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Inputs []File `json:"inputs,omitempty"`

	// outputs are files and directories that are read after the command ended, also when it failed, was killed or ran out
	// of time.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Outputs []ExecOutput `json:"outputs,omitempty"`

	// timeoutSeconds is the command's time, from its start; it is kept inside the sandbox, also while the operator is down.
	// Then the command is killed with all that it started, and the outcome is TimedOut. 0 = no limit. Without it, 300.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// startDeadlineSeconds is how long the run waits, from the creation of this object, for its Sandbox to be Ready, for the
	// Secrets and ConfigMaps that it names, and for its turn. Then the outcome is StartFailed. Without it, 900. Each further
	// attempt has this time anew.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	StartDeadlineSeconds *int32 `json:"startDeadlineSeconds,omitempty"`

	// streams says how much of stdout and stderr to keep in status, where the whole of them goes, and whether status shows
	// what was printed so far. Without it, the first and the last 8 KiB of each are kept.
	// +optional
	Streams *ExecStreams `json:"streams,omitempty"`

	// retry runs the command again after the outcomes that it names. Without it, nothing is ever run again.
	// +optional
	Retry *ExecRetry `json:"retry,omitempty"`

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

// ExecRetry says after which outcomes the command is run again.
type ExecRetry struct {
	// limit is how often it is run again at most: with 2 it runs up to three times.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Limit int32 `json:"limit,omitempty"`

	// outcomes are those after which it is run again. After StartFailed it certainly had not run; after Failed and TimedOut it
	// had; after SandboxLost and Unknown it may have: name those only where running twice does no harm.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Outcomes []RetriedOutcome `json:"outcomes,omitempty"`

	// backoffSeconds is the wait before the second attempt; it doubles with each further one, up to ten minutes. Without it,
	// 10.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=600
	BackoffSeconds *int32 `json:"backoffSeconds,omitempty"`
}

// RetriedOutcome is an outcome after which a command may be run again.
// +kubebuilder:validation:Enum=StartFailed;SandboxLost;Failed;TimedOut;Unknown
type RetriedOutcome string

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

// AttemptStatus is how an attempt ended that was followed by another.
type AttemptStatus struct {
	// attempt is the how-manieth start it was, from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt,omitempty"`

	// outcome is how it ended.
	// +required
	Outcome ExecOutcome `json:"outcome,omitempty"`

	// reason is the cause of the outcome, in one word.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// exitCode of the command's first process, where it is known.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	ExitCode *int32 `json:"exitCode,omitempty"`

	// startTime is when the operator recorded that the command may start.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when it ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// durationMilliseconds is how long the command ran.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DurationMilliseconds *int64 `json:"durationMilliseconds,omitempty"`

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

	// outcome is how the run ended: Succeeded (exit code 0), Failed, TimedOut, Cancelled, SandboxLost, StartFailed (it certainly
	// never ran) or Unknown (it may have run). Once set it never changes.
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

	// outputs are what became of spec.outputs, and the rich results of engine Native.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Outputs []OutputStatus `json:"outputs,omitempty"`

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

	// attempts are those that ended and were followed by another.
	// +optional
	// +listType=map
	// +listMapKey=attempt
	// +kubebuilder:validation:MaxItems=10
	Attempts []AttemptStatus `json:"attempts,omitempty"`

	// nextAttemptTime is when the next attempt may start.
	// +optional
	NextAttemptTime *metav1.Time `json:"nextAttemptTime,omitempty"`

	// sandboxName is the Sandbox in which it ran, runs, or is to run.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SandboxName string `json:"sandboxName,omitempty"`

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
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sbxe,categories=sandbox-operator
// +kubebuilder:printcolumn:name="Sandbox",type=string,JSONPath=`.status.sandboxName`
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
