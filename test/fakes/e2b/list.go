// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pageSize is the most that one page has, and what it has where nobody asks for less.
const pageSize = 100

// query is what a list of sandboxes is asked for.
type query struct {
	metadata     map[string]string
	states       []string
	template     string
	startedAfter time.Time
	ascending    bool
	limit        int
	after        string
}

func parseQuery(values url.Values) (query, error) {
	q := query{states: []string{stateRunning, statePaused}, template: values.Get("template"), ascending: values.Get("order") == "asc"}
	var err error
	if q.metadata, err = parseMetadata(values.Get("metadata")); err != nil {
		return q, err
	}
	if states := values.Get("state"); states != "" {
		q.states = strings.Split(states, ",")
	}
	if after := values.Get("startedAfter"); after != "" {
		if q.startedAfter, err = time.Parse(time.RFC3339, after); err != nil {
			return q, errors.New("startedAfter is no time")
		}
	}
	q.limit, err = parseLimit(values)
	if err == nil {
		q.after, err = parseToken(values.Get("nextToken"), q.ascending)
	}
	return q, err
}

func parseLimit(values url.Values) (int, error) {
	if !values.Has("limit") {
		return pageSize, nil
	}
	limit, err := strconv.Atoi(values.Get("limit"))
	if err != nil || limit < 1 || limit > pageSize {
		return 0, errors.New(`parameter "limit" in query has an error: number must be at most 100`)
	}
	return limit, nil
}

// parseMetadata undoes the second and the third of the three escapes; the first was undone with the query's own.
func parseMetadata(raw string) (map[string]string, error) {
	if raw == "" {
		return map[string]string{}, nil
	}
	unescaped, err := url.QueryUnescape(raw)
	if err != nil {
		return nil, errors.New("error when unescaping query")
	}
	metadata := map[string]string{}
	for pair := range strings.SplitSeq(unescaped, "&") {
		name, value, ok := strings.Cut(pair, "=")
		key, keyErr := url.QueryUnescape(name)
		content, valueErr := url.QueryUnescape(value)
		if !ok || keyErr != nil || valueErr != nil {
			return nil, errors.New("invalid metadata query")
		}
		metadata[key] = content
	}
	return metadata, nil
}

// A token is of one order, and names the last sandbox of the page before.
func tokenAfter(last *sandbox, ascending bool) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatBool(ascending) + " " + last.id))
}

func parseToken(token string, ascending bool) (string, error) {
	if token == "" {
		return "", nil
	}
	content, err := base64.RawURLEncoding.DecodeString(token)
	order, id, ok := strings.Cut(string(content), " ")
	if err != nil || !ok || order != strconv.FormatBool(ascending) {
		return "", errors.New("invalid next token")
	}
	return id, nil
}

func (q query) wants(s *sandbox) bool {
	for key, value := range q.metadata {
		if has, ok := s.request.Metadata[key]; !ok || has != value {
			return false
		}
	}
	return slices.Contains(q.states, s.state) && !s.startedAt.Before(q.startedAfter) &&
		(q.template == "" || s.template.TemplateID == q.template || slices.Contains(s.template.Names, q.template))
}

// selected returns all that match, in order. The mutex is held.
func (c *Cloud) selected(q query) []*sandbox {
	var found []*sandbox
	for _, s := range c.sandboxes {
		if q.wants(s) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *sandbox) int {
		order := b.number - a.number
		if q.ascending {
			order = -order
		}
		return order
	})
	return found
}

func (c *Cloud) listSandboxes(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	found := c.selected(q)
	running := 0
	for _, s := range found {
		if s.state == stateRunning {
			running++
		}
	}
	w.Header().Set("X-Total-Running", strconv.Itoa(running))
	if q.after != "" {
		found = found[1+slices.IndexFunc(found, func(s *sandbox) bool { return s.id == q.after }):]
	}
	if len(found) > q.limit {
		found = found[:q.limit]
		w.Header().Set("X-Next-Token", tokenAfter(found[q.limit-1], q.ascending))
	}
	page := make([]listed, 0, len(found))
	for _, s := range found {
		page = append(page, s.listed())
	}
	writeJSON(w, http.StatusOK, page)
}

// listRunning is the old list: no pages, and nothing that is paused.
func (c *Cloud) listRunning(w http.ResponseWriter, r *http.Request) {
	metadata, err := parseMetadata(r.URL.Query().Get("metadata"))
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	page := []listed{}
	for _, s := range c.selected(query{metadata: metadata, states: []string{stateRunning}}) {
		page = append(page, s.listed())
	}
	writeJSON(w, http.StatusOK, page)
}

func (c *Cloud) listTemplates(w http.ResponseWriter, _ *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	found := []*template{}
	for _, t := range c.templates {
		if t.snapshotOf == "" {
			found = append(found, t)
		}
	}
	writeJSON(w, http.StatusOK, found)
}

func (c *Cloud) listSnapshots(w http.ResponseWriter, r *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	of, name := r.URL.Query().Get("sandboxID"), r.URL.Query().Get("name")
	found := []snapshotAnswer{}
	for _, t := range c.templates {
		if t.snapshotOf != "" && (of == "" || t.snapshotOf == of) && (name == "" || slices.Contains(t.Names, name)) {
			found = append(found, snapshotAnswer{SnapshotID: t.TemplateID, Names: t.Names})
		}
	}
	writeJSON(w, http.StatusOK, found)
}
