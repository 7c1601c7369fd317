// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Track returns a context for one request, and a function that says whether any of the request was sent: one of which nothing was sent
// had no effect.
func Track(ctx context.Context) (tracked context.Context, sent func() bool) {
	var wrote atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { wrote.Store(true) },
		WroteHeaders:     func() { wrote.Store(true) },
	}), wrote.Load
}

// Trouble says what it means that no answer came; effect is whether the provider may have been changed all the same. The text has no
// address and no port, which are others each time.
func (c *Client) Trouble(operation string, err error, effect bool) *backends.Error {
	fail := func(code backends.Code, format string, args ...any) *backends.Error {
		e := backends.Errorf(code, c.options.Backend, operation, format, args...)
		e.Err = err
		return e
	}
	if errors.Is(err, ErrForbidden) {
		return fail(backends.Invalid, "%v", withoutURL(err))
	}
	if message := certificateTrouble(err); message != "" {
		return fail(backends.Unavailable, "%s", message)
	}
	return fail(codeOf(effect), "%s", describe(err))
}

func certificateTrouble(err error) string {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		return "the provider's certificate is signed by an authority that is not trusted: put its certificate into spec.caBundle"
	case errors.As(err, &hostname):
		return "the provider's certificate is for another host: check spec.endpoint"
	case errors.As(err, &invalid):
		return "the provider's certificate is not valid: " + invalid.Error()
	case errors.As(err, &verification):
		return "the provider's certificate can't be verified: check spec.caBundle"
	case errors.As(err, &record):
		return "the provider does not speak TLS at this port: check spec.endpoint"
	}
	return ""
}

func describe(err error) string {
	var dns *net.DNSError
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		return "the call was given up before the provider answered"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the provider's host name " + backends.Bounded(dns.Name, 128) + " does not exist"
	case errors.As(err, &dns):
		return "the provider's host name " + backends.Bounded(dns.Name, 128) + " can't be resolved"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "the provider did not answer in time"
	case errors.As(err, &errno):
		return "the provider can't be reached: " + errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the provider closed the connection before its answer was complete"
	}
	return "the provider gave no proper answer: " + withoutURL(err).Error()
}

// withoutURL leaves out what the HTTP client says around the reason.
func withoutURL(err error) error {
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err
	}
	if operation, ok := errors.AsType[*net.OpError](err); ok {
		err = operation.Err
	}
	return err
}
