// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/tracing"
)

// Door is the way to one provider. Its methods are those of the backend, each with a deadline, within the account's limits,
// counted, and with errors that hold no credentials. Errors are *backends.Error, ErrBusy, or, for files, fs errors.
type Door struct {
	identity     v1alpha1.ProviderIdentity
	namespace    string
	registration backends.Registration
	backend      backends.Backend
	account      *account
	key          string
	fingerprint  string
	generation   int64
	secrets      []string
	// standing says whether the account is known to have the remotes that it should.
	standing *standing
	// credentials and endpoint are what the door was built with; copied says that the operator's copy of them is up to date.
	credentials map[string][]byte
	endpoint    string
	copied      atomic.Bool
	lease       time.Duration
	// refused is set when the provider refused the credentials, or their Secret is gone: the door is built again when it is
	// next opened.
	refused atomic.Bool
	// together does what a crowd of first creations needs once. keptSince is the version of the provider object to which Keep did it.
	together  singleflight.Group
	keptSince atomic.Pointer[string]
}

// Identity is that of the provider.
func (d *Door) Identity() v1alpha1.ProviderIdentity { return d.identity }

// Registration is that of the backend.
func (d *Door) Registration() backends.Registration { return d.registration }

// Version changes when the provider object, its credentials or its parameters change.
func (d *Door) Version() string {
	return fmt.Sprintf("%s %d %s", d.identity.UID, d.generation, d.fingerprint)
}

// Account identifies what the door leads to: doors with the same one share limits, and see the same remotes.
func (d *Door) Account() string { return d.account.key }

// Lease is how long a remote shall live without being renewed; 0 = the provider ends none by itself.
func (d *Door) Lease() time.Duration { return d.lease }

// Hurry has creations of the account wait until the function that it returns is called.
func (d *Door) Hurry() (done func()) { return d.account.limiter.hurry() }

// Keep calls keep, which is to keep the provider object from being deleted, once for all who read this version of it: a crowd of first
// creations, of which each has read that nobody keeps it, would write one after another, and all but the first in vain.
func (d *Door) Keep(version string, keep func() error) error {
	_, err, _ := d.together.Do("keep "+version, func() (any, error) {
		if done := d.keptSince.Load(); done != nil && *done == version {
			return nil, nil
		}
		if err := keep(); err != nil {
			return nil, err
		}
		d.keptSince.Store(&version)
		return nil, nil
	})
	return err
}

// HasUniqueNames says that FindByName works, so that a second Create of the same name can't make a second remote.
func (d *Door) HasUniqueNames() bool {
	_, ok := d.backend.(backends.NameFinder)
	return ok
}

// Reserve takes a place for one call, so that a caller can do what must come before the call only when the call can be made.
// The first call with the returned context uses it; release gives it back where no call was made.
func (d *Door) Reserve(ctx context.Context, operation string) (with context.Context, release func(), err error) {
	if err := d.enter(ctx, operation); err != nil {
		return ctx, func() {}, err
	}
	r := &reservation{account: d.account}
	return context.WithValue(ctx, reservationKey{}, r), r.release, nil
}

// Create is that of the backend, bounded by its own create deadline.
func (d *Door) Create(ctx context.Context, request backends.CreateRequest) (backends.Remote, error) {
	return call(ctx, d, "create", d.registration.CreateDeadline, func(ctx context.Context) (backends.Remote, error) {
		remote, err := d.backend.Create(ctx, request)
		return d.named(remote, "create", backends.Ambiguous, err)
	})
}

// named refuses a remote whose ID is none. The error is of this one remote: the account may be sound.
func (d *Door) named(remote backends.Remote, operation string, code backends.Code, err error) (backends.Remote, error) {
	if err != nil || backends.IsID(remote.ID) {
		return remote, err
	}
	refused := backends.Errorf(code, d.registration.Name, operation, "the provider gave a sandbox an ID that can be none: %q",
		backends.Bounded(remote.ID, longestQuote))
	refused.OfRequest = true
	return backends.Remote{}, refused
}

// longestQuote of an ID that is none, in bytes.
const longestQuote = 64

