// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// ErrForbidden is the cause of a connection that was not made because nobody allowed it. No retry will change that.
var ErrForbidden = errors.New("the operator may not connect to it")

func (c *Client) checkHost(host string) error {
	if c.options.Config.Reach.HasName(host, c.options.Own) {
		return nil
	}
	return fmt.Errorf("host %q is none that a SandboxProvider may name; use a ClusterSandboxProvider, or let the administrator allow it "+
		"with --provider-hosts: %w", backends.Bounded(host, 128), ErrForbidden)
}

func (c *Client) checkAddress(host string, address netip.Addr) error {
	if c.options.Config.Reach.HasAddress(host, address, c.options.Named) {
		return nil
	}
	return fmt.Errorf("host %q leads to an address that is not public; the administrator can allow it with --provider-hosts: %w",
		backends.Bounded(host, 128), ErrForbidden)
}

// NewTransport returns a transport that asks check about each address after all names are resolved, just before it is dialled. The
// administrator's proxies, from the environment, may be anywhere.
func NewTransport(check func(host string, address netip.Addr) error) *http.Transport {
	d := &dialer{check: check, proxies: map[string]bool{}}
	return &http.Transport{
		Proxy:                 d.proxy,
		DialContext:           d.dial,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          1000,
		MaxIdleConnsPerHost:   100,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// dialer makes the connections of one transport.
type dialer struct {
	check func(host string, address netip.Addr) error

	mutex sync.Mutex
	// proxies are host:port of those that requests were sent through.
	proxies map[string]bool
}

func (d *dialer) proxy(request *http.Request) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(request)
	if proxy != nil {
		d.mutex.Lock()
		defer d.mutex.Unlock()
		d.proxies[addressOf(proxy)] = true
	}
	return proxy, err
}

// addressOf is what the transport dials for a proxy.
func addressOf(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mutex.Lock()
	trusted := d.proxies[address]
	d.mutex.Unlock()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if !trusted {
		dialer.Control = func(_, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			return d.check(hostOf(address), at.Addr())
		}
	}
	return dialer.DialContext(ctx, network, address)
}
