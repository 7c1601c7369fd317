// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// abilities is the part of a backend that can do more than it must. Every backend of the package has it; what the options
// leave out of its capabilities answers Unsupported, as a provider does whose plan does not include it.
type abilities struct{ c *connection }

// use runs an operation on a remote, if the backend has the capability. The provider's mutex is held meanwhile.
func (a abilities) use(ctx context.Context, call Call, capability backends.Capability, effect func(r *remote) error) error {
	return a.c.call(ctx, call, func() error {
		p := a.c.provider
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.options.has(capability) {
			return a.c.unsupported(call.Operation, capability)
		}
		r, err := a.c.find(call.Operation, call.ID)
		if err != nil {
			return err
		}
		return effect(r)
	})
}

func (c *connection) unsupported(operation string, capability backends.Capability) error {
	return c.errorf(backends.Unsupported, operation, "this backend lacks the capability %s", capability)
}

// SetLifetime implements backends.LifetimeSetter.
func (a abilities) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	call := Call{Operation: OperationSetLifetime, ID: id, Lifetime: lifetime}
	return a.use(ctx, call, backends.CapabilityLifetime, func(r *remote) error {
		if err := a.c.checkLifetime(OperationSetLifetime, lifetime); err != nil {
			return err
		}
		r.expiresAt = a.c.provider.options.end(lifetime)
		return nil
	})
}

// checkLifetime refuses a lifetime out of bounds. The mutex is held.
func (c *connection) checkLifetime(operation string, lifetime time.Duration) error {
	least, most := c.provider.options.LeastLifetime, c.provider.options.MostLifetime
	if lifetime != 0 && (lifetime < max(least, 0) || most > 0 && lifetime > most) {
		return c.errorf(backends.Invalid, operation, "the lifetime is %s; this provider takes from %s to %s (0s = no bound)",
			lifetime, least, most)
	}
	return nil
}

// end returns when a remote of this lifetime vanishes.
func (o Options) end(lifetime time.Duration) time.Time {
	if lifetime == 0 {
		lifetime = o.MostLifetime
	}
	if lifetime == 0 {
		return time.Time{}
	}
	return o.Clock.Now().Add(lifetime)
}

// Pause implements backends.Pauser.
func (a abilities) Pause(ctx context.Context, id string) error {
	return a.use(ctx, Call{Operation: OperationPause, ID: id}, backends.CapabilityPause, func(r *remote) error {
		switch {
		case r.state == backends.StatePaused:
			return nil
		case r.state != backends.StateRunning || !r.goneAt.IsZero():
			return a.c.errorf(backends.NotRunning, OperationPause, "the sandbox is %s", r.state)
		}
		r.change(backends.StatePaused, "the sandbox is paused")
		return nil
	})
}

// Resume implements backends.Pauser.
func (a abilities) Resume(ctx context.Context, id string) error {
	return a.use(ctx, Call{Operation: OperationResume, ID: id}, backends.CapabilityPause, func(r *remote) error {
		switch {
		case r.state == backends.StateRunning && r.goneAt.IsZero():
			return nil
		case r.state != backends.StatePaused:
			return a.c.errorf(backends.NotRunning, OperationResume, "the sandbox is %s", r.state)
		}
		r.change(backends.StateRunning, "")
		return nil
	})
}

// EndpointHeader is the header that goes with requests to endpoints where Options.EndpointToken is set.
const EndpointHeader = "X-Access-Token"

// Endpoint implements backends.Endpointer. Commands share this machine's network, so a port of the remote is one of its own.
func (a abilities) Endpoint(ctx context.Context, id string, port backends.Port) (found backends.Endpoint, err error) {
	call := Call{Operation: OperationEndpoint, ID: id, Port: &port}
	err = a.use(ctx, call, backends.CapabilityEndpoints, func(*remote) error {
		if port.Number < 1 || port.Number > 65535 {
			return a.c.errorf(backends.Invalid, OperationEndpoint, "%d is no port", port.Number)
		}
		found.URL = fmt.Sprintf("%s://127.0.0.1:%d", strings.ToLower(string(port.Protocol)), port.Number)
		if token := a.c.provider.options.EndpointToken; token != "" {
			found.Headers = map[string]string{EndpointHeader: token}
		}
		if signed := a.c.provider.options.EndpointSigned; signed > 0 {
			found.SignedURL = found.URL + "/?signature=" + rand.Text()
			found.Expires = a.c.provider.options.Clock.Now().Add(signed).Truncate(time.Second)
		}
		return nil
	})
	return found, err
}

// SetLabels implements backends.Labeler.
func (a abilities) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	call := Call{Operation: OperationSetLabels, ID: id, Labels: maps.Clone(labels)}
	return a.use(ctx, call, backends.CapabilityLabels, func(r *remote) error {
		if mark, _ := backends.SplitLabels(r.labels); mark != (backends.Mark{}) {
			r.labels = withMark(labels, mark.Labels())
		} else {
			r.labels = maps.Clone(labels)
		}
		return nil
	})
}
