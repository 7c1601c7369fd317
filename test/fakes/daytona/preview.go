// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// preview is a port of a sandbox. The real ones have host names of their own; these have ports of this machine's loopback.
type preview struct {
	web *httptest.Server
	// signed previews need no token until they expire.
	signed  bool
	expires time.Time
}

// closePreviews closes the ways to a sandbox's ports. The lock is held, and requests that are under way need it to end, so nobody
// waits here for them.
func (s *Server) closePreviews(b *sandbox) {
	for _, one := range b.previews {
		s.closing.Go(func() {
			one.web.CloseClientConnections()
			one.web.Close()
		})
	}
}

// port reads that of a path, or refuses.
func readPort(w http.ResponseWriter, r *http.Request) (int, bool) {
	port, err := strconv.Atoi(r.PathValue("port"))
	if err != nil || port < 1 || port > 65535 {
		refuse(w, r, http.StatusBadRequest, "Port must be between 1 and 65535")
		return 0, false
	}
	return port, true
}

func (s *Server) previewURL(w http.ResponseWriter, r *http.Request, b *sandbox) {
	port, ok := readPort(w, r)
	if !ok {
		return
	}
	one := s.preview(b, strconv.Itoa(port), port, &preview{})
	reply(w, http.StatusOK, map[string]any{"sandboxId": b.ID, "url": one.web.URL, "token": b.token})
}

func (s *Server) signedURL(w http.ResponseWriter, r *http.Request, b *sandbox) {
	port, ok := readPort(w, r)
	if !ok {
		return
	}
	seconds := 60
	if text := r.URL.Query().Get("expiresInSeconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 || seconds > 86400 {
			refuse(w, r, http.StatusBadRequest, "expiresInSeconds must be between 1 and 86400")
			return
		}
	}
	token := strings.ReplaceAll(newID(), "-", "")
	signed := &preview{signed: true, expires: s.Clock.Now().Add(time.Duration(seconds) * time.Second)}
	one := s.preview(b, token, port, signed)
	reply(w, http.StatusOK, map[string]any{"sandboxId": b.ID, "port": port, "token": token, "url": one.web.URL})
}

func (s *Server) expireSigned(w http.ResponseWriter, r *http.Request, b *sandbox) {
	one := b.previews[r.PathValue("token")]
	if one == nil {
		refuse(w, r, http.StatusNotFound, "Signed preview URL not found")
		return
	}
	one.expires = s.Clock.Now()
	w.WriteHeader(http.StatusCreated)
}

// preview opens the way to a port, once. The lock is held.
func (s *Server) preview(b *sandbox, key string, port int, fresh *preview) *preview {
	if one := b.previews[key]; one != nil {
		return one
	}
	fresh.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.showPort(w, r, b, port, fresh) }))
	b.previews[key] = fresh
	return fresh
}

// showPort leads to a port of a sandbox, or to where one logs in.
func (s *Server) showPort(w http.ResponseWriter, r *http.Request, b *sandbox, port int, through *preview) {
	key := s.hasKey(r)
	s.mutex.Lock()
	s.settle()
	allowed := key || b.Public || b.hasToken(r)
	if through.signed {
		allowed = s.Clock.Now().Before(through.expires)
	}
	if !allowed || b.State != stateStarted {
		s.mutex.Unlock()
		if !allowed {
			http.Redirect(w, r, s.web.URL+"/login", http.StatusTemporaryRedirect)
			return
		}
		proxyRefuse(w, r, http.StatusBadRequest, "BAD_REQUEST", "failed to get container IP. Is the Sandbox started?")
		return
	}
	transport, err := b.reached()
	done := s.activity(r, b)
	s.mutex.Unlock()
	defer done()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	forward(w, r, &url.URL{Scheme: "http", Host: net.JoinHostPort(b.ID, strconv.Itoa(port))}, "", transport)
}
