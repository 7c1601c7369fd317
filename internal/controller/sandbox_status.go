// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

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
	before := status.State
	status.State = v1alpha1.SandboxState(remote.State)
	if remote.Image != "" {
		status.Image = backends.Bounded(remote.Image, 1280)
	}
	if remote.State != backends.StateStopped {
		p.unfinished()
	}
	switch remote.State {
	case backends.StateRunning:
		p.observedRunning()
	case backends.StateCreating:
		p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonCreating, creatingMessage(remote.Reason))
	case backends.StatePaused:
		if before != v1alpha1.SandboxPaused || whoPaused(p.sandbox) == pausedByOthers {
			p.observedPaused(p.guessWhoPaused())
		}
	case backends.StateStopped:
		p.observedStopped(remote.Reason)
	}
}

// creatingMessage says what stands in the way of a sandbox that is being made.
func creatingMessage(reason string) string {
	if reason == "" {
		return "The provider is making the sandbox"
	}
	return "The sandbox does not run yet: " + reason
}

func (p *sandboxPass) observedRunning() {
	switch {
	case !isEquipped(p.sandbox):
		p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonWritingFiles, "The sandbox runs; its files are being written")
	case p.parametersChanged():
		p.setProgress(v1alpha1.ConditionStalled, v1alpha1.ReasonParametersChanged,
			"spec.parameters were changed, and the sandbox was made with others: set them back, or delete this object and create another")
	case p.sandbox.Spec.DesiredState == v1alpha1.DesiredPaused:
		p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonPausing, "The sandbox is being paused")
	default:
		p.setProgress(v1alpha1.ConditionReady, v1alpha1.ReasonReady, "The sandbox runs")
	}
}

// observedPaused says who paused the sandbox: the reason of Ready is where that is remembered.
func (p *sandboxPass) observedPaused(by pausedBy) {
	switch by {
	case pausedByOwner:
		p.setProgress(v1alpha1.ConditionReady, v1alpha1.ReasonPaused, "The sandbox is paused, as desiredState is Paused")
	case pausedByIdleness:
		p.setProgress(v1alpha1.ConditionReady, v1alpha1.ReasonIdle,
			"The sandbox is paused, as nobody used it for lifetime.idleTimeoutSeconds; the next run resumes it")
	default:
		p.setProgress(v1alpha1.ConditionStalled, v1alpha1.ReasonRemotePaused,
			"The sandbox is paused at the provider, and not by the operator: resume it there, or set desiredState to Paused and back")
	}
}

// whoPaused says who paused a sandbox that is paused.
func whoPaused(sandbox *v1alpha1.Sandbox) pausedBy {
	ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return pausedByOthers
	case ready.Reason == v1alpha1.ReasonPaused:
		return pausedByOwner
	case ready.Reason == v1alpha1.ReasonIdle, ready.Reason == v1alpha1.ReasonResuming:
		return pausedByIdleness
	default:
		return pausedByOthers
	}
}

// guessWhoPaused says who may have paused a sandbox that is found paused: a pass that was cut off before it could write that
// down, or somebody else.
func (p *sandboxPass) guessWhoPaused() pausedBy {
	idleAt := p.idleAt()
	switch {
	case p.sandbox.Spec.DesiredState == v1alpha1.DesiredPaused, p.resumed.lately(p.sandbox.UID, p.now):
		// Where it was resumed just now, the owner's pause came through late: it is resumed again.
		return pausedByOwner
	case p.life.OnIdle == v1alpha1.OnIdlePause && !idleAt.IsZero() && !p.now.Before(idleAt):
		return pausedByIdleness
	default:
		return pausedByOthers
	}
}

// goneMessage is said of a remote that the provider does not know any more.
const goneMessage = "The sandbox does not exist at the provider any more"

// stoppedMessage is said of a remote that ended by itself, for a reason that is known, or empty.
func stoppedMessage(reason string) string {
	const message = "The sandbox ended by itself"
	if reason == "" {
		return message
	}
	return message + ": " + reason
}

func (p *sandboxPass) observedStopped(reason string) {
	message := stoppedMessage(reason)
	if p.recreates() {
		p.lostOnce(v1alpha1.SandboxStopped, message)
		return
	}
	p.finish(v1alpha1.SandboxStopped, v1alpha1.ReasonRemoteStopped, message)
}

// finish records that the remote ended for good.
func (p *sandboxPass) finish(state v1alpha1.SandboxState, reason, message string) {
	status := &p.sandbox.Status
	status.State = state
	if status.FinishedAt == nil {
		status.FinishedAt = new(metav1.NewTime(p.now))
	}
	if state == v1alpha1.SandboxGone {
		status.Endpoints = nil
	}
	setCondition(&status.Conditions, p.sandbox.Generation, v1alpha1.ConditionFinished, conditionTrue, reason, message)
	p.setProgress(v1alpha1.ConditionStalled, reason, message)
}

// unfinished takes back that the remote ended: a remote that had stopped is there again, or there is another.
func (p *sandboxPass) unfinished() {
	p.sandbox.Status.FinishedAt = nil
	meta.RemoveStatusCondition(&p.sandbox.Status.Conditions, v1alpha1.ConditionFinished)
}

// lost records that the provider does not know the remote any more: whether it was its time, or a loss.
func (p *sandboxPass) lost() {
	idleAt := p.idleAt()
	switch expiresAt := p.expiresAt(); {
	case !expiresAt.IsZero() && p.now.After(expiresAt.Add(-endingSlack)):
		p.finish(v1alpha1.SandboxGone, v1alpha1.ReasonExpired, p.expiredMessage())
	case !idleAt.IsZero() && !p.now.Before(idleAt) && p.life.OnIdle != v1alpha1.OnIdlePause:
		p.finish(v1alpha1.SandboxGone, v1alpha1.ReasonIdleTimeout, p.idleMessage())
	case p.recreates():
		p.lostOnce(v1alpha1.SandboxGone, goneMessage)
	default:
		p.finish(v1alpha1.SandboxGone, v1alpha1.ReasonRemoteGone,
			goneMessage+"; delete this object and create it again for a new one")
	}
}

// endingSlack is how much earlier than its hard limit a remote may end that the provider ends by itself.
const endingSlack = 30 * time.Second

// bound takes over a remote that was made, found or adopted.
func (p *sandboxPass) bound(remote backends.Remote) {
	status := &p.sandbox.Status
	status.SandboxID = remote.ID
	status.Incarnation = p.journal.Incarnation
	identity := p.journal.Provider
	status.Provider = &identity
	created := metav1.NewTime(remote.CreatedAt)
	if remote.CreatedAt.IsZero() || p.sandbox.Spec.SandboxID != "" {
		// The time of one that was adopted counts from here.
		created = metav1.NewTime(p.now)
	}
	status.CreatedAt = &created
	status.ParametersDigest = parametersDigest(p.sandbox.Spec.Parameters)
	status.State = ""
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

// isLost says that the provider does not know the remote any more, though nobody ended it.
func isLost(sandbox *v1alpha1.Sandbox) bool {
	finished := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionFinished)
	return sandbox.Status.State == v1alpha1.SandboxGone && (finished == nil || finished.Reason == v1alpha1.ReasonRemoteGone)
}
