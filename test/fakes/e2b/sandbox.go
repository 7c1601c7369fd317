// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// The states that E2B shows.
const (
	stateRunning = "running"
	statePaused  = "paused"
)

// envdVersion is that of the envd whose behaviour was recorded.
const envdVersion = "0.6.13"

var errNotRunning = errors.New("the sandbox does not run")

// sandbox is one. Fields are guarded by the Cloud's mutex, but for those of the machine.
type sandbox struct {
	id, token, traffic string
	number             int
	template           *template
	request            createRequest
	state              string
	startedAt, endAt   time.Time
	expiry             *time.Timer
	// context ends whatever is under way in the sandbox, when it is paused or killed.
	context context.Context //nolint:containedctx // it is the life of the sandbox
	cut     context.CancelFunc

	// machineMutex guards the machine, which is started when it is first needed.
	machineMutex sync.Mutex
	machine      *machine
	dead         bool
	processes    processes
	kernels      kernels
}

var idForm = regexp.MustCompile(`^[a-z0-9]+$`)

func isID(id string) bool { return idForm.MatchString(id) }

// newID is "i" and 20 characters, as those of E2B are.
func newID() string { return "i" + strings.ToLower(rand.Text()[:20]) }

func ownTemplates() []*template {
	return []*template{
		{
			TemplateID: "rki5dems9wqfm4r03t7g", BuildID: "f0000000-0000-0000-0000-000000000001", Names: []string{TemplateBase},
			Aliases: []string{TemplateBase}, Public: true, CPUCount: 2, MemoryMB: 512, DiskSizeMB: 10240, BuildStatus: "ready",
			EnvdVersion: envdVersion,
		},
		{
			TemplateID: "nlhz8vlwyupq845jsdg9", BuildID: "f0000000-0000-0000-0000-000000000002", Names: []string{TemplateCode},
			Aliases: []string{TemplateCode}, Public: true, CPUCount: 2, MemoryMB: 1024, DiskSizeMB: 10240, BuildStatus: "ready",
			EnvdVersion: envdVersion, hasInterpreter: true,
		},
	}
}

// template finds one by its ID or name, whatever the tag. The mutex is held.
func (c *Cloud) template(name string) *template {
	untagged, _, _ := strings.Cut(name, ":")
	i := slices.IndexFunc(c.templates, func(t *template) bool {
		return t.TemplateID == name || slices.Contains(t.Names, name) || slices.Contains(t.Names, untagged)
	})
	if i < 0 {
		return nil
	}
	return c.templates[i]
}

// add makes a sandbox. The mutex is held.
func (c *Cloud) add(t *template, request createRequest) *sandbox {
	s := &sandbox{
		id: newID(), token: "ea_" + rand.Text(), traffic: "ta_" + rand.Text(), template: t, request: request, state: stateRunning,
		startedAt: time.Now().UTC(), number: len(c.sandboxes),
	}
	for _, other := range c.sandboxes {
		s.number = max(s.number, other.number+1)
	}
	s.request.Metadata = maps.Clone(request.Metadata)
	s.begin()
	c.sandboxes[s.id] = s
	s.endIn(c, time.Duration(*request.Timeout)*time.Second)
	return s
}

func (s *sandbox) begin() { s.context, s.cut = context.WithCancel(context.Background()) }

// find returns a sandbox that exists, or nil.
func (c *Cloud) find(id string) *sandbox {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.sandboxes[id]
}

// endIn sets when the sandbox ends, silently no later than it may. The mutex is held.
func (s *sandbox) endIn(c *Cloud, lifetime time.Duration) {
	s.endAt = time.Now().UTC().Add(lifetime)
	if latest := s.startedAt.Add(c.options.MaxLifetime); s.endAt.After(latest) {
		s.endAt = latest
	}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.expiry = time.AfterFunc(time.Until(s.endAt), func() { c.expire(s) })
}

// extend puts the end off, and never brings it nearer. The mutex is held.
func (s *sandbox) extend(c *Cloud, lifetime time.Duration) {
	if time.Now().Add(lifetime).After(s.endAt) {
		s.endIn(c, lifetime)
	}
}

