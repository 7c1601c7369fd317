// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"
)

// execFacts is what one pass knows of a SandboxExec before it decides.
type execFacts struct {
	now time.Time
	// deleting says that deletion was asked for.
	deleting bool
	// finished says that there is an outcome.
	finished bool
	// current says that the status speaks of this generation.
	current bool
	// expiresAt is when a finished run is to be deleted, and compactAt when its output is to be dropped; zero = never.
	expiresAt, compactAt time.Time
	// started says that the command may have run: the journal is in the status.
	started bool
	// seen says that its start was seen to have happened: our finalizer is on the object.
	seen bool
	// attached says that it runs, or ran, within one call.
	attached bool
	// cancelled says that desiredState is Cancelled.
	cancelled bool
	// startDeadline is when the start is given up, and startAt when the next attempt may start; zero = at once.
	startDeadline, startAt time.Time
	// oneShot says that the Sandbox is made for this run alone.
	oneShot bool
	// leftover says that a Sandbox is still there that was made for an attempt which is over.
	leftover bool
	// conflict says that a Sandbox has the name that this run's own would have.
	conflict bool
	// sandboxExists says that there is a Sandbox of that name.
	sandboxExists bool
	// sandboxReady says that the Sandbox can run commands now.
	sandboxReady bool
	// sandboxFailed says that the Sandbox will not become Ready until somebody changes something.
	sandboxFailed bool
	// turn says that no earlier run holds this one up.
	turn bool
	// sameSandbox says that the Sandbox in which it was started is still there, with the same remote.
	sameSandbox bool
}

// execAction is what a pass does.
type execAction string

const (
	// execRest: nothing is to be done.
	execRest execAction = "rest"
	// execRecord: bring the status up to date with the generation.
	execRecord execAction = "record"
	// execExpire: delete the object or drop its output, now or when the time has come.
	execExpire execAction = "expire"
	// execLetGo: take our finalizer off.
	execLetGo execAction = "letGo"
	// execDiscard: delete the Sandbox that was made for an attempt which is over.
	execDiscard execAction = "discard"
	// execKill: kill the command of an object that is being deleted, then let it go.
	execKill execAction = "kill"
	// execNeverStarted: the run was cancelled before anything was done for it.
	execNeverStarted execAction = "neverStarted"
	// execGiveUp: the start deadline is over, and nothing was done for it.
	execGiveUp execAction = "giveUp"
	// execBackOff: wait until the next attempt may start.
	execBackOff execAction = "backOff"
	// execConflict: the name that its own Sandbox would have is taken, so the run ends.
	execConflict execAction = "conflict"
	// execMake: make its own Sandbox.
	execMake execAction = "make"
	// execSandboxFailed: the Sandbox will not become Ready, so the run ends.
	execSandboxFailed execAction = "sandboxFailed"
	// execWait: the Sandbox is not Ready yet.
	execWait execAction = "wait"
	// execWaitForTurn: an earlier run of the Sandbox is not finished.
	execWaitForTurn execAction = "waitForTurn"
	// execStart: write the journal and start the command.
	execStart execAction = "start"
	// execStartAgain: the journal is written, but no start was seen: try again, which the fence makes harmless.
	execStartAgain execAction = "startAgain"
	// execPrevent: take the fence, so that the command never starts; where it has, it goes on.
	execPrevent execAction = "prevent"
	// execLook: see how the command is.
	execLook execAction = "look"
	// execCancel: kill the command.
	execCancel execAction = "cancel"
	// execTake: see whether the call within which the command runs is over.
	execTake execAction = "take"
	// execSandboxLost: the Sandbox or its remote is not the one in which it was started.
	execSandboxLost execAction = "sandboxLost"
)

// decideExec says what to do.
func decideExec(f execFacts) execAction {
	switch {
	case f.finished:
		return decideFinishedExec(f)
	case f.deleting && f.seen && f.sameSandbox && !f.attached:
		return execKill
	case f.deleting && f.seen:
		return execLetGo
	case f.deleting:
		return execRest
	case f.started:
		return decideStartedExec(f)
	default:
		return decideWaitingExec(f)
	}
}

func decideFinishedExec(f execFacts) execAction {
	switch {
	case f.seen:
		return execLetGo
	case f.oneShot && f.sandboxExists, f.leftover:
		return execDiscard
	case f.deleting:
		return execRest
	case !f.current:
		return execRecord
	case !f.expiresAt.IsZero(), !f.compactAt.IsZero():
		return execExpire
	default:
		return execRest
	}
}

func decideWaitingExec(f execFacts) execAction {
	switch {
	case f.seen:
		// Of an attempt that is over.
		return execLetGo
	case f.leftover:
		return execDiscard
	case f.cancelled:
		return execNeverStarted
	case f.now.After(f.startDeadline):
		return execGiveUp
	case f.now.Before(f.startAt):
		return execBackOff
	case f.conflict:
		return execConflict
	case f.oneShot && !f.sandboxExists:
		return execMake
	case f.sandboxFailed:
		return execSandboxFailed
	case !f.sandboxReady:
		return execWait
	case !f.turn:
		return execWaitForTurn
	default:
		return execStart
	}
}

func decideStartedExec(f execFacts) execAction {
	switch {
	case f.attached:
		// The call knows best; it ends with its sandbox, and with a cancel.
		return execTake
	case !f.sameSandbox:
		return execSandboxLost
	case f.cancelled:
		return execCancel
	case f.seen:
		return execLook
	case f.now.After(f.startDeadline):
		return execPrevent
	default:
		return execStartAgain
	}
}

// lookDelay is how long to wait for the next look at a command that has run for so long.
func lookDelay(ran time.Duration) time.Duration {
	const least, most = 300 * time.Millisecond, 10 * time.Second
	return min(max(ran/20, least), most)
}
