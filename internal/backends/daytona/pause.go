// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// pausable are the classes of sandboxes that keep their memory. Others are stopped, and keep their disk.
var pausable = []string{"linux-vm", "windows"}

// Pause implements backends.Pauser. It returns when the sandbox is paused or stopped: until then it costs, and can't be resumed.
func (b *backend) Pause(ctx context.Context, id string) error {
	found, err := b.settled(ctx, operationPause, id)
	if err != nil {
		return err
	}
	if at, _ := found.observe(); at == backends.StatePaused {
		return nil
	}
	if found.State != stateStarted {
		return notRunning(operationPause, found)
	}
	if slices.Contains(pausable, found.SandboxClass) {
		err = b.change(ctx, operationPause, id, "pause")
	}
	if errors.Is(err, backends.Unsupported) || !slices.Contains(pausable, found.SandboxClass) {
		err = b.stop(ctx, found)
	}
	if err != nil {
		return err
	}
	return b.expect(ctx, operationPause, id, backends.StatePaused)
}

// stop stops a sandbox that shall stay. One that would be deleted with that gets another end first: its time to live, where the server
// knows it, or else the time that it may be without use.
func (b *backend) stop(ctx context.Context, s sandbox) error {
	if s.AutoDeleteInterval != nil && *s.AutoDeleteInterval == 0 {
		minutes := -1
		if s.AutoDestroyAt.IsZero() && s.AutoStopInterval > 0 {
			minutes = int(s.AutoStopInterval)
		}
		if err := b.change(ctx, operationPause, s.ID, fmt.Sprintf("autodelete/%d", minutes)); err != nil {
			return err
		}
	}
	return b.change(ctx, operationPause, s.ID, "stop")
}

// Resume implements backends.Pauser. It returns when the sandbox runs. What was stopped runs without what it had in memory.
func (b *backend) Resume(ctx context.Context, id string) error {
	found, err := b.settled(ctx, operationResume, id)
	if err != nil {
		return err
	}
	if found.State == stateStarted {
		return nil
	}
	if at, _ := found.observe(); at != backends.StatePaused {
		return notRunning(operationResume, found)
	}
	idleEnd := found.AutoDestroyAt.IsZero() && found.AutoDeleteInterval != nil && *found.AutoDeleteInterval > 0
	if err := b.change(ctx, operationResume, id, "start"); err != nil {
		return err
	}
	if err := b.expect(ctx, operationResume, id, backends.StateRunning); err != nil || !idleEnd {
		return err
	}
	// Whatever stops it from now on is its end again.
	return b.change(ctx, operationResume, id, "autodelete/0")
}

// settled waits until a sandbox is in none of the states between two others.
func (b *backend) settled(ctx context.Context, operation, id string) (sandbox, error) {
	for pause := firstPause; ; pause = nextPause(pause) {
		found, err := b.read(ctx, operation, id)
		if err != nil {
			return found, err
		}
		switch found.State {
		case stateStarted, stateStopped, statePaused, stateArchived, stateError, stateBuildFailed, stateDestroying:
			return found, nil
		}
		if err := sleep(ctx, operation, pause); err != nil {
			return found, err
		}
	}
}

// expect waits until a change has come to its end, and complains of another end.
func (b *backend) expect(ctx context.Context, operation, id string, state backends.State) error {
	found, err := b.settled(ctx, operation, id)
	if err != nil {
		return err
	}
	if at, _ := found.observe(); at != state {
		return notRunning(operation, found)
	}
	return nil
}

func notRunning(operation string, s sandbox) error {
	_, reason := s.observe()
	if reason == "" {
		reason = "it runs"
	}
	return aboutOne(backends.Errorf(backends.NotRunning, Name, operation, "the sandbox does not do that now: %s", reason))
}

// The pauses between two looks, as Daytona's own SDKs make them.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = time.Second
)

func nextPause(pause time.Duration) time.Duration { return min(pause*11/10, mostPause) }

func sleep(ctx context.Context, operation string, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return aboutOne(backends.Errorf(backends.Ambiguous, Name, operation, "the sandbox takes too long to get there: %w", ctx.Err()))
	}
}