func (c *Cloud) expire(s *sandbox) {
	c.mutex.Lock()
	over := s.state == stateRunning && !time.Now().Before(s.endAt)
	pauses := s.request.AutoPause
	c.mutex.Unlock()
	switch {
	case over && pauses:
		c.suspend(s)
	case over:
		c.kill(s)
	}
}

// kill ends a sandbox with all that runs in it. It may be called again.
func (c *Cloud) kill(s *sandbox) {
	c.mutex.Lock()
	delete(c.sandboxes, s.id)
	s.expiry.Stop()
	s.cut()
	c.mutex.Unlock()
	s.machineMutex.Lock()
	defer s.machineMutex.Unlock()
	s.dead = true
	// A namespace ends when its last process was waited for.
	s.kernels.close()
	if s.machine != nil {
		s.machine.close()
		s.machine = nil
	}
}

// suspend pauses a sandbox; false = it is paused.
func (c *Cloud) suspend(s *sandbox) bool {
	c.mutex.Lock()
	if s.state != stateRunning {
		c.mutex.Unlock()
		return false
	}
	s.state, s.endAt = statePaused, time.Now().UTC()
	s.expiry.Stop()
	s.cut()
	c.mutex.Unlock()
	s.machineMutex.Lock()
	defer s.machineMutex.Unlock()
	if s.machine != nil {
		s.machine.freeze()
	}
	return true
}

// awaken resumes a sandbox, or puts off the end of one that runs; it says which.
func (c *Cloud) awaken(s *sandbox, lifetime time.Duration) (resumed bool) {
	s.machineMutex.Lock()
	defer s.machineMutex.Unlock()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if s.state == stateRunning {
		s.extend(c, lifetime)
		return false
	}
	if s.machine != nil {
		s.machine.thaw()
	}
	s.begin()
	s.state, s.startedAt = stateRunning, time.Now().UTC()
	s.endIn(c, lifetime)
	return true
}

// running returns the machine of a sandbox, started where it is not yet.
func (s *sandbox) running() (*machine, error) {
	s.machineMutex.Lock()
	defer s.machineMutex.Unlock()
	if s.dead {
		return nil, errNotRunning
	}
	if s.machine != nil {
		return s.machine, nil
	}
	var err error
	s.machine, err = newMachine(s.template.dir)
	return s.machine, err
}

// snapshot saves the files of a sandbox as a template.
func (c *Cloud) snapshot(s *sandbox, name string) (*template, error) {
	m, err := s.running()
	if err != nil {
		return nil, err
	}
	c.mutex.Lock()
	state := s.state
	c.mutex.Unlock()
	if state != stateRunning {
		return nil, errNotRunning
	}
	saved := *s.template
	saved.TemplateID = strings.ToLower(rand.Text()[:20]) + ":default"
	saved.snapshotOf, saved.Names, saved.Aliases, saved.Public = s.id, []string{}, []string{}, false
	saved.dir = filepath.Join(c.options.Dir, saved.TemplateID)
	if name != "" {
		saved.Names = append(saved.Names, name)
	}
	if err := m.save(saved.dir); err != nil {
		return nil, err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.templates = append(c.templates, &saved)
	return &saved, nil
}

// answer is what creation and connection say. The mutex is held.
func (c *Cloud) answer(s *sandbox) created {
	a := created{TemplateID: s.template.TemplateID, SandboxID: s.id, ClientID: "6532622b", EnvdVersion: envdVersion, Alias: s.alias()}
	if s.request.Secure {
		a.EnvdAccessToken = s.token
	}
	if s.request.Network.isPrivate() {
		a.TrafficAccessToken = new(s.traffic)
	}
	return a
}

func (s *sandbox) alias() string {
	if len(s.template.Names) > 0 {
		return s.template.Names[0]
	}
	return ""
}

// listed is what a list says. The mutex is held.
func (s *sandbox) listed() listed {
	return listed{
		TemplateID: s.template.TemplateID, SandboxID: s.id, ClientID: "6532622b", StartedAt: s.startedAt, EndAt: s.endAt,
		CPUCount: s.template.CPUCount, MemoryMB: s.template.MemoryMB, DiskSizeMB: s.template.DiskSizeMB, State: s.state,
		EnvdVersion: envdVersion, Alias: s.alias(), Metadata: s.request.Metadata,
	}
}
