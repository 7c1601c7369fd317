// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// Plane says what a request was for.
type Plane string

// The planes.
const (
	// PlaneControl has requests to the API.
	PlaneControl Plane = "control"
	// PlaneSandbox has requests into sandboxes.
	PlaneSandbox Plane = "sandbox"
)

// Request is one that came.
type Request struct {
	Plane Plane
	// Method, Path and Query of the request, and the protocol, such as HTTP/2.0.
	Method, Path, Query, Proto string
	// Sandbox and Port are what it was for, in PlaneSandbox.
	Sandbox string
	Port    int
	// Body is whole in PlaneControl, and empty in PlaneSandbox.
	Body string
}

// Fault makes requests fail. All that is set must match.
type Fault struct {
	Plane Plane
	// Method, and what the path begins with and ends in.
	Method, Prefix, Suffix string
	// Sandbox that the request is about, in its path or as its target.
	Sandbox string
	// Times it happens; 0 = until it is taken back.
	Times int

	// Delay comes before anything else.
	Delay time.Duration
	// AfterEffect has the request do its work, whose answer is then lost.
	AfterEffect bool
	// Hang gives no answer until the caller is gone.
	Hang bool
	// Cut closes the connection. Otherwise Status, Header and Body answer; Status 0 = the real answer, after the delay.
	Cut    bool
	Status int
	Header map[string]string
	Body   string

	done int
}

// Fail makes requests fail until the function that it returns is called.
func (c *Cloud) Fail(fault Fault) (undo func()) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	f := &fault
	c.faults = append(c.faults, f)
	return func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.faults = slices.DeleteFunc(c.faults, func(other *Fault) bool { return other == f })
	}
}

func (f *Fault) matches(r Request) bool {
	return (f.Plane == "" || f.Plane == r.Plane) && (f.Method == "" || f.Method == r.Method) &&
		strings.HasPrefix(r.Path, f.Prefix) && strings.HasSuffix(r.Path, f.Suffix) &&
		(f.Sandbox == "" || f.Sandbox == r.Sandbox || strings.Contains(r.Path, f.Sandbox)) &&
		(f.Times == 0 || f.done < f.Times)
}

// disturb does what a fault says. It says whether the request was answered.
func (c *Cloud) disturb(w http.ResponseWriter, r *http.Request, record Request) bool {
	c.mutex.Lock()
	i := slices.IndexFunc(c.faults, func(f *Fault) bool { return f.matches(record) })
	if i < 0 {
		c.mutex.Unlock()
		return false
	}
	c.faults[i].done++
	f := *c.faults[i]
	c.mutex.Unlock()
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
	}
	if f.AfterEffect {
		c.control().ServeHTTP(httptest.NewRecorder(), r)
	}
	if f.Hang {
		<-r.Context().Done()
		return true
	}
	if f.Cut {
		panic(http.ErrAbortHandler)
	}
	if f.Status == 0 {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(f.Status)
	_, _ = io.WriteString(w, f.Body)
	return true
}

// record keeps what was asked.
func (c *Cloud) record(r *http.Request, t target) Request {
	record := Request{
		Plane: PlaneControl, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Proto: r.Proto, Sandbox: t.sandbox, Port: t.port,
	}
	if t.sandbox != "" {
		record.Plane = PlaneSandbox
	} else if r.Body != nil {
		content, _ := io.ReadAll(io.LimitReader(r.Body, 16<<20))
		record.Body = string(content)
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(content), r.Body))
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.requests = append(c.requests, record)
	return record
}

// Requests are all that came so far.
func (c *Cloud) Requests() []Request {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.Clone(c.requests)
}

// Connections are how many were made so far.
func (c *Cloud) Connections() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.connected
}

// Logged is what E2B keeps in the logs of sandboxes: envd sends there the messages of each call but those of StreamInput, with
// arguments, environment and input, and the paths of files.
func (c *Cloud) Logged() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return strings.Join(c.logged, "\n")
}

func (c *Cloud) log(line string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.logged = append(c.logged, line)
}

// Revoke makes a key unknown; Admit makes one known.
func (c *Cloud) Revoke(key string) { c.setKey(key, false) }

// Admit makes a key known.
func (c *Cloud) Admit(key string) { c.setKey(key, true) }

func (c *Cloud) setKey(key string, known bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.keys[key] = known
}

// Block answers everything with 403 and this message; empty = no longer.
func (c *Cloud) Block(message string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.blocked = message
}

// SetQuota sets how many sandboxes may run at once.
func (c *Cloud) SetQuota(most int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.options.MaxSandboxes = most
}

// Kill ends a sandbox as its timeout would. It says whether there was one.
func (c *Cloud) Kill(id string) bool {
	s := c.find(id)
	if s != nil {
		c.kill(s)
	}
	return s != nil
}

// Pause pauses a sandbox as its timeout would where that pauses. It says whether one ran.
func (c *Cloud) Pause(id string) bool {
	s := c.find(id)
	return s != nil && c.suspend(s)
}

// Sandboxes are the IDs of all that exist, with their metadata.
func (c *Cloud) Sandboxes() map[string]map[string]string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	all := map[string]map[string]string{}
	for id, s := range c.sandboxes {
		all[id] = maps.Clone(s.request.Metadata)
	}
	return all
}
