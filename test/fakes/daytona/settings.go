// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"maps"
	"net/http"
	"strconv"
	"time"
)

// setInterval changes one of the intervals, in minutes. It counts as activity, as all changes do.
func (s *Server) setInterval(of func(*sandbox) *int) func(http.ResponseWriter, *http.Request, *sandbox) {
	return func(w http.ResponseWriter, r *http.Request, b *sandbox) {
		minutes, err := strconv.Atoi(r.PathValue("value"))
		if err != nil || minutes < 0 && of(b) != &b.AutoDeleteInterval {
			refuse(w, r, http.StatusBadRequest, "The interval must be a number of minutes")
			return
		}
		*of(b) = minutes
		b.touch(s.Clock.Now())
		reply(w, http.StatusCreated, b.shown())
	}
}

// touch counts as activity.
func (b *sandbox) touch(now time.Time) { b.LastActivityAt = now }

func (s *Server) setTTL(w http.ResponseWriter, r *http.Request, b *sandbox) {
	minutes, err := strconv.Atoi(r.PathValue("value"))
	if err != nil || minutes < 0 {
		refuse(w, r, http.StatusBadRequest, "ttl must be a non-negative number of minutes")
		return
	}
	now := s.Clock.Now()
	b.AutoDestroyAt = nil
	if minutes > 0 {
		b.AutoDestroyAt = new(now.Add(time.Duration(minutes) * time.Minute))
	}
	b.touch(now)
	reply(w, http.StatusCreated, b.shown())
}

// activityThrottle is how often the activity is written down at most.
const activityThrottle = 45 * time.Second

func (s *Server) refreshActivity(w http.ResponseWriter, _ *http.Request, b *sandbox) {
	if now := s.Clock.Now(); now.Sub(b.LastActivityAt) >= activityThrottle {
		b.touch(now)
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *Server) setLabels(w http.ResponseWriter, r *http.Request, b *sandbox) {
	var request struct {
		Labels map[string]string `json:"labels"`
	}
	if !decode(w, r, &request) {
		return
	}
	b.Labels = maps.Clone(request.Labels)
	b.touch(s.Clock.Now())
	reply(w, http.StatusOK, map[string]any{"labels": request.Labels})
}

func (s *Server) setPublic(w http.ResponseWriter, r *http.Request, b *sandbox) {
	b.Public = r.PathValue("value") == "true"
	reply(w, http.StatusCreated, b.shown())
}

func (s *Server) setNetwork(w http.ResponseWriter, r *http.Request, b *sandbox) {
	var request struct {
		NetworkBlockAll  *bool   `json:"networkBlockAll"`
		NetworkAllowList *string `json:"networkAllowList"`
		DomainAllowList  *string `json:"domainAllowList"`
	}
	if !decode(w, r, &request) {
		return
	}
	if request.NetworkBlockAll == nil && request.NetworkAllowList == nil && request.DomainAllowList == nil {
		refuse(w, r, http.StatusBadRequest, "At least one network setting must be given")
		return
	}
	b.NetworkBlockAll = or(request.NetworkBlockAll, b.NetworkBlockAll)
	b.NetworkAllowList = or(request.NetworkAllowList, b.NetworkAllowList)
	b.DomainAllowList = or(request.DomainAllowList, b.DomainAllowList)
	reply(w, http.StatusOK, b.shown())
}

func (s *Server) toolboxURL(w http.ResponseWriter, _ *http.Request, b *sandbox) {
	reply(w, http.StatusOK, map[string]string{"url": b.ToolboxProxyURL})
}
