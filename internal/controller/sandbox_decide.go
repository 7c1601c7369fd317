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
	// journalOpen says that a remote may exist which the status does not name.
	journalOpen bool
	// bound says that the status names a remote.
	bound bool
	state v1alpha1.SandboxState
	// equipped says that spec.files are in the remote, or that there are none.
	equipped bool
	// suspect says that somebody noticed a change of the remote.
	suspect bool
	// current says that the status speaks of this generation.
	current bool
}

// sandboxAction is what a pass does.
type sandboxAction string

const (
	// sandboxRest: nothing is to be done.
	sandboxRest sandboxAction = "rest"
	// sandboxRelease: let the object go.
	sandboxRelease sandboxAction = "release"
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
	// sandboxProbe: ask the provider for the remote's state.
	sandboxProbe sandboxAction = "probe"
	// sandboxEquip: write the files.
	sandboxEquip sandboxAction = "equip"
	// sandboxHold: put our finalizer back, which somebody took off.
	sandboxHold sandboxAction = "hold"
	// sandboxRecord: bring the status up to date with the generation.
	sandboxRecord sandboxAction = "record"
)

// decideSandbox says what to do. The order of the cases is the protocol: find before create, and before anything else at
// deletion.
func decideSandbox(f sandboxFacts) sandboxAction {
	switch {
	case !f.deletedAt.IsZero():
		return decideSandboxDeletion(f)
	case f.journalOpen:
		return sandboxFind
	case !f.bound:
		return sandboxCreate
	case !f.held:
		return sandboxHold
	case f.suspect || f.state == v1alpha1.SandboxCreating:
		return sandboxProbe
	case f.state == v1alpha1.SandboxRunning && !f.equipped:
		return sandboxEquip
	case !f.current:
		return sandboxRecord
	default:
		return sandboxRest
	}
}

func decideSandboxDeletion(f sandboxFacts) sandboxAction {
	gone := !f.bound || f.state == v1alpha1.SandboxGone
	switch {
	case !f.held:
		return sandboxRest
	case f.retain, gone && !f.journalOpen:
		return sandboxRelease
	case f.abandon, f.now.Sub(f.deletedAt) > f.deletionDeadline:
		return sandboxAbandon
	case f.journalOpen:
		return sandboxDestroyFound
	default:
		return sandboxDestroy
	}
}
