// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/conformance"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
)

// able is a backend with every optional ability that is not about files or names.
type able interface {
	backends.Backend
	backends.LifetimeSetter
	backends.Pauser
	backends.Endpointer
	backends.Labeler
	backends.CodeRunner
}

// brokenAbilities spoils optional operations. Nil functions leave an operation whole.
type brokenAbilities struct {
	able
	create      func(b able, request *backends.CreateRequest)
	get         func(b able, remote *backends.Remote)
	run         func(b able, id string) error
	destroy     func(b able, id string) error
	setLifetime func(b able, id string, lifetime time.Duration) error
	pause       func(b able, id string) error
	resume      func(b able, id string) error
	endpoint    func(b able, id string, port backends.Port) (backends.Endpoint, error)
	setLabels   func(b able, id string, labels map[string]string) error
	runCode     func(b able, id string, code *backends.SourceCode, result *backends.CodeResult) error
}

func (b brokenAbilities) Create(ctx context.Context, request backends.CreateRequest) (backends.Remote, error) {
	if b.create != nil {
		b.create(b.able, &request)
	}
	return b.able.Create(ctx, request)
}

func (b brokenAbilities) Get(ctx context.Context, id string) (backends.Remote, error) {
	remote, err := b.able.Get(ctx, id)
	if b.get != nil && err == nil {
		b.get(b.able, &remote)
	}
	return remote, err
}

func (b brokenAbilities) Destroy(ctx context.Context, id string) error {
	if b.destroy != nil {
		return b.destroy(b.able, id)
	}
	return b.able.Destroy(ctx, id)
}

func (b brokenAbilities) RunCommand(ctx context.Context, id string, c backends.Command) (backends.Result, error) {
	if b.run != nil {
		if err := b.run(b.able, id); err != nil {
			return backends.Result{}, err
		}
	}
	return b.able.RunCommand(ctx, id, c)
}

func (b brokenAbilities) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	if b.setLifetime != nil {
		return b.setLifetime(b.able, id, lifetime)
	}
	return b.able.SetLifetime(ctx, id, lifetime)
}

func (b brokenAbilities) Pause(ctx context.Context, id string) error {
	if b.pause != nil {
		return b.pause(b.able, id)
	}
	return b.able.Pause(ctx, id)
}

func (b brokenAbilities) Resume(ctx context.Context, id string) error {
	if b.resume != nil {
		return b.resume(b.able, id)
	}
	return b.able.Resume(ctx, id)
}

func (b brokenAbilities) Endpoint(ctx context.Context, id string, port backends.Port) (backends.Endpoint, error) {
	if b.endpoint != nil {
		return b.endpoint(b.able, id, port)
	}
	return b.able.Endpoint(ctx, id, port)
}

func (b brokenAbilities) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	if b.setLabels != nil {
		return b.setLabels(b.able, id, labels)
	}
	return b.able.SetLabels(ctx, id, labels)
}

func (b brokenAbilities) RunCode(ctx context.Context, id string, code backends.SourceCode) (backends.CodeResult, error) {
	if b.runCode == nil {
		return b.able.RunCode(ctx, id, code)
	}
	asked := code
	var spoilt backends.CodeResult
	err := b.runCode(b.able, id, &asked, &spoilt)
	if err == nil {
		return spoilt, nil
	}
	return spoilt, err
}