// Get is that of the backend.
func (d *Door) Get(ctx context.Context, id string) (backends.Remote, error) {
	if !backends.IsID(id) {
		return backends.Remote{}, backends.Errorf(backends.Invalid, d.registration.Name, "get", "%q can be no sandbox's ID",
			backends.Bounded(id, longestQuote))
	}
	return call(ctx, d, "get", callTimeout, func(ctx context.Context) (backends.Remote, error) {
		remote, err := d.backend.Get(ctx, id)
		return d.named(remote, "get", backends.Unavailable, err)
	})
}

// List is that of the backend.
func (d *Door) List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error) {
	return call(ctx, d, operationList, listTimeout, func(ctx context.Context) ([]backends.Remote, error) {
		remotes, err := d.backend.List(backends.WithPages(ctx, d.account.nextPage), filter)
		for _, remote := range remotes {
			if _, err = d.named(remote, operationList, backends.Unavailable, err); err != nil {
				return nil, err
			}
		}
		return remotes, err
	})
}

// CanWatch says that the backend tells of changes by itself.
func (d *Door) CanWatch() bool {
	_, ok := d.backend.(backends.Watcher)
	return ok
}

// Watch is that of the backend. It lasts, so it has no place in the account, and no deadline but its caller's.
func (d *Door) Watch(ctx context.Context, installation string, changed func(backends.Remote)) error {
	watcher, ok := d.backend.(backends.Watcher)
	if !ok {
		return d.unsupported("watch")
	}
	return d.typed(ctx, "watch", watcher.Watch(ctx, installation, changed))
}

// Find returns the remotes that were made with this name and mark: by name where names are unique, else by mark. None is no
// error. A remote of that name with another mark is AlreadyExists.
func (d *Door) Find(ctx context.Context, name string, mark backends.Mark) ([]backends.Remote, error) {
	finder, ok := d.backend.(backends.NameFinder)
	if !ok {
		return d.findByMark(ctx, mark)
	}
	remote, err := call(ctx, d, "find", callTimeout, func(ctx context.Context) (backends.Remote, error) {
		remote, err := finder.FindByName(ctx, name)
		return d.named(remote, "find", backends.Unavailable, err)
	})
	if errors.Is(err, backends.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if remote.Mark.UID != mark.UID || remote.Mark.Installation != mark.Installation {
		return nil, backends.Errorf(backends.AlreadyExists, d.registration.Name, "find",
			"a sandbox of the name %q exists that is not this object's", name)
	}
	return []backends.Remote{remote}, nil
}

func (d *Door) findByMark(ctx context.Context, mark backends.Mark) ([]backends.Remote, error) {
	remotes, err := d.List(ctx, backends.Filter{Installation: mark.Installation, UID: mark.UID})
	if err != nil {
		return nil, err
	}
	var found []backends.Remote
	for _, remote := range remotes {
		if remote.Mark.Incarnation == mark.Incarnation {
			found = append(found, remote)
		}
	}
	if len(found) == 0 {
		return nil, d.believe("find", nil)
	}
	return found, nil
}

// GetDestroyed is Get of a remote whose destruction this account has just accepted, so that NotFound is believed in any case.
func (d *Door) GetDestroyed(ctx context.Context, id string) (backends.Remote, error) {
	return d.Get(context.WithValue(ctx, knownKey{}, true), id)
}

type knownKey struct{}

// Destroy is that of the backend.
func (d *Door) Destroy(ctx context.Context, id string) error {
	return effect(ctx, d, "destroy", destroyTimeout, func(ctx context.Context) error { return d.backend.Destroy(ctx, id) })
}

// SetLifetime is that of the backend.
func (d *Door) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	setter, ok := d.backend.(backends.LifetimeSetter)
	if !ok {
		return d.unsupported("set lifetime")
	}
	return effect(ctx, d, "set lifetime", callTimeout, func(ctx context.Context) error { return setter.SetLifetime(ctx, id, lifetime) })
}

// Pause is that of the backend.
func (d *Door) Pause(ctx context.Context, id string) error {
	pauser, ok := d.backend.(backends.Pauser)
	if !ok {
		return d.unsupported("pause")
	}
	return effect(ctx, d, "pause", pauseTimeout, func(ctx context.Context) error { return pauser.Pause(ctx, id) })
}

