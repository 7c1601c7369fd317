// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	// daemonPort is envd's, interpreterPort the code interpreter's.
	daemonPort      = "49983"
	interpreterPort = "49999"

	// The first two tell a shared host which sandbox and port is meant; hosts with both in their names ignore them.
	headerID      = "E2b-Sandbox-Id"
	headerPort    = "E2b-Sandbox-Port"
	headerToken   = "X-Access-Token"
	headerTraffic = "E2b-Traffic-Access-Token"
)

// place is how a sandbox is entered, and what its commands start with. None of it changes while the sandbox exists.
type place struct {
	id, token, traffic, domain string
	// user and workingDir are those of commands that name none; empty = the template's.
	user, workingDir string
}

func placeOf(a access, metadata map[string]string) place {
	return place{
		id: a.SandboxID, token: a.EnvdAccessToken, traffic: a.TrafficAccessToken, domain: a.Domain,
		user: metadata[metadataUser], workingDir: metadata[metadataWorkingDir],
	}
}

// header is what every request into the sandbox has.
func (p place) header(port, user string) http.Header {
	header := http.Header{}
	header.Set(headerID, p.id)
	header.Set(headerPort, port)
	if p.token != "" {
		header.Set(headerToken, p.token)
	}
	if p.traffic != "" && port != daemonPort {
		header.Set(headerTraffic, p.traffic)
	}
	if user != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":")))
	}
	return header
}

// places are those of sandboxes that were used lately: entering one takes its token, which only the control plane tells. What is
// not here is asked for again.
type places struct {
	mutex sync.Mutex
	known map[string]place
}

// mostPlaces bounds the memory, at some 300 bytes each.
const mostPlaces = 20_000

func (p *places) find(id string) (place, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	found, ok := p.known[id]
	return found, ok
}

func (p *places) keep(id string, found place) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.known == nil {
		p.known = map[string]place{}
	}
	if len(p.known) >= mostPlaces {
		for other := range p.known {
			delete(p.known, other)
			break
		}
	}
	if found.traffic == "" {
		found.traffic = p.known[id].traffic
	}
	p.known[id] = found
}

func (p *places) forget(id string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.known, id)
}

// place returns how to enter a sandbox; fresh = E2B was asked just now.
func (b *backend) place(ctx context.Context, operation, id string) (found place, fresh bool, err error) {
	if found, ok := b.places.find(id); ok {
		return found, false, nil
	}
	now, err := b.look(ctx, operation, id)
	if err != nil {
		return place{}, true, err
	}
	if now.State != "running" {
		return place{}, true, notRunning(operation)
	}
	if err := b.checkDomain(operation, now.Domain); err != nil {
		return place{}, true, err
	}
	found = placeOf(access{SandboxID: id, EnvdAccessToken: now.EnvdAccessToken, Domain: now.Domain}, now.Metadata)
	b.places.keep(id, found)
	return found, true, nil
}

// checkDomain refuses a domain that E2B's answer names and nobody else: the sandbox's token would go there.
func (b *backend) checkDomain(operation, domain string) error {
	if domain == "" || domain == b.options.Domain || b.options.SandboxURL != "" ||
		b.options.Domain == usualDomain && slices.Contains(sharedDomains, domain) {
		return nil
	}
	return invalid(operation, "E2B says that the sandbox is at the domain %q: set that as the provider's parameter \"domain\", with the "+
		"API's own address in spec.endpoint", backends.Bounded(domain, 128))
}

// enter does something in a sandbox. A token that was remembered and is refused is asked for again, once: nothing has happened
// then.
func enter[Result any](
	ctx context.Context, b *backend, operation, id string, do func(p place) (Result, error),
) (Result, error) {
	var none Result
	p, fresh, err := b.place(ctx, operation, id)
	if err != nil {
		return none, err
	}
	result, err := do(p)
	if errors.Is(err, errToken) && !fresh {
		b.places.forget(id)
		if p, _, err = b.place(ctx, operation, id); err != nil {
			return none, err
		}
		result, err = do(p)
	}
	if errors.Is(err, errAbsent) {
		return none, b.whyAbsent(ctx, operation, id, err)
	}
	return result, err
}

// whyAbsent asks the control plane of a sandbox that its host does not know.
func (b *backend) whyAbsent(ctx context.Context, operation, id string, absent error) error {
	now, err := b.look(ctx, operation, id)
	switch {
	case errors.Is(err, backends.NotFound):
		b.places.forget(id)
		return err
	case err != nil:
		return err
	case now.State != "running":
		return notRunning(operation)
	}
	return absent
}
