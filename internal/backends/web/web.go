// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package web is what backends of providers with an HTTP API share: a client that dials only what a provider object may reach,
// follows no redirect, trusts the certificates that the provider object names, and says of a call without an answer whether it can have
// had an effect.
//
// web.go makes the client, dial.go checks each connection, call.go makes calls with JSON, and trouble.go says what a missing
// answer means.
package web

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Options make a Client.
type Options struct {
	// Backend is the name for errors.
	Backend string
	// Config is the provider object's: its CABundle and Reach.
	Config backends.Config
	// Own are patterns of the provider's public hosts, such as "*.example.com".
	Own []string
	// Named are the hosts, without port, that the provider object spells out in its endpoint or parameters.
	Named []string
	// Timeout bounds one whole call that has no nearer deadline; 0 = none.
	Timeout time.Duration
	// Header goes with each request that has no such header: the user agent, the kind of answer.
	Header http.Header
}

// Client makes calls to one provider. It is safe for concurrent use, and reuses its connections.
type Client struct {
	options   Options
	transport *http.Transport
	http      *http.Client
}

// New returns a client, or an error of code Invalid where the configuration can't be used.
func New(options Options) (*Client, error) {
	c := &Client{options: options}
	for i, host := range c.options.Named {
		c.options.Named[i] = strings.ToLower(host)
	}
	for _, host := range c.options.Named {
		if err := c.checkHost(host); err != nil {
			return nil, backends.Errorf(backends.Invalid, options.Backend, "configure", "%w", err)
		}
	}
	c.transport = NewTransport(c.checkAddress)
	if len(options.Config.CABundle) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(options.Config.CABundle) {
			return nil, backends.Errorf(backends.Invalid, options.Backend, "configure", "spec.caBundle has no certificate in PEM")
		}
		c.transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	c.http = &http.Client{
		Transport: c, Timeout: options.Timeout,
		// An answer that leads elsewhere is no answer: credentials would go along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// HTTP returns the client for libraries that make requests by themselves. It has no other timeout than Options.Timeout.
func (c *Client) HTTP() *http.Client { return c.http }

// Close closes idle connections. A client that is no longer used needs it for tests that look for goroutines.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper. It is here that a host is checked by its name, as a proxy would resolve it by itself.
func (c *Client) RoundTrip(request *http.Request) (*http.Response, error) {
	host := request.URL.Hostname()
	if err := c.checkHost(host); err != nil {
		return nil, err
	}
	if address, err := netip.ParseAddr(host); err == nil {
		if err := c.checkAddress(host, address); err != nil {
			return nil, err
		}
	}
	return c.transport.RoundTrip(c.withHeader(request))
}

func (c *Client) withHeader(request *http.Request) *http.Request {
	missing := http.Header{}
	for name, values := range c.options.Header {
		if request.Header[name] == nil {
			missing[name] = values
		}
	}
	if len(missing) == 0 {
		return request
	}
	// A RoundTripper must leave the request as it is.
	with := request.Clone(request.Context())
	maps.Copy(with.Header, missing)
	return with
}

// ParseURL reads a base URL out of a provider object: http or https, a host, no credentials, query or fragment. The result has no
// slash at its end.
func ParseURL(field, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is no URL", field)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("%s must be a URL such as https://api.example.com", field)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("%s must have no credentials, query or fragment", field)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// hostOf returns the host of host:port, or of a host alone.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
