// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// EvaluationSpec is what to evaluate: some tasks, in one sandbox.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an Evaluation is immutable: make another"
type EvaluationSpec struct {
	// image of the sandbox. Without it, the provider's default.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// tasks are run in the sandbox, side by side.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Tasks []Task `json:"tasks"`

	// repeatLost is how often a task is run again whose sandbox was lost under it. It may have done some of its work by then.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	RepeatLost int32 `json:"repeatLost,omitempty"`
}

// Task is a command that is good when it ends with exit code 0.
type Task struct {
	// name of the task.
	// +required
	// +kubebuilder:validation:MaxLength=30
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// command is the program and its arguments.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command"`

	// timeoutSeconds is how long it may take.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// Verdict is what is known of a task.
// +kubebuilder:validation:Enum=Pending;Passed;Failed;Inconclusive
type Verdict string

// The verdicts.
const (
	// Pending: it has not ended.
	Pending Verdict = "Pending"
	// Passed: it ended with exit code 0.
	Passed Verdict = "Passed"
	// Failed: it ended with another, or ran out of time.
	Failed Verdict = "Failed"
	// Inconclusive: it says nothing about what was evaluated: it could not run, or its end is not known.
	Inconclusive Verdict = "Inconclusive"
)

// TaskStatus is what is known of one task.
type TaskStatus struct {
	// name of the task.
	Name string `json:"name"`
	// verdict on it.
	Verdict Verdict `json:"verdict"`
	// attempt is the how-manieth run of it this is about.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// message says why, where it did not pass.
	// +optional
	Message string `json:"message,omitempty"`
}

// EvaluationStatus is what came of an evaluation.
type EvaluationStatus struct {
	// conditions has Finished: True with every end, with reason Passed, Failed or Inconclusive.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// tasks are those of the spec.
	// +optional
	// +listType=map
	// +listMapKey=name
	Tasks []TaskStatus `json:"tasks,omitempty"`
}

// ConditionFinished is True when every task has a verdict.
const ConditionFinished = "Finished"

// Evaluation runs some tasks in a sandbox, and judges them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Finished",type=string,JSONPath=`.status.conditions[?(@.type=="Finished")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Finished")].message`
type Evaluation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   EvaluationSpec   `json:"spec,omitzero"`
	Status EvaluationStatus `json:"status,omitzero"`
}

// EvaluationList is a list of Evaluations.
//
// +kubebuilder:object:root=true
type EvaluationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Evaluation `json:"items"`
}
