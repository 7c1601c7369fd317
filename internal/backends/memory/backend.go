// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// parameters are the options of a provider object.
type parameters struct {
	// MaxRemotes is a quota for this provider object's own creations.
	MaxRemotes int `json:"maxRemotes"`
}

// connection is one backend: a name, a token, and the provider behind it.
type connection struct {
	name       string
	token      string
	parameters parameters
	provider   *Provider
}

// backend builds a backend. Which optional interfaces it has is a matter of its type, as it is elsewhere.
func (p *Provider) backend(name string, config backends.Config) (backends.Backend, error) {
	given, err := backends.DecodeParameters[parameters](config.Parameters)
	if err != nil {
		return nil, backends.Errorf(backends.Invalid, name, "configure", "%w", err)
	}
	options := p.currentOptions()
	c := &connection{name: name, token: string(config.Credentials[tokenKey]), parameters: given, provider: p}
	native := !options.WithoutFiles && options.hasFiles()
	switch {
	case options.UniqueNames && native:
		return struct {
			*connection
			abilities
			names
			files
		}{c, abilities{c}, names{c}, files{c}}, nil
	case options.UniqueNames:
		return struct {
			*connection
			abilities
			names
		}{c, abilities{c}, names{c}}, nil
	case native:
		return struct {
			*connection
			abilities
			files
		}{c, abilities{c}, files{c}}, nil
	}
	return struct {
		*connection
		abilities
	}{c, abilities{c}}, nil
}

// errorf makes an error of this backend.
func (c *connection) errorf(code backends.Code, operation, format string, arguments ...any) error {
	return backends.Errorf(code, c.name, operation, format, arguments...)
}

// Create implements backends.Backend.
func (c *connection) Create(ctx context.Context, request backends.CreateRequest) (created backends.Remote, err error) {
	err = c.call(ctx, Call{Operation: OperationCreate, Request: &request}, func() error {
		created, err = c.create(request)
		return err
	})
	return created, err
}

func (c *connection) create(request backends.CreateRequest) (backends.Remote, error) {
	p := c.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passTime()
	if err := c.checkRequest(request); err != nil {
		return backends.Remote{}, err
	}
	r, err := p.newRemote(newID(), request)
	if err != nil {
		return backends.Remote{}, c.errorf(backends.Unavailable, OperationCreate, "%w", err)
	}
	if p.options.HoldCreating || p.options.CreateDelay > 0 {
		r.state = backends.StateCreating
	}
	if p.options.CreateDelay > 0 && !p.options.HoldCreating {
		r.runsAt = r.createdAt.Add(p.options.CreateDelay)
	}
	if options := p.options; options.has(backends.CapabilityLifetime) {
		r.expiresAt = options.end(request.Lifetime)
	}
	p.remotes[r.id], p.requests[r.id] = r, request
	return r.describe(), nil
}

// checkRequest refuses what can't be made. The mutex is held.
func (c *connection) checkRequest(request backends.CreateRequest) error {
	const operation = OperationCreate
	options := c.provider.options
	for _, capability := range backends.Wants(request) {
		if !options.has(capability) {
			return c.errorf(backends.Unsupported, operation, "this backend lacks the capability %s", capability)
		}
	}
	sources := slices.DeleteFunc([]string{request.Source.Image, request.Source.Template, request.Source.Snapshot},
		func(name string) bool { return name == "" })
	if len(sources) > 1 {
		return c.errorf(backends.Invalid, operation, "a source is an image, a template or a snapshot, not several")
	}
	if request.WorkingDir != "" && !path.IsAbs(request.WorkingDir) {
		return c.errorf(backends.Invalid, operation, "the working directory is not absolute")
	}
	if err := c.checkLifetime(operation, request.Lifetime); err != nil {
		return err
	}
	return c.checkAccount(request.Name)
}

// checkAccount refuses what the account has no room for. The mutex is held.
func (c *connection) checkAccount(name string) error {
	const operation = OperationCreate
	options := c.provider.options
	for _, quota := range []int{options.MaxRemotes, c.parameters.MaxRemotes} {
		if quota > 0 && len(c.provider.remotes) >= quota {
			return c.errorf(backends.QuotaExceeded, operation, "the account may have %d sandboxes", quota)
		}
	}
	for _, r := range c.provider.remotes {
		if options.UniqueNames && r.name == name {
			return c.errorf(backends.AlreadyExists, operation, "a sandbox of this name exists")
		}
	}
	return nil
}

