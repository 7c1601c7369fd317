// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

type (
	updateEvent = event.UpdateEvent
	deleteEvent = event.DeleteEvent
)

// maxMessage bounds condition messages, in bytes.
const maxMessage = 2048

// setCondition sets one condition of a kind's list.
func setCondition(conditions *[]metav1.Condition, generation int64, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: backends.Bounded(message, maxMessage), ObservedGeneration: generation,
	})
}

// setProgress sets Ready, Reconciling and Stalled together, in the way of kstatus: the last two stand only where they are
// true.
func setProgress(conditions *[]metav1.Condition, generation int64, progress, reason, message string) {
	ready := metav1.ConditionFalse
	if progress == v1alpha1.ConditionReady {
		ready = metav1.ConditionTrue
	}
	setCondition(conditions, generation, v1alpha1.ConditionReady, ready, reason, message)
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if progress == kind {
			setCondition(conditions, generation, kind, metav1.ConditionTrue, reason, message)
		} else {
			meta.RemoveStatusCondition(conditions, kind)
		}
	}
}

// observeGeneration makes all conditions speak of the generation, and returns it.
func observeGeneration(conditions []metav1.Condition, generation int64) int64 {
	for i := range conditions {
		conditions[i].ObservedGeneration = generation
	}
	return generation
}

func (p *sandboxPass) setProgress(progress, reason, message string) {
	setProgress(&p.sandbox.Status.Conditions, p.sandbox.Generation, progress, reason, message)
}

// observed takes over what the provider says of the remote.
func (p *sandboxPass) observed(remote backends.Remote) {
	status := &p.sandbox.Status
	status.State = v1alpha1.SandboxState(remote.State)
	if remote.Image != "" {
		status.Image = remote.Image
	}
	switch remote.State {
	case backends.StateRunning:
		if isEquipped(p.sandbox) {
			p.setProgress(v1alpha1.ConditionReady, v1alpha1.ReasonReady, "The sandbox runs")
		} else {
			p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonWritingFiles, "The sandbox runs; its files are being written")
		}
	case backends.StateCreating:
		p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonCreating, "The provider is making the sandbox")
	case backends.StatePaused:
		p.setProgress(v1alpha1.ConditionStalled, v1alpha1.ReasonRemotePaused, "The sandbox is paused at the provider")
	case backends.StateStopped:
		message := "The sandbox ended by itself"
		if remote.Reason != "" {
			message += ": " + remote.Reason
		}
		p.setProgress(v1alpha1.ConditionStalled, v1alpha1.ReasonRemoteStopped, message)
	}
}

// lost records that the provider does not know the remote any more.
func (p *sandboxPass) lost() {
	p.sandbox.Status.State = v1alpha1.SandboxGone
	p.setProgress(v1alpha1.ConditionStalled, v1alpha1.ReasonRemoteGone,
		"The sandbox does not exist at the provider any more; delete this object and create it again for a new one")
}

// bound takes over a remote that was made or found.
func (p *sandboxPass) bound(remote backends.Remote) {
	status := &p.sandbox.Status
	status.SandboxID = remote.ID
	status.Incarnation = p.journal.Incarnation
	identity := p.journal.Provider
	status.Provider = &identity
	created := metav1.NewTime(remote.CreatedAt)
	if remote.CreatedAt.IsZero() {
		created = metav1.NewTime(p.now)
	}
	status.CreatedAt = &created
	p.observed(remote)
}

// isEquipped says that the Sandbox's files are in its remote, or that there are none to be written.
func isEquipped(sandbox *v1alpha1.Sandbox) bool {
	return len(sandbox.Spec.Files) == 0 ||
		meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionFilesWritten)
}

// equipped records that the files are in the remote.
func (p *sandboxPass) equipped() {
	if len(p.sandbox.Spec.Files) > 0 {
		setCondition(&p.sandbox.Status.Conditions, p.sandbox.Generation, v1alpha1.ConditionFilesWritten, metav1.ConditionTrue,
			v1alpha1.ReasonFilesWritten, "All of spec.files are in the sandbox")
	}
}
