// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Get implements backends.Backend.
func (b *backend) Get(ctx context.Context, id string) (backends.Remote, error) {
	found, err := b.read(ctx, operationGet, id)
	if err != nil {
		return backends.Remote{}, err
	}
	return found.remote(), nil
}

// FindByName implements backends.NameFinder. The server takes an ID in the place of a name, too.
func (b *backend) FindByName(ctx context.Context, name string) (backends.Remote, error) {
	found, err := b.read(ctx, operationFind, name)
	if err != nil {
		return backends.Remote{}, err
	}
	if found.Name != name {
		return backends.Remote{}, notFound(operationFind)
	}
	return found.remote(), nil
}

// pageSize is the most that the server gives at once.
const pageSize = 200

// List implements backends.Backend. The server filters by labels; what it lists may be some seconds old.
func (b *backend) List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error) {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}, "sort": {"createdAt"}, "order": {"asc"}}
	if wanted := filterLabels(filter); len(wanted) > 0 {
		encoded, _ := json.Marshal(wanted) //nolint:errchkjson // strings encode
		query.Set("labels", string(encoded))
	}
	var remotes []backends.Remote
	seen := map[string]bool{}
	for {
		var page struct {
			Items      []sandbox `json:"items"`
			NextCursor *string   `json:"nextCursor"`
		}
		next := request{operation: operationList, method: http.MethodGet, path: "/sandbox", query: query}
		if err := b.call(ctx, next, &page); err != nil {
			return nil, err
		}
		for i := range page.Items {
			// A list that changes while it is read may have one twice.
			if one := &page.Items[i]; !seen[one.ID] && one.State != stateDestroyed && filter.Matches(one.mark()) {
				seen[one.ID] = true
				b.places.remember(*one)
				remotes = append(remotes, one.remote())
			}
		}
		if page.NextCursor == nil || *page.NextCursor == "" || *page.NextCursor == query.Get("cursor") {
			return remotes, nil
		}
		query.Set("cursor", *page.NextCursor)
		if err := backends.NextPage(ctx); err != nil {
			return nil, backends.Errorf(backends.Unavailable, Name, operationList, "the list was given up before its last page: %w", err)
		}
	}
}

func filterLabels(filter backends.Filter) map[string]string {
	labels := map[string]string{}
	if filter.Installation != "" {
		labels[backends.MarkInstallation] = filter.Installation
	}
	if filter.UID != "" {
		labels[backends.MarkUID] = filter.UID
	}
	return labels
}

func (s *sandbox) mark() backends.Mark {
	mark, _ := backends.SplitLabels(s.Labels)
	return mark
}

// remote is the sandbox in the operator's words.
func (s *sandbox) remote() backends.Remote {
	mark, labels := backends.SplitLabels(s.Labels)
	state, reason := s.observe()
	return backends.Remote{
		ID: s.ID, Name: s.Name, State: state, Reason: reason, Mark: mark, Labels: labels, Image: s.Snapshot, CreatedAt: s.CreatedAt.Time,
		ExpiresAt: s.expiresAt(),
	}
}

// observe translates the state. A stopped sandbox keeps its disk and can be started again, so it is paused, without its memory. States
// that nobody knows mean to wait.
func (s *sandbox) observe() (state backends.State, reason string) {
	switch s.State {
	case stateStarted:
		return backends.StateRunning, ""
	case stateStopping, stateStopped, statePausing, statePaused, stateArchiving, stateArchived:
		return backends.StatePaused, "Daytona says that it is " + s.State
	case stateError, stateBuildFailed:
		reason := "Daytona says that it is in error"
		if s.ErrorReason != "" {
			reason += ": " + plain(s.ErrorReason)
		}
		return backends.StateStopped, reason + "; it keeps its quota until it is deleted"
	case stateDestroying:
		return backends.StateStopped, "it is being destroyed"
	}
	return backends.StateCreating, ""
}

// expiresAt is when the server will end it by itself; zero = never. Without a time to live, that moves with each use.
func (s *sandbox) expiresAt() time.Time {
	if !s.AutoDestroyAt.IsZero() {
		return s.AutoDestroyAt.Time
	}
	if s.AutoDeleteInterval == nil || *s.AutoDeleteInterval < 0 {
		return time.Time{}
	}
	remaining := *s.AutoDeleteInterval
	if !s.isStopped() {
		if s.AutoStopInterval <= 0 {
			return time.Time{}
		}
		remaining += s.AutoStopInterval
	}
	if remaining > longestLife.Minutes() {
		return time.Time{}
	}
	return s.lastActivity().Add(time.Duration(remaining * float64(time.Minute)))
}

// longestLife is one that is as good as none. Beyond 292 years a duration turns negative, and what should live longest has ended.
const longestLife = 100 * 365 * 24 * time.Hour

// lastActivity is from when the intervals count.
func (s *sandbox) lastActivity() time.Time {
	if s.LastActivityAt.IsZero() {
		return s.CreatedAt.Time
	}
	return s.LastActivityAt.Time
}

func (s *sandbox) isStopped() bool { return s.State == stateStopped || s.State == stateArchived }