// resolved returns what a real provider would say that it made of a source.
func resolved(source backends.Source) string {
	if source.Image == "" {
		return firstOf(source.Template, source.Snapshot)
	}
	return fmt.Sprintf("%s@sha256:%x", source.Image, sha256.Sum256([]byte(source.Image)))
}

// Get implements backends.Backend.
func (c *connection) Get(ctx context.Context, id string) (found backends.Remote, err error) {
	err = c.call(ctx, Call{Operation: OperationGet, ID: id}, func() error {
		c.provider.mu.Lock()
		defer c.provider.mu.Unlock()
		r, err := c.find(OperationGet, id)
		if err == nil && r.hidden {
			return c.absent(OperationGet)
		}
		if err == nil {
			found = r.describe()
		}
		return err
	})
	return found, err
}

// find returns the remote of this ID. The mutex is held.
func (c *connection) find(operation, id string) (*remote, error) {
	c.provider.passTime()
	if r, ok := c.provider.remotes[id]; ok {
		return r, nil
	}
	return nil, c.absent(operation)
}

func (c *connection) absent(operation string) error {
	return c.errorf(backends.NotFound, operation, "there is no such sandbox")
}

// running returns the remote of this ID, if it runs. It takes the mutex.
func (c *connection) running(operation, id string) (*remote, backends.Remote, error) {
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	r, err := c.find(operation, id)
	if err != nil {
		return nil, backends.Remote{}, err
	}
	if r.state != backends.StateRunning || !r.goneAt.IsZero() {
		return nil, backends.Remote{}, c.errorf(backends.NotRunning, operation, "the sandbox is %s", r.state)
	}
	described := r.describe()
	return r, described, nil
}

// List implements backends.Backend.
func (c *connection) List(ctx context.Context, filter backends.Filter) (found []backends.Remote, err error) {
	err = c.call(ctx, Call{Operation: OperationList, Filter: &filter}, func() error {
		found = c.provider.visible(func(r backends.Remote) bool { return filter.Matches(r.Mark) })
		return nil
	})
	return found, err
}

// visible returns the remotes that a list call shows and that match.
func (p *Provider) visible(matches func(backends.Remote) bool) []backends.Remote {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passTime()
	since := p.options.Clock.Now().Add(-p.options.ListLag)
	var found []backends.Remote
	for _, r := range p.remotes {
		if described := r.describe(); !r.hidden && !r.createdAt.After(since) && matches(described) {
			found = append(found, described)
		}
	}
	return found
}

// Destroy implements backends.Backend.
func (c *connection) Destroy(ctx context.Context, id string) error {
	return c.call(ctx, Call{Operation: OperationDestroy, ID: id}, func() error {
		p := c.provider
		p.mu.Lock()
		defer p.mu.Unlock()
		r, err := c.find(OperationDestroy, id)
		switch {
		case err != nil:
			return err
		case p.options.DestroyDelay == 0:
			p.remove(r)
		case r.goneAt.IsZero():
			r.goneAt = p.options.Clock.Now().Add(p.options.DestroyDelay)
			r.state, r.reason, r.runsAt = backends.StateStopped, "the sandbox is being destroyed", time.Time{}
			r.commands.kill()
		}
		return nil
	})
}

// SpoolRoot implements backends.SpoolRooter.
func (c *connection) SpoolRoot(id string) string {
	return path.Join(c.provider.Dir(id), "spool")
}

// names is the part of a backend whose names are unique.
type names struct{ c *connection }

// FindByName implements backends.NameFinder.
func (n names) FindByName(ctx context.Context, name string) (found backends.Remote, err error) {
	err = n.c.call(ctx, Call{Operation: OperationFindByName, Name: name}, func() error {
		matches := n.c.provider.visible(func(r backends.Remote) bool { return r.Name == name })
		if len(matches) == 0 {
			return n.c.errorf(backends.NotFound, OperationFindByName, "there is no sandbox of this name")
		}
		found = matches[0]
		return nil
	})
	return found, err
}
