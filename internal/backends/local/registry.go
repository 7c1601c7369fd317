// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// puller talks to registries for one pull, and keeps no connection beyond it.
//
// Whoever may create a sandbox chooses the registry, and a registry's answers choose further hosts. So none of them may be
// the operator's own machine or a cloud's metadata service, whatever name leads there, unless the administrator has named the
// registry with --local-registries.
type puller struct{ transport *http.Transport }

func (m *machine) newPuller(registry string) *puller {
	check := checkAddress
	if slices.Contains(m.registries, registry) {
		check = func(string, netip.Addr) error { return nil }
	}
	return &puller{transport: newTransport(check)}
}

func newTransport(check func(string, netip.Addr) error) *http.Transport {
	t := web.NewTransport(check)
	t.ResponseHeaderTimeout = time.Minute
	return t
}

func (p *puller) close() { p.transport.CloseIdleConnections() }

// errForbiddenAddress is about the image's name: no retry will change it.
var errForbiddenAddress = errors.New("its registry has a loopback or link-local address; " +
	"the operator's administrator can allow that with --local-registries")

// checkAddress lets a registry be anywhere but on this machine or where clouds have their metadata. Private addresses are fine:
// the registry of a house is there, and nothing of it but public images can be had here.
func checkAddress(host string, address netip.Addr) error {
	if (backends.Reach{Trusted: true}).HasAddress(host, address, nil) {
		return nil
	}
	return errForbiddenAddress
}

func (p *puller) options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(p.transport),
		remote.WithAuth(authn.Anonymous),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
		// The operator retries, with its own backoff.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryStatusCodes(),
	}
}

func (p *puller) resolve(ctx context.Context, ref name.Reference) (name.Digest, error) {
	if digest, ok := ref.(name.Digest); ok {
		return digest, nil
	}
	descriptor, err := remote.Get(ref, p.options(ctx)...)
	if err != nil {
		return name.Digest{}, err
	}
	return ref.Context().Digest(descriptor.Digest.String()), nil
}

// pullError says what a failed pull means, without URLs, which may be signed.
func pullError(ctx context.Context, reference string, err error) error {
	fail := func(code backends.Code, format string, args ...any) error {
		e := backends.Errorf(code, Name, operationCreate,
			"image %q "+format, append([]any{backends.Bounded(reference, 256)}, args...)...)
		e.OfRequest = true
		return e
	}
	var answer *transport.Error
	var network *url.Error
	switch {
	case errors.Is(err, errUnfit), errors.Is(err, errForbiddenAddress):
		return fail(backends.Invalid, "can't be used: %w", cause(err))
	case ctx.Err() != nil:
		return fail(backends.Unavailable, "was not pulled in time; it may be large, or its registry slow: %w", ctx.Err())
	case errors.As(err, &answer):
		return registryError(answer, fail)
	case errors.As(err, &network):
		return fail(backends.Unavailable, "can't be pulled: its registry can't be reached: %w", network.Err)
	case strings.Contains(err.Error(), "no child with platform"):
		return fail(backends.Invalid, "has no variant for linux/%s", runtime.GOARCH)
	}
	return fail(backends.Unavailable, "can't be pulled: %w", withoutPath(err))
}

// cause leaves out what an HTTP client says around the reason.
func cause(err error) error {
	if errors.Is(err, errForbiddenAddress) {
		return errForbiddenAddress
	}
	return err
}

func registryError(answer *transport.Error, fail func(backends.Code, string, ...any) error) error {
	switch status := answer.StatusCode; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fail(backends.Invalid, "can't be pulled without credentials, or does not exist; this backend pulls public images only")
	case status == http.StatusNotFound:
		return fail(backends.Invalid, "does not exist at its registry; check its name and tag")
	case status == http.StatusTooManyRequests:
		return fail(backends.RateLimited, "can't be pulled now: its registry refuses more requests")
	case status >= http.StatusInternalServerError:
		return fail(backends.Unavailable, "can't be pulled: its registry answered %s", statusText(status))
	default:
		return fail(backends.Invalid, "can't be pulled: its registry answered %s", statusText(status))
	}
}

func statusText(status int) string { return fmt.Sprintf("%d %s", status, http.StatusText(status)) }