// Resume is that of the backend.
func (d *Door) Resume(ctx context.Context, id string) error {
	pauser, ok := d.backend.(backends.Pauser)
	if !ok {
		return d.unsupported("resume")
	}
	return effect(ctx, d, "resume", pauseTimeout, func(ctx context.Context) error { return pauser.Resume(ctx, id) })
}

// Endpoint is that of the backend.
func (d *Door) Endpoint(ctx context.Context, id string, port backends.Port) (backends.Endpoint, error) {
	endpointer, ok := d.backend.(backends.Endpointer)
	if !ok {
		return backends.Endpoint{}, d.unsupported("endpoint")
	}
	return call(ctx, d, "endpoint", callTimeout, func(ctx context.Context) (backends.Endpoint, error) {
		return endpointer.Endpoint(ctx, id, port)
	})
}

// SetLabels is that of the backend.
func (d *Door) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	labeler, ok := d.backend.(backends.Labeler)
	if !ok {
		return d.unsupported("set labels")
	}
	return effect(ctx, d, "set labels", callTimeout, func(ctx context.Context) error { return labeler.SetLabels(ctx, id, labels) })
}

// Can says whether the backend has a capability.
func (d *Door) Can(capability backends.Capability) bool {
	return slices.Contains(d.registration.Capabilities, capability)
}

func (d *Door) unsupported(operation string) error {
	return backends.Errorf(backends.Unsupported, d.registration.Name, operation, "this backend can't do that; see %s",
		d.registration.Setup.Docs)
}

// effect is a call that returns nothing.
func effect(ctx context.Context, d *Door, operation string, timeout time.Duration, do func(context.Context) error) error {
	_, err := call(ctx, d, operation, timeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

// call is what every call passes.
func call[T any](ctx context.Context, d *Door, operation string, timeout time.Duration, do func(context.Context) (T, error)) (T, error) {
	var zero T
	if !d.account.takeReserved(ctx) {
		if err := d.enter(ctx, operation); err != nil {
			return zero, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx, traced := tracing.Call(ctx, d.identity.Backend, d.identity.Name, operation)
	began := time.Now()
	result, err := do(ctx)
	err = d.typed(ctx, operation, err)
	traced(codeOf(err), err)
	d.account.leave(accountError(err), time.Now())
	d.observe(ctx, operation, err, time.Since(began))
	if errors.Is(err, backends.Unauthorized) {
		d.refused.Store(true)
	}
	if errors.Is(err, backends.NotFound) && ctx.Value(knownKey{}) == nil {
		err = d.believe(operation, err)
	}
	return result, err
}

// typed makes sure that an error is of this package's kinds, and that it tells no secret.
func (d *Door) typed(ctx context.Context, operation string, err error) error {
	if err == nil || isFileError(err) {
		return err
	}
	var e *backends.Error
	if !errors.As(err, &e) {
		code := backends.Ambiguous
		if slices.Contains([]string{"get", "list", "find", "read", "readdir", "stat"}, operation) {
			code = backends.Unavailable
		}
		e = backends.Errorf(code, d.registration.Name, operation, "%w", err)
		if ctx.Err() != nil {
			e.Message = "the provider did not answer in time"
		}
	}
	return redact(e, d.secrets)
}

// accountError keeps what one user's file, image or remote does wrong from counting against the account.
func accountError(err error) error {
	if e, ok := errors.AsType[*backends.Error](err); isFileError(err) || (ok && e.OfRequest) {
		return nil
	}
	return err
}

func isFileError(err error) bool {
	var pathError *fs.PathError
	return errors.As(err, &pathError)
}

// redact takes secrets out of the text of an error of a backend.
func redact(err error, secrets []string) error {
	e, ok := errors.AsType[*backends.Error](err)
	if !ok {
		return err
	}
	clean := *e
	for _, secret := range secrets {
		clean.Message = strings.ReplaceAll(clean.Message, secret, "[redacted]")
	}
	if clean.Message != e.Message {
		// The cause may hold it too.
		clean.Err = nil
	}
	return &clean
}
