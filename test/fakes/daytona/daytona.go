// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package daytona is a fake of Daytona: the control API, the proxy to the toolbox of each sandbox, and previews of ports. Sandboxes are
// throw-away machines (package machine) that really run what they are told. It speaks the protocol of Daytona 0.190, or, where
// Options.Newest says so, what the newest SDKs expect on top. States change with time, on a clock that tests can turn.
//
// daytona.go starts it and checks keys, sandbox.go is one sandbox, time.go what time does to it, create.go, change.go, settings.go and
// list.go are the control API, snapshots.go and volumes.go what sandboxes are made of, proxy.go leads to toolboxes, preview.go to
// ports, and fault.go has it fail, and remembers what it was asked.
package daytona

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"
)

// Options make a Server.
type Options struct {
	// Address to listen at; empty = any port of the loopback.
	Address string
	// Key is the API key; empty = FakeKey.
	Key string
	// Newest has it be like the newest release, rather than 0.190.
	Newest bool
	// TLS has it speak HTTPS, with a certificate of its own (Certificate), and HTTP/2.
	TLS bool
	// Dir is where sandboxes' disks are; empty = a directory that Close removes.
	Dir string
	// StartDelay is how long a sandbox takes to start, StopDelay to stop or pause, DestroyDelay to be destroyed, and BuildDelay how
	// long an image takes to be built.
	StartDelay, StopDelay, DestroyDelay, BuildDelay time.Duration
	// ListLag is how long lists don't have a new sandbox, and go on having one that is destroyed.
	ListLag time.Duration
	// MostSandboxes is the account's quota; 0 = none.
	MostSandboxes int
	// KeepBodies has Calls remember what was sent.
	KeepBodies bool
	// ForgetCalls is for those that run for long: Calls returns none.
	ForgetCalls bool
}

// FakeKey is the API key where none is given. It has the form of a real one.
const FakeKey = "dtn_00000000000000000000000000000000000000000000000000000000fake"

// startWait is the longest that a create or a start waits for the sandbox to run.
const startWait = 30 * time.Second

// Server is a running fake.
type Server struct {
	Clock *Clock

	web  *httptest.Server
	dir  string
	temp bool

	// closing are previews that are being closed.
	closing sync.WaitGroup

	mutex     sync.Mutex
	options   Options
	sandboxes map[string]*sandbox
	snapshots map[string]*snapshot
	volumes   map[string]volume
	ghosts    []ghost

	trouble trouble
}

// Start starts one.
func Start(options Options) (*Server, error) {
	if options.Key == "" {
		options.Key = FakeKey
	}
	s := &Server{
		Clock: &Clock{}, options: options, dir: options.Dir, sandboxes: map[string]*sandbox{}, volumes: map[string]volume{},
		snapshots: firstSnapshots(),
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "daytona-")
		if err != nil {
			return nil, err
		}
		s.dir, s.temp = dir, true
	}
	if err := s.listen(options); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) listen(options Options) error {
	s.trouble.forgets = options.ForgetCalls
	s.web = httptest.NewUnstartedServer(s.handler())
	if options.Address != "" {
		listener, err := net.Listen("tcp", options.Address) //nolint:noctx // as long as the process
		if err != nil {
			return err
		}
		_ = s.web.Listener.Close()
		s.web.Listener = listener
	}
	if options.TLS {
		s.web.EnableHTTP2 = true
		s.web.StartTLS()
	} else {
		s.web.Start()
	}
	return nil
}

// URL is that of the control API.
func (s *Server) URL() string { return s.web.URL + "/api" }

// Web is the server below, for its certificate and its connections.
func (s *Server) Web() *httptest.Server { return s.web }

// Change changes the options while it runs.
func (s *Server) Change(change func(*Options)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	change(&s.options)
}

// Close ends it and all sandboxes.
func (s *Server) Close() {
	s.web.CloseClientConnections()
	s.mutex.Lock()
	for _, b := range s.sandboxes {
		b.halt()
		s.closePreviews(b)
	}
	s.mutex.Unlock()
	s.web.Close()
	s.closing.Wait()
	if s.temp {
		_ = os.RemoveAll(s.dir)
	}
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/toolbox/{sandbox}/", http.HandlerFunc(s.proxy))
	mux.HandleFunc("GET /api/health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	for pattern, handle := range s.routes() {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" /api"+path, s.authorized(handle))
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusNotFound, fmt.Sprintf("Cannot %s %s", r.Method, r.URL.Path))
	})
	return s.troubled(mux)
}

