// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona/toolbox"
)

// proxyRefuse answers as the proxy does.
func proxyRefuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	reply(w, status, map[string]any{
		"statusCode": status, "message": message, "code": code, "timestamp": time.Now().UTC().Format(time.RFC3339Nano),
		"path": r.URL.Path, "method": r.Method,
	})
}

// proxy leads to the toolbox of a sandbox.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("sandbox")
	b, transport, done := s.enter(w, r, id)
	if b == nil {
		return
	}
	defer done()
	target := &url.URL{Scheme: "http", Host: net.JoinHostPort(id, strconv.Itoa(toolbox.Port))}
	forward(w, r, target, "/toolbox/"+id, transport)
}

// enter lets a request through to a sandbox that runs, and counts it as activity.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, id string) (*sandbox, *http.Transport, func()) {
	authorized := s.hasKey(r)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.settle()
	b := s.sandboxes[id]
	switch {
	case !authorized && (b == nil || !b.hasToken(r)):
		proxyRefuse(w, r, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized: authentication failed")
		return nil, nil, nil
	case b == nil || b.State == stateArchived || b.State == stateGoing:
		proxyRefuse(w, r, http.StatusNotFound, "NOT_FOUND", "sandbox container not found")
		return nil, nil, nil
	case b.State != stateStarted:
		proxyRefuse(w, r, http.StatusBadRequest, "BAD_REQUEST", "failed to get container IP. Is the Sandbox started?")
		return nil, nil, nil
	}
	transport, err := b.reached()
	if err != nil {
		proxyRefuse(w, r, http.StatusBadGateway, "BAD_GATEWAY", err.Error())
		return nil, nil, nil
	}
	return b, transport, s.activity(r, b)
}

// activity counts a request for as long as it lasts, unless it wants not to be counted. The lock is held.
func (s *Server) activity(r *http.Request, b *sandbox) (done func()) {
	if r.Header.Get("X-Daytona-Skip-Last-Activity-Update") == "true" {
		return func() {}
	}
	b.touch(s.Clock.Now())
	b.open++
	return func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		b.open--
	}
}

// hasToken says whether a request brings the sandbox's preview token.
func (b *sandbox) hasToken(r *http.Request) bool {
	return r.Header.Get("X-Daytona-Preview-Token") == b.token || r.URL.Query().Get("DAYTONA_SANDBOX_AUTH_KEY") == b.token
}

// forward passes a request on without what it proved itself with.
func forward(w http.ResponseWriter, r *http.Request, target *url.URL, prefix string, transport http.RoundTripper) {
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
			p.Out.URL.Path = strings.TrimPrefix(p.In.URL.Path, prefix)
			p.Out.URL.RawPath = ""
			p.Out.Header.Del("Authorization")
			p.Out.Header.Del("X-Daytona-Preview-Token")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	// An answer may come before the request was read to its end. Over HTTP/1 the server would then read the rest itself, beside the
	// proxy, and now and then cut the answer.
	_ = http.NewResponseController(w).EnableFullDuplex()
	proxy.ServeHTTP(w, r)
}

func portOf(address string) int {
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	return port
}
