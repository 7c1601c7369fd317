// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"os"
	"sync"
	"time"
)

// Clock is the time of a fake: this machine's, and whatever it was turned forward.
type Clock struct {
	mutex  sync.Mutex
	offset time.Duration
}

// Now is the time that it shows.
func (c *Clock) Now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return time.Now().Add(c.offset).UTC().Truncate(time.Millisecond)
}

// Advance turns it forward.
func (c *Clock) Advance(by time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.offset += by
}

// settle lets everything happen whose time has come. It is called before anything is looked at, so that no time passes unseen. The lock
// is held.
func (s *Server) settle() {
	now := s.Clock.Now()
	for _, b := range s.sandboxes {
		b.enjoy(now)
		for b.advance(now) {
			if b.State == stateGone {
				s.bury(b, now)
			}
		}
	}
}

// activityWrite is how often a request that goes on counts as activity.
const activityWrite = 50 * time.Second

// enjoy counts the requests that are under way as activity.
func (b *sandbox) enjoy(now time.Time) {
	if b.open > 0 && now.Sub(b.LastActivityAt) >= activityWrite {
		b.LastActivityAt = now
	}
}

// advance takes one step whose time has come, and says whether there was one.
func (b *sandbox) advance(now time.Time) bool {
	if len(b.plan) > 0 {
		if b.plan[0].at.After(now) {
			return false
		}
		b.reach(b.plan[0].state, now)
		b.plan = b.plan[1:]
		return true
	}
	if b.State == stateGone {
		return false
	}
	if end := b.end(now); end != nil {
		b.begin(now, end...)
		return true
	}
	return false
}

// reach has the sandbox be in a state.
func (b *sandbox) reach(state string, now time.Time) {
	b.State, b.UpdatedAt = state, now
	switch state {
	case stateStopped, stateArchived, stateGone, stateError:
		b.halt()
	case statePaused:
		if b.running != nil {
			_ = b.running.Freeze()
		}
	case stateStarted:
		if b.running != nil {
			_ = b.running.Thaw()
		}
	}
}

// end says whether an interval of the sandbox is over, and what then happens.
func (b *sandbox) end(now time.Time) []step {
	idle := func(minutes int) bool { return now.Sub(b.LastActivityAt) >= time.Duration(minutes)*time.Minute }
	destroyed := []step{{now, stateGoing}, {now, stateGone}}
	switch {
	case b.AutoDestroyAt != nil && !now.Before(*b.AutoDestroyAt):
		return destroyed
	case b.State == stateStarted && b.AutoStopInterval > 0 && idle(b.AutoStopInterval):
		b.DesiredState = stateStopped
		if b.AutoDeleteInterval == 0 {
			return destroyed
		}
		return []step{{now, stateStopped}}
	case b.State == stateStopped && b.AutoDeleteInterval >= 0 && idle(b.AutoDeleteInterval):
		return destroyed
	case b.State == stateStopped && b.AutoArchiveInterval > 0 && idle(b.AutoArchiveInterval):
		b.DesiredState = stateArchived
		return []step{{now, stateArchived}}
	}
	return nil
}

// ghost is a destroyed sandbox that lists still have.
type ghost struct {
	sandbox sandbox
	until   time.Time
}

// bury forgets a destroyed sandbox, and removes its disk. The lock is held.
func (s *Server) bury(b *sandbox, now time.Time) {
	delete(s.sandboxes, b.ID)
	s.closePreviews(b)
	_ = os.RemoveAll(b.disk)
	if s.options.ListLag > 0 {
		s.ghosts = append(s.ghosts, ghost{b.shown(), now.Add(s.options.ListLag)})
	}
}
