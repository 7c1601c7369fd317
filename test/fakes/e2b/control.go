// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// control is the control plane.
func (c *Cloud) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request){
		"POST /sandboxes":        c.postSandbox,
		"GET /sandboxes":         c.listRunning,
		"GET /v2/sandboxes":      c.listSandboxes,
		"GET /v2/templates":      c.listTemplates,
		"GET /snapshots":         c.listSnapshots,
		"DELETE /templates/{id}": c.deleteTemplate,
	} {
		mux.HandleFunc(pattern, c.authorized(handle))
	}
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request, *sandbox){
		"GET /sandboxes/{id}":            c.getSandbox,
		"DELETE /sandboxes/{id}":         c.deleteSandbox,
		"POST /sandboxes/{id}/timeout":   c.setTimeout,
		"POST /sandboxes/{id}/refreshes": c.refresh,
		"POST /sandboxes/{id}/pause":     c.pause,
		"POST /sandboxes/{id}/connect":   c.connect,
		"POST /sandboxes/{id}/resume":    c.resume,
		"PUT /sandboxes/{id}/network":    c.putNetwork,
		"POST /sandboxes/{id}/snapshots": c.postSnapshot,
	} {
		mux.HandleFunc(pattern, c.authorized(c.ofSandbox(handle)))
	}
	if !c.options.WithoutV2 {
		mux.HandleFunc("POST /v2/sandboxes", c.authorized(c.postSandboxV2))
		mux.HandleFunc("POST /v2/sandboxes/{id}/connect", c.authorized(c.ofSandbox(c.connectV2)))
	}
	return mux
}

// authorized lets through who has a key of a team that is not blocked.
func (c *Cloud) authorized(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("X-API-Key")
		c.mutex.Lock()
		known, blocked := c.keys[key], c.blocked
		c.mutex.Unlock()
		switch {
		case key == "":
			writeError(w, http.StatusUnauthorized, "authorization header is missing")
		case !strings.HasPrefix(key, "e2b_"):
			writeError(w, http.StatusUnauthorized, "Invalid API key format")
		case !known:
			writeError(w, http.StatusUnauthorized, "Cannot get the team for the given API key")
		case blocked != "":
			writeError(w, http.StatusForbidden, blocked)
		default:
			handle(w, r)
		}
	}
}

// ofSandbox finds the sandbox that a path names. Of an ID of the old form only what is before the dash counts.
func (c *Cloud) ofSandbox(handle func(http.ResponseWriter, *http.Request, *sandbox)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _, _ := strings.Cut(r.PathValue("id"), "-")
		if !isID(id) {
			writeError(w, http.StatusBadRequest, "Invalid sandbox ID")
			return
		}
		if s := c.find(id); s != nil {
			handle(w, r, s)
			return
		}
		writeError(w, http.StatusNotFound, fmt.Sprintf("sandbox %q doesn't exist or you don't have access to it", id))
	}
}

// body reads the JSON of a request; empty is as good as an object without fields where the operation says so.
func body(w http.ResponseWriter, r *http.Request, optional bool, into any) bool {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
	if err == nil && len(content) == 0 && optional {
		return true
	}
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "validation error: request body has an error: "+err.Error())
	}
	return err == nil
}

func (c *Cloud) postSandbox(w http.ResponseWriter, r *http.Request) { c.create(w, r, 15, false) }

func (c *Cloud) postSandboxV2(w http.ResponseWriter, r *http.Request) { c.create(w, r, 300, true) }

func (c *Cloud) create(w http.ResponseWriter, r *http.Request, usual int64, secure bool) {
	var request createRequest
	if !body(w, r, false, &request) {
		return
	}
	request.Secure = request.Secure || secure
	if request.Timeout == nil {
		request.Timeout = new(usual)
	}
	if message := c.refusal(request); message != "" {
		writeError(w, http.StatusBadRequest, message)
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	t := c.template(request.TemplateID)
	running := 0
	for _, s := range c.sandboxes {
		if s.state == stateRunning {
			running++
		}
	}
	switch {
	case t == nil:
		writeError(w, http.StatusNotFound, fmt.Sprintf("template '%s' not found", request.TemplateID))
	case running >= c.options.MaxSandboxes:
		writeError(w, http.StatusTooManyRequests, fmt.Sprintf("you have reached the maximum number of concurrent E2B sandboxes (%d). "+
			"If you need more, please contact support or upgrade your plan", c.options.MaxSandboxes))
	default:
		s := c.add(t, request)
		writeJSON(w, http.StatusCreated, c.answer(s))
	}
}

// refusal says what is wrong with a creation.
func (c *Cloud) refusal(request createRequest) string {
	seconds := *request.Timeout
	switch {
	case request.TemplateID == "":
		return `validation error: request body has an error: property "templateID" is missing`
	case seconds <= 0:
		return "Timeout must be greater than 0"
	case time.Duration(seconds)*time.Second > c.options.MaxLifetime:
		return fmt.Sprintf("Timeout cannot be greater than %d hours", int(c.options.MaxLifetime.Hours()))
	case request.Network.isPrivate() && !request.Secure:
		return "You cannot create a sandbox without public access unless you enable secure envd access via 'secure' flag."
	}
	return request.Network.refusal()
}

func (n *network) refusal() string {
	if n == nil {
		return ""
	}
	for _, denied := range n.DenyOut {
		if !isNetwork(denied) {
			return fmt.Sprintf("invalid denied CIDR %s", denied)
		}
	}
	hasName := slices.ContainsFunc(n.AllowOut, func(allowed string) bool { return !isNetwork(allowed) })
	if hasName && !slices.Contains(n.DenyOut, "0.0.0.0/0") {
		return "When specifying allowed domains in allow out, you must include 'ALL_TRAFFIC' in deny out to block all other traffic."
	}
	return ""
}

func isNetwork(s string) bool {
	_, prefixErr := netip.ParsePrefix(s)
	_, addressErr := netip.ParseAddr(s)
	return prefixErr == nil || addressErr == nil
}

func (c *Cloud) getSandbox(w http.ResponseWriter, _ *http.Request, s *sandbox) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	answer := detail{
		listed: s.listed(), AllowInternetAccess: s.request.AllowInternetAccess, Network: s.request.Network,
		Lifecycle: lifecycle{OnTimeout: "kill"},
	}
	if s.request.AutoPause {
		answer.Lifecycle.OnTimeout = "pause"
	}
	if s.request.Secure {
		answer.EnvdAccessToken = s.token
	}
	writeJSON(w, http.StatusOK, answer)
}

