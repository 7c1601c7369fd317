// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// sandboxFacts is what one pass knows of a Sandbox before it decides.
type sandboxFacts struct {
	now time.Time
	// deletedAt is when deletion was asked for; zero = it was not.
	deletedAt time.Time
	// deletionDeadline is how long destroying may be tried.
	deletionDeadline time.Duration
	// held says that our finalizer is on the object.
	held bool
	// abandon and retain say that the remote shall be left alone at deletion.
	abandon, retain bool
	// foreign says that another installation made the remote that the status names.
	foreign bool
	// adopts says that the remote is one that exists.
	adopts bool
	// journalOpen says that a remote may exist which the status does not name.
	journalOpen bool
	// bound says that the status names a remote.
	bound bool
	state v1alpha1.SandboxState
	// finished says that the remote ended for good.
	finished bool
	// lost says that it was not we who ended it.
	lost bool
	// equipped says that spec.files are in the remote and its ports are reachable, or that there are none.
	equipped bool
	// resignAt is when a signed URL of a port must be replaced; zero = never.
	resignAt time.Time
	// suspect says that somebody noticed a change of the remote.
	suspect bool
	// current says that the status speaks of this generation, and of the lifetime that holds now.
	current bool
	// expiresAt is when the remote is to be destroyed, idleAt when it was idle for too long, deleteAt when the finished object is
	// to be deleted, and recreateAt when a lost remote is to be made again; zero = never.
	expiresAt, idleAt, deleteAt, recreateAt time.Time
	// pauseIdle says that idleness pauses it, rather than destroying it.
	pauseIdle bool
	// wantPaused says that it shall be paused.
	wantPaused bool
	// pausedBy says why it is paused.
	pausedBy pausedBy
	// needed says that a run waits for it, or runs in it.
	needed bool
}

// pausedBy says who paused a remote.
type pausedBy string

const (
	// pausedByOwner: desiredState said so.
	pausedByOwner pausedBy = "owner"
	// pausedByIdleness: nobody used it.
	pausedByIdleness pausedBy = "idleness"
	// pausedByOthers: somebody did it at the provider.
	pausedByOthers pausedBy = "others"
)

// sandboxAction is what a pass does.
type sandboxAction string

const (
	// sandboxRest: nothing is to be done.
	sandboxRest sandboxAction = "rest"
	// sandboxRelease: let the object go.
	sandboxRelease sandboxAction = "release"
	// sandboxRetain: leave the remote to the provider, and let the object go.
	sandboxRetain sandboxAction = "retain"
	// sandboxAbandon: let the object go though its remote may still exist, and say so.
	sandboxAbandon sandboxAction = "abandon"
	// sandboxDestroy: destroy the remote that the status names.
	sandboxDestroy sandboxAction = "destroy"
	// sandboxDestroyFound: look for remotes that the journal may have left, and destroy them.
	sandboxDestroyFound sandboxAction = "destroyFound"
	// sandboxFind: look for the remote that the journal may have left, and bind it; where there is none, make it.
	sandboxFind sandboxAction = "find"
	// sandboxCreate: make the remote.
	sandboxCreate sandboxAction = "create"
	// sandboxAdopt: take the remote that the spec names.
	sandboxAdopt sandboxAction = "adopt"
	// sandboxRecreate: make another remote in the place of one that was lost.
	sandboxRecreate sandboxAction = "recreate"
	// sandboxDisown: leave the remote alone, and say so.
	sandboxDisown sandboxAction = "disown"
	// sandboxProbe: ask the provider for the remote's state.
	sandboxProbe sandboxAction = "probe"
	// sandboxEquip: write the files, and make the ports reachable.
	sandboxEquip sandboxAction = "equip"
	// sandboxExpire: destroy the remote, as its time is over.
	sandboxExpire sandboxAction = "expire"
	// sandboxEndIdle: destroy the remote, as nobody used it.
	sandboxEndIdle sandboxAction = "endIdle"
	// sandboxPauseIdle: pause the remote, as nobody used it.
	sandboxPauseIdle sandboxAction = "pauseIdle"
	// sandboxPause: pause the remote, as was declared.
	sandboxPause sandboxAction = "pause"
	// sandboxResume: have the remote run again.
	sandboxResume sandboxAction = "resume"
	// sandboxConform: bring the remote up to date with what can be changed of the spec.
	sandboxConform sandboxAction = "conform"
	// sandboxHold: put our finalizer back, which somebody took off.
	sandboxHold sandboxAction = "hold"
	// sandboxRecord: bring the status up to date with the generation.
	sandboxRecord sandboxAction = "record"
	// sandboxDelete: delete the object, as its remote ended long ago.
	sandboxDelete sandboxAction = "delete"
)