// routes are those of the control API.
func (s *Server) routes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"POST /sandbox":             s.create,
		"GET /sandbox":              s.list,
		"GET /sandbox/{sandbox}":    s.with(s.get),
		"DELETE /sandbox/{sandbox}": s.with(s.destroy),

		"POST /sandbox/{sandbox}/start":    s.start,
		"POST /sandbox/{sandbox}/stop":     s.with(s.stop),
		"POST /sandbox/{sandbox}/pause":    s.with(s.pause),
		"POST /sandbox/{sandbox}/archive":  s.with(s.archive),
		"POST /sandbox/{sandbox}/recover":  s.with(s.recoverFailed),
		"POST /sandbox/{sandbox}/snapshot": s.with(s.snapshotSandbox),

		"POST /sandbox/{sandbox}/autostop/{value}":    s.with(s.setInterval(func(b *sandbox) *int { return &b.AutoStopInterval })),
		"POST /sandbox/{sandbox}/autoarchive/{value}": s.with(s.setInterval(func(b *sandbox) *int { return &b.AutoArchiveInterval })),
		"POST /sandbox/{sandbox}/autodelete/{value}":  s.with(s.setInterval(func(b *sandbox) *int { return &b.AutoDeleteInterval })),
		"POST /sandbox/{sandbox}/last-activity":       s.with(s.refreshActivity),
		"PUT /sandbox/{sandbox}/labels":               s.with(s.setLabels),
		"POST /sandbox/{sandbox}/public/{value}":      s.with(s.setPublic),
		"POST /sandbox/{sandbox}/network-settings":    s.with(s.setNetwork),

		"GET /sandbox/{sandbox}/toolbox-proxy-url":                               s.with(s.toolboxURL),
		"GET /sandbox/{sandbox}/ports/{port}/preview-url":                        s.with(s.previewURL),
		"GET /sandbox/{sandbox}/ports/{port}/signed-preview-url":                 s.with(s.signedURL),
		"POST /sandbox/{sandbox}/ports/{port}/signed-preview-url/{token}/expire": s.with(s.expireSigned),

		"GET /snapshots":                  s.listSnapshots,
		"POST /snapshots":                 s.createSnapshot,
		"GET /snapshots/{snapshot...}":    s.getSnapshot,
		"DELETE /snapshots/{snapshot...}": s.deleteSnapshot,

		"GET /volumes":                  s.listVolumes,
		"POST /volumes":                 s.createVolume,
		"GET /volumes/{volume}":         s.getVolume,
		"GET /volumes/by-name/{volume}": s.getVolume,
		"DELETE /volumes/{volume}":      s.deleteVolume,
	}
	if s.options.Newest {
		routes["POST /sandbox/{sandbox}/ttl/{value}"] = s.with(s.setTTL)
		routes["POST /sandbox/{sandbox}/autopause/{value}"] = s.with(s.setInterval(func(b *sandbox) *int { return &b.AutoPauseInterval }))
	}
	return routes
}

// authorized lets through who has the key.
func (s *Server) authorized(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.hasKey(r) {
			refuse(w, r, http.StatusUnauthorized, "Invalid credentials")
			return
		}
		next(w, r)
	})
}

func (s *Server) hasKey(r *http.Request) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return r.Header.Get("Authorization") == "Bearer "+s.options.Key
}

// with finds the sandbox that a path names, by ID or name, and holds the lock meanwhile.
func (s *Server) with(handle func(w http.ResponseWriter, r *http.Request, b *sandbox)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.settle()
		b := s.find(r.PathValue("sandbox"))
		if b == nil {
			refuse(w, r, http.StatusNotFound, fmt.Sprintf("Sandbox with ID or name %s not found", r.PathValue("sandbox")))
			return
		}
		handle(w, r, b)
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // the client has gone
}

// refuse answers as the control API does.
func refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	reply(w, status, map[string]any{
		"path": r.URL.Path, "timestamp": time.Now().UTC().Format(time.RFC3339Nano), "statusCode": status,
		"error": http.StatusText(status), "message": message,
	})
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		refuse(w, r, http.StatusBadRequest, "Invalid JSON: "+err.Error())
		return false
	}
	return true
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