func (c *Cloud) deleteSandbox(w http.ResponseWriter, _ *http.Request, s *sandbox) {
	c.kill(s)
	w.WriteHeader(http.StatusNoContent)
}

func (c *Cloud) setTimeout(w http.ResponseWriter, r *http.Request, s *sandbox) {
	var request struct {
		Timeout *int64 `json:"timeout"`
	}
	if !body(w, r, false, &request) {
		return
	}
	if request.Timeout == nil || *request.Timeout < 0 {
		writeError(w, http.StatusBadRequest, `validation error: request body has an error: property "timeout" is missing`)
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if s.state != stateRunning {
		writeError(w, http.StatusConflict, "Sandbox is paused")
		return
	}
	s.endIn(c, time.Duration(*request.Timeout)*time.Second)
	w.WriteHeader(http.StatusNoContent)
}

func (c *Cloud) refresh(w http.ResponseWriter, r *http.Request, s *sandbox) {
	var request struct {
		Duration int64 `json:"duration"`
	}
	if !body(w, r, true, &request) {
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s.extend(c, time.Duration(max(request.Duration, 15))*time.Second)
	w.WriteHeader(http.StatusNoContent)
}

func (c *Cloud) pause(w http.ResponseWriter, r *http.Request, s *sandbox) {
	if !body(w, r, true, &struct{}{}) {
		return
	}
	if !c.suspend(s) {
		writeError(w, http.StatusConflict, fmt.Sprintf("Error pausing sandbox - sandbox '%s' is already paused", s.id))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *Cloud) connect(w http.ResponseWriter, r *http.Request, s *sandbox) { c.wake(w, r, s, nil) }

func (c *Cloud) connectV2(w http.ResponseWriter, r *http.Request, s *sandbox) {
	c.wake(w, r, s, new(int64(300)))
}

// wake answers 200 for a sandbox that runs, whose end is put off at most, and 201 for one that was paused.
func (c *Cloud) wake(w http.ResponseWriter, r *http.Request, s *sandbox, usual *int64) {
	request := struct {
		Timeout *int64 `json:"timeout"`
	}{usual}
	if !body(w, r, usual != nil, &request) {
		return
	}
	if request.Timeout == nil || *request.Timeout < 0 || time.Duration(*request.Timeout)*time.Second > c.options.MaxLifetime {
		writeError(w, http.StatusBadRequest, "validation error: timeout is missing or out of bounds")
		return
	}
	status := http.StatusOK
	if c.awaken(s, time.Duration(*request.Timeout)*time.Second) {
		status = http.StatusCreated
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	writeJSON(w, status, c.answer(s))
}

func (c *Cloud) resume(w http.ResponseWriter, r *http.Request, s *sandbox) {
	request := struct {
		Timeout int64 `json:"timeout"`
	}{15}
	if !body(w, r, false, &request) {
		return
	}
	if !c.awaken(s, time.Duration(request.Timeout)*time.Second) {
		writeError(w, http.StatusConflict, "sandbox is already running")
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	writeJSON(w, http.StatusCreated, c.answer(s))
}

func (c *Cloud) putNetwork(w http.ResponseWriter, r *http.Request, s *sandbox) {
	var request struct {
		network
		AllowInternetAccess *bool `json:"allow_internet_access"`
	}
	if !body(w, r, false, &request) {
		return
	}
	if message := request.refusal(); message != "" {
		writeError(w, http.StatusBadRequest, message)
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	public := s.request.Network
	s.request.Network, s.request.AllowInternetAccess = &request.network, request.AllowInternetAccess
	if public != nil {
		s.request.Network.AllowPublicTraffic = public.AllowPublicTraffic
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *Cloud) postSnapshot(w http.ResponseWriter, r *http.Request, s *sandbox) {
	var request struct {
		Name string `json:"name"`
	}
	if !body(w, r, false, &request) {
		return
	}
	t, err := c.snapshot(s, request.Name)
	switch {
	case errors.Is(err, errNotRunning):
		writeError(w, http.StatusConflict, "Sandbox is paused")
	case err != nil:
		writeError(w, http.StatusInternalServerError, err.Error())
	default:
		writeJSON(w, http.StatusCreated, snapshotAnswer{SnapshotID: t.TemplateID, Names: t.Names})
	}
}

func (c *Cloud) deleteTemplate(w http.ResponseWriter, r *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	id := r.PathValue("id")
	before := len(c.templates)
	c.templates = slices.DeleteFunc(c.templates, func(t *template) bool { return t.TemplateID == id && t.snapshotOf != "" })
	if len(c.templates) == before {
		writeError(w, http.StatusNotFound, fmt.Sprintf("the sandbox template '%s' wasn't found", id))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
