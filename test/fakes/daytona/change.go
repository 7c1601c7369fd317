// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"net/http"
	"slices"
	"strconv"
)

const inProgress = "Sandbox state change in progress"

func (s *Server) get(w http.ResponseWriter, _ *http.Request, b *sandbox) {
	reply(w, http.StatusOK, b.shown())
}

// destroy accepts, and frees the name at once.
func (s *Server) destroy(w http.ResponseWriter, r *http.Request, b *sandbox) {
	if b.inTransition() {
		refuse(w, r, http.StatusConflict, inProgress)
		return
	}
	now := s.Clock.Now()
	b.Name = "DESTROYED_" + b.Name + "_" + strconv.FormatInt(now.UnixMilli(), 10)
	b.DesiredState = stateGone
	b.begin(now, after(now, stateGoing, s.options.DestroyDelay, stateGone)...)
	b.advance(now)
	reply(w, http.StatusOK, b.shown())
	s.settle()
}

// start waits, without the lock, for the sandbox to run.
func (s *Server) start(w http.ResponseWriter, r *http.Request) {
	var found *sandbox
	s.with(func(w http.ResponseWriter, r *http.Request, b *sandbox) {
		now := s.Clock.Now()
		switch {
		case b.inTransition():
			refuse(w, r, http.StatusConflict, inProgress)
		case b.State == stateStarted:
			reply(w, http.StatusOK, b.shown())
		case b.State == stateStopped || b.State == stateArchived:
			between := map[string]string{stateStopped: stateStarting, stateArchived: stateRestoring}[b.State]
			b.DesiredState, b.token = stateStarted, newID()
			b.begin(now, after(now, between, s.options.StartDelay, stateStarted)...)
			found = b
		case b.State == statePaused:
			b.DesiredState = stateStarted
			b.begin(now, after(now, stateResuming, s.options.StartDelay, stateStarted)...)
			found = b
		default:
			refuse(w, r, http.StatusBadRequest, "Sandbox is not in valid state")
		}
	})(w, r)
	if found != nil {
		s.await(w, r, found)
	}
}

// change checks that the sandbox may go from one of these states, and plans the way.
func (s *Server) change(w http.ResponseWriter, r *http.Request, b *sandbox, from []string, between, to string) {
	switch {
	case b.inTransition():
		refuse(w, r, http.StatusConflict, inProgress)
		return
	case !slices.Contains(from, b.State):
		refuse(w, r, http.StatusBadRequest, "Sandbox is not in valid state")
		return
	}
	now := s.Clock.Now()
	b.DesiredState = to
	b.begin(now, after(now, between, s.options.StopDelay, to)...)
	b.advance(now)
	reply(w, http.StatusOK, b.shown())
	s.settle()
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request, b *sandbox) {
	if b.AutoDeleteInterval == 0 && !b.inTransition() && b.State == stateStarted {
		s.destroy(w, r, b)
		return
	}
	s.change(w, r, b, []string{stateStarted, statePaused}, stateStopping, stateStopped)
}

func (s *Server) pause(w http.ResponseWriter, r *http.Request, b *sandbox) {
	if b.SandboxClass == classContainer {
		refuse(w, r, http.StatusUnprocessableEntity, "Pause is not supported for sandbox class container")
		return
	}
	s.change(w, r, b, []string{stateStarted}, statePausing, statePaused)
}

func (s *Server) archive(w http.ResponseWriter, r *http.Request, b *sandbox) {
	if b.AutoDeleteInterval == 0 {
		refuse(w, r, http.StatusBadRequest, "Ephemeral sandboxes cannot be archived")
		return
	}
	s.change(w, r, b, []string{stateStopped}, stateArchiving, stateArchived)
}

func (s *Server) recoverFailed(w http.ResponseWriter, r *http.Request, b *sandbox) {
	if b.State != stateError || !b.Recoverable {
		refuse(w, r, http.StatusBadRequest, "Sandbox is not recoverable")
		return
	}
	b.ErrorReason, b.Recoverable = "", false
	s.change(w, r, b, []string{stateError}, stateStarting, stateStarted)
}

// Break has a sandbox be in error, as when its runner lost it.
func (s *Server) Break(id, reason string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if b := s.find(id); b != nil {
		b.plan, b.ErrorReason = nil, reason
		b.reach(stateError, s.Clock.Now())
	}
}

// Halt stops a sandbox behind everybody's back, and Archive puts it away as well.
func (s *Server) Halt(id string) { s.force(id, stateStopped) }

// Archive archives a sandbox behind everybody's back.
func (s *Server) Archive(id string) { s.force(id, stateArchived) }

// Remove destroys a sandbox behind everybody's back.
func (s *Server) Remove(id string) { s.force(id, stateGone) }

func (s *Server) force(id, state string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if b := s.find(id); b != nil {
		now := s.Clock.Now()
		if state != stateGone && b.AutoDeleteInterval == 0 {
			b.AutoDeleteInterval = -1
		}
		b.DesiredState = state
		b.begin(now, step{now, state})
		s.settle()
	}
}

// States are those of all sandboxes, by ID.
func (s *Server) States() map[string]string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.settle()
	states := map[string]string{}
	for id, b := range s.sandboxes {
		states[id] = b.State
	}
	return states
}