// passed says that a time has come.
func (f *sandboxFacts) passed(at time.Time) bool { return !at.IsZero() && !f.now.Before(at) }

// decideSandbox says what to do. The order of the cases is the protocol: find before create, and before anything else at
// deletion.
func decideSandbox(f sandboxFacts) sandboxAction {
	switch {
	case !f.deletedAt.IsZero():
		return decideSandboxDeletion(f)
	case f.foreign && f.bound && !f.finished:
		return sandboxDisown
	case f.adopts && !f.bound:
		return sandboxAdopt
	case f.journalOpen:
		return sandboxFind
	case !f.bound:
		return sandboxCreate
	case !f.held:
		return sandboxHold
	default:
		return decideBoundSandbox(f)
	}
}

// decideBoundSandbox says what to do with a Sandbox that has, or had, a remote.
func decideBoundSandbox(f sandboxFacts) sandboxAction {
	switch {
	case f.finished && (f.state != v1alpha1.SandboxStopped || !f.suspect):
		return decideFinishedSandbox(f)
	case f.passed(f.expiresAt):
		return sandboxExpire
	case f.state == v1alpha1.SandboxGone, f.state == v1alpha1.SandboxStopped && !f.suspect:
		return decideLostSandbox(f)
	case f.suspect || f.state == v1alpha1.SandboxCreating:
		return sandboxProbe
	case f.state == v1alpha1.SandboxPaused:
		return decidePausedSandbox(f)
	default:
		return decideRunningSandbox(f)
	}
}

func decideFinishedSandbox(f sandboxFacts) sandboxAction {
	switch {
	case f.passed(f.deleteAt):
		return sandboxDelete
	case !f.current:
		return sandboxRecord
	default:
		return sandboxRest
	}
}

func decideLostSandbox(f sandboxFacts) sandboxAction {
	switch {
	case f.passed(f.recreateAt):
		return sandboxRecreate
	case !f.current:
		return sandboxRecord
	default:
		return sandboxRest
	}
}

func decideRunningSandbox(f sandboxFacts) sandboxAction {
	switch {
	case !f.equipped, f.passed(f.resignAt):
		return sandboxEquip
	case f.wantPaused:
		return sandboxPause
	case f.passed(f.idleAt) && f.pauseIdle:
		return sandboxPauseIdle
	case f.passed(f.idleAt):
		return sandboxEndIdle
	case !f.current:
		return sandboxConform
	default:
		return sandboxRest
	}
}

// decidePausedSandbox resumes what was paused by us and shall run. Whether it runs or not, idleness that destroys goes on.
func decidePausedSandbox(f sandboxFacts) sandboxAction {
	switch {
	case f.wantPaused && f.pausedBy != pausedByOwner:
		return sandboxPause
	case !f.wantPaused && f.pausedBy == pausedByOwner, !f.wantPaused && f.pausedBy == pausedByIdleness && f.needed:
		return sandboxResume
	case !f.wantPaused && !f.pauseIdle && f.passed(f.idleAt):
		return sandboxEndIdle
	case !f.current:
		return sandboxConform
	default:
		return sandboxRest
	}
}

func decideSandboxDeletion(f sandboxFacts) sandboxAction {
	// That a remote was lost rests on what the provider said once. What we ended ourselves was asked for until it was gone.
	gone := !f.bound || (f.state == v1alpha1.SandboxGone && (!f.lost || f.retain))
	late := f.now.Sub(f.deletedAt) > f.deletionDeadline
	switch {
	case !f.held:
		return sandboxRest
	case f.foreign, gone && (!f.journalOpen || f.adopts):
		return sandboxRelease
	case f.retain && !f.journalOpen && !f.abandon && !late:
		return sandboxRetain
	case f.retain:
		return sandboxRelease
	case f.abandon, late:
		return sandboxAbandon
	case f.journalOpen:
		return sandboxDestroyFound
	default:
		return sandboxDestroy
	}
}