// Each case breaks one promise of an optional ability, and names the check that must notice, and a part of what it must say.
func TestChecksOfAbilitiesNoticeWhatTheyAreFor(t *testing.T) {
	ctx := t.Context()
	running := backends.StateRunning
	urls := 0
	for _, c := range []struct {
		fault        string
		spoilt       brokenAbilities
		check, words string
	}{
		{"a capability is promised in vain", brokenAbilities{setLabels: func(able, string, map[string]string) error {
			return memory.Error(backends.Unsupported, 0)
		}}, "what its capabilities say", "SetLabels of a running remote fails"},
		{"a lifetime is ignored", brokenAbilities{create: func(_ able, r *backends.CreateRequest) { r.Lifetime = 0 }},
			"when its lifetime is over", "told to end at"},
		{"a lifetime is told, but not kept", brokenAbilities{
			create: func(_ able, r *backends.CreateRequest) { r.Lifetime = 0 },
			get:    func(_ able, r *backends.Remote) { r.ExpiresAt = r.CreatedAt.Add(4 * time.Second) },
		}, "when its lifetime is over", "a remote lives on"},
		{"a remote ends too early", brokenAbilities{create: func(_ able, r *backends.CreateRequest) { r.Lifetime /= 4 }},
			"when its lifetime is over", "no such sandbox"},
		{"a renewal is ignored", brokenAbilities{setLifetime: func(b able, id string, lifetime time.Duration) error {
			_, err := b.Get(ctx, id)
			return errors.Join(err, onlyWhen(lifetime > time.Minute, func() error { return b.SetLifetime(ctx, id, lifetime) }))
		}}, "lets a remote live", "no such sandbox"},
		{"the lifetime can't be lifted", brokenAbilities{setLifetime: func(b able, id string, lifetime time.Duration) error {
			return onlyWhen(lifetime != 0, func() error { return b.SetLifetime(ctx, id, lifetime) })
		}}, "lets a remote live", "still ends at"},
		{"any lifetime is taken", brokenAbilities{setLifetime: func(b able, id string, lifetime time.Duration) error {
			return b.SetLifetime(ctx, id, max(lifetime, 0))
		}}, "out of its bounds", "SetLifetime of -1s succeeded"},
		{"a pause is not real", brokenAbilities{pause: func(able, string) error { return nil }},
			"pauses a remote", "does not say that the remote is Paused"},
		{"a pause can't be repeated", brokenAbilities{pause: func(b able, id string) error {
			if remote, err := b.Get(ctx, id); err == nil && remote.State != running {
				return memory.Error(backends.NotRunning, 0)
			}
			return b.Pause(ctx, id)
		}}, "pauses a remote", "pausing a remote: "},
		{"commands wake what is paused", brokenAbilities{run: func(b able, id string) error {
			return b.Resume(ctx, id)
		}}, "pauses a remote", "a command in a paused remote succeeded"},
		{"looking wakes what is paused", brokenAbilities{get: func(b able, remote *backends.Remote) {
			_ = b.Resume(ctx, remote.ID)
			remote.State = running
		}}, "pauses a remote", "does not say that the remote is Paused"},
		{"a paused remote can't be destroyed", brokenAbilities{destroy: func(b able, id string) error {
			if remote, err := b.Get(ctx, id); err == nil && remote.State != running {
				return memory.Error(backends.NotRunning, 0)
			}
			return b.Destroy(ctx, id)
		}}, "ends a paused remote", "destroying a paused remote: "},
		{"a pause stops the lifetime", brokenAbilities{pause: func(b able, id string) error {
			return errors.Join(b.SetLifetime(ctx, id, 0), b.Pause(ctx, id))
		}}, "ends a paused remote", "a remote lives on"},
		{"labels are added", brokenAbilities{setLabels: func(b able, id string, labels map[string]string) error {
			all := map[string]string{"goes": "1"}
			maps.Copy(all, labels)
			return b.SetLabels(ctx, id, all)
		}}, "replaces labels", "the labels do not become"},
		{"endpoints have the wrong scheme", brokenAbilities{endpoint: func(
			b able, id string, port backends.Port,
		) (backends.Endpoint, error) {
			port.Protocol = backends.ProtocolTCP
			return b.Endpoint(ctx, id, port)
		}}, "gives each port a URL", "is \"tcp://"},
		{"each call opens another way", brokenAbilities{endpoint: func(
			b able, id string, port backends.Port,
		) (backends.Endpoint, error) {
			urls++
			port.Number += int32(urls)
			return b.Endpoint(ctx, id, port)
		}}, "gives each port a URL", "and then"},
		{"endpoints lead nowhere", brokenAbilities{endpoint: func(
			b able, id string, port backends.Port,
		) (backends.Endpoint, error) {
			port.Number++
			return b.Endpoint(ctx, id, port)
		}}, "reaches what listens", "is not reached"},
		{"failed code is a success", brokenAbilities{runCode: func(
			b able, id string, code *backends.SourceCode, r *backends.CodeResult,
		) (err error) {
			*r, err = b.RunCode(ctx, id, *code)
			r.ExitCode = 0
			return err
		}}, "tells how it ended", "ends with 1 gives"},
		{"code has no deadline", brokenAbilities{runCode: func(
			b able, id string, code *backends.SourceCode, r *backends.CodeResult,
		) (err error) {
			code.Timeout *= 6
			*r, err = b.RunCode(ctx, id, *code)
			return err
		}}, "code at its deadline", "took 6"},
		{"any language is taken", brokenAbilities{runCode: func(
			b able, id string, code *backends.SourceCode, r *backends.CodeResult,
		) (err error) {
			code.Language = "shell"
			*r, err = b.RunCode(ctx, id, *code)
			return err
		}}, "language that it does not have", "nobody has succeeded"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			suite := newSuite(t, memory.Options{WithoutFiles: true}, func(b backends.Backend) backends.Backend {
				spoilt := c.spoilt
				spoilt.able, _ = b.(able)
				return spoilt
			})
			suite.Server = func(_ int, _ string) []string { return []string{"sleep", "60"} }
			wantNoticed(t, suite, c.check, c.words)
		})
	}
}

func onlyWhen(condition bool, act func() error) error {
	if condition {
		return act()
	}
	return nil
}

func TestACapabilityWithoutItsInterfaceIsNoticed(t *testing.T) {
	suite := newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend { return struct{ backends.Backend }{b} })
	wantNoticed(t, suite, "what its capabilities say", "but the backend has no Pause")
}

func TestEveryCapabilityThatIsMissingMustBeRefused(t *testing.T) {
	all := memory.NewProvider(memory.Options{}).Registration("memory").Capabilities
	for _, missing := range []backends.Capability{
		backends.CapabilitySnapshot, backends.CapabilityGPU, backends.CapabilityUser, backends.CapabilityNetwork,
		backends.CapabilityLifetime, backends.CapabilityEndpoints, backends.CapabilityTemplate, backends.CapabilityImage,
	} {
		suite := newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend { return b })
		suite.Registration.Capabilities = slices.DeleteFunc(slices.Clone(all), func(c backends.Capability) bool { return c == missing })
		wantNoticed(t, suite, "capabilities don't have", "capability "+string(missing)+" would allow succeeded")
	}
}

func TestAnAbilityWithoutCapabilityMustBeRefused(t *testing.T) {
	suite := newSuite(t, memory.Options{}, func(b backends.Backend) backends.Backend { return b })
	suite.Registration.Capabilities = nil
	wantNoticed(t, suite, "what its capabilities say", "Pause without capability Pause succeeded")
	if err := suite.Run(t.Context(), find(t, "pauses a remote")); !conformance.Skipped(err) {
		t.Errorf("a check of an ability that is not there: %v", err)
	}
}
