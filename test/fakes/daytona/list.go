// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// listed is a sandbox in a list, which has less of it.
type listed struct {
	sandbox
	Env       *struct{} `json:"env,omitempty"`
	Volumes   *struct{} `json:"volumes,omitempty"`
	BuildInfo *struct{} `json:"buildInfo,omitempty"`
}

// list answers one page. It comes out of a search index, which lags behind.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := 100
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 200 {
			refuse(w, r, http.StatusBadRequest, "limit must be between 1 and 200")
			return
		}
	}
	wanted := map[string]string{}
	if text := query.Get("labels"); text != "" && json.Unmarshal([]byte(text), &wanted) != nil {
		refuse(w, r, http.StatusBadRequest, "Invalid labels JSON")
		return
	}
	position, err := base64.RawURLEncoding.DecodeString(query.Get("cursor"))
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "Invalid cursor")
		return
	}
	found := s.visible(query, wanted)
	items := []listed{}
	var next *string
	for _, b := range found {
		switch key := sortKey(b); {
		case string(position) >= key:
		case len(items) == limit:
			next = new(base64.RawURLEncoding.EncodeToString([]byte(sortKey(items[limit-1].sandbox))))
		default:
			items = append(items, listed{sandbox: b})
		}
		if next != nil {
			break
		}
	}
	reply(w, http.StatusOK, map[string]any{"items": items, "nextCursor": next})
}

// sortKey orders lists: the oldest last in time come first, so that what is made meanwhile shifts nothing.
func sortKey(b sandbox) string { return b.CreatedAt.Format("2006-01-02T15:04:05.000") + b.ID }

// visible are the sandboxes that the index has and the query wants, in order.
func (s *Server) visible(query url.Values, wanted map[string]string) []sandbox {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.settle()
	now := s.Clock.Now()
	var found []sandbox
	for _, b := range s.sandboxes {
		if now.Sub(b.CreatedAt) >= s.options.ListLag && wants(query, wanted, b) {
			found = append(found, b.shown())
		}
	}
	s.ghosts = slices.DeleteFunc(s.ghosts, func(g ghost) bool { return !g.until.After(now) })
	for _, g := range s.ghosts {
		if wants(query, wanted, &g.sandbox) {
			g.sandbox.State = stateGoing
			found = append(found, g.sandbox)
		}
	}
	slices.SortFunc(found, func(a, b sandbox) int { return cmp.Compare(sortKey(a), sortKey(b)) })
	return found
}

func wants(query url.Values, labels map[string]string, b *sandbox) bool {
	for key, value := range labels {
		if has, ok := b.Labels[key]; !ok || has != value {
			return false
		}
	}
	if states := query["states"]; len(states) > 0 && !slices.Contains(states, b.State) {
		return false
	}
	return hasPrefix(b.ID, query.Get("id")) && hasPrefix(b.Name, query.Get("name"))
}

func hasPrefix(text, prefix string) bool {
	return strings.HasPrefix(strings.ToLower(text), strings.ToLower(prefix))
}

// Fill makes so many sandboxes at once, with these labels, as if they had been made over the last hours.
func (s *Server) Fill(count int, labels map[string]string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	now := s.Clock.Now()
	for i := range count {
		b := s.newSandbox(createRequest{Labels: labels, AutoStopInterval: new(int)}, s.snapshots[DefaultSnapshot],
			now.Add(-time.Duration(i)*time.Second))
		b.State, b.DesiredState = stateStarted, stateStarted
		s.sandboxes[b.ID] = b
	}
}
