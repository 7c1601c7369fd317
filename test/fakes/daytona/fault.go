// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault makes requests fail.
type Fault struct {
	// Method and Path choose the requests: the method is this one, the path contains this; empty = any.
	Method, Path string
	// Status and Message are the answer; Body, where it is not empty, stands for the usual JSON.
	Status        int
	Message, Body string
	Header        map[string]string
	// After has the request do what it does first, so that only its answer is lost.
	After bool
	// Hang keeps the caller waiting until it gives up, or is gone.
	Hang bool
	// Cut ends the connection without an answer.
	Cut bool
	// Delay comes before all this.
	Delay time.Duration
	// Times is how many requests it meets; 0 = all.
	Times int
}

// Call is a request that was made.
type Call struct {
	Method, Path, Query string
	Header              http.Header
	// Body is there with Options.KeepBodies.
	Body []byte
}

// trouble is what fails, and what was asked.
type trouble struct {
	forgets bool

	mutex  sync.Mutex
	faults []*Fault
	calls  []Call
}

// Inject has requests fail from now on, until the function that it returns is called.
func (s *Server) Inject(f Fault) (undo func()) {
	s.trouble.mutex.Lock()
	defer s.trouble.mutex.Unlock()
	s.trouble.faults = append(s.trouble.faults, &f)
	return func() {
		s.trouble.mutex.Lock()
		defer s.trouble.mutex.Unlock()
		s.trouble.faults = slices.DeleteFunc(s.trouble.faults, func(other *Fault) bool { return other == &f })
	}
}

// Calls are the requests so far.
func (s *Server) Calls() []Call {
	s.trouble.mutex.Lock()
	defer s.trouble.mutex.Unlock()
	return slices.Clone(s.trouble.calls)
}

// fault notes a request, and says how it is to fail.
func (t *trouble) fault(call Call) *Fault {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if !t.forgets {
		t.calls = append(t.calls, call)
	}
	for i, f := range t.faults {
		if (f.Method == "" || f.Method == call.Method) && strings.Contains(call.Path, f.Path) {
			if f.Times == 1 {
				t.faults = slices.Delete(t.faults, i, i+1)
			} else if f.Times > 1 {
				f.Times--
			}
			chosen := *f
			return &chosen
		}
	}
	return nil
}

// troubled notes each request, and has some fail.
func (s *Server) troubled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone()}
		if s.keepsBodies() {
			call.Body, _ = io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(call.Body))
		}
		f := s.trouble.fault(call)
		if f == nil {
			next.ServeHTTP(w, r)
			return
		}
		if f.Delay > 0 {
			select {
			case <-time.After(f.Delay):
			case <-r.Context().Done():
			}
		}
		if f.After {
			// What was begun goes on when the caller is gone.
			next.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		}
		f.answer(w, r, next)
	})
}

func (s *Server) keepsBodies() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.options.KeepBodies
}

func (f *Fault) answer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	switch {
	case f.Hang:
		<-r.Context().Done()
	case f.Cut:
		panic(http.ErrAbortHandler)
	case f.Status == 0:
		next.ServeHTTP(w, r)
	case f.Body != "":
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
	default:
		refuse(w, r, f.Status, f.Message)
	}
}
