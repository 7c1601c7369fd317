// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2b is an E2B for tests and for trying the operator without an account: the control plane, the host of the sandboxes
// with envd in each, and the code interpreter, on one port of the loopback. It really runs the commands that it is given: as root
// on Linux each sandbox is a mount and PID namespace over this machine's own files, whose changes vanish with it. That keeps
// sandboxes apart, and is no protection against them.
//
// What it claims of E2B is proven by E2B's own JavaScript SDK (test/compat/e2b). It knows no volumes, forks, metrics, logs and
// watchers, and builds no templates.
//
// e2b.go starts and ends it, control.go and wire.go are the control plane, list.go its lists, sandbox.go the life of a sandbox,
// host.go the way into sandboxes, envd.go, process.go and files.go what answers there, interpreter.go and kernel.py the code
// interpreter, machine_linux.go where commands run, and trouble.go what can be made to go wrong and what was asked.
package e2b

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Key is an API key that every Cloud knows from the start.
const Key = "e2b_0123456789abcdef0123456789abcdef01234567"

// The templates that every Cloud has.
const (
	// TemplateBase is the default of E2B's SDKs.
	TemplateBase = "base"
	// TemplateCode has the code interpreter.
	TemplateCode = "code-interpreter-v1"
)

// Options say how a Cloud is. The zero value is good.
type Options struct {
	// Address to listen on; empty = a free port of 127.0.0.1.
	Address string
	// TLS makes it speak HTTPS, and HTTP/2; nil = plain HTTP.
	TLS *tls.Config
	// Domain is where sandboxes have their hosts, which are known by name here; empty = e2b.localhost.
	Domain string
	// MaxSandboxes run at once; 0 = 1100.
	MaxSandboxes int
	// MaxLifetime of a sandbox; 0 = 24 h.
	MaxLifetime time.Duration
	// WithoutV2 leaves out what self-hosted E2B does not have: creation and connection by their paths below /v2.
	WithoutV2 bool
	// Dir is for snapshots and mount points; empty = one of its own, which goes with it.
	Dir string
}

// Cloud is a running fake.
type Cloud struct {
	options  Options
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	ownDir   bool

	// mutex guards what follows, and the fields of sandboxes that are not said to be guarded otherwise.
	mutex     sync.Mutex
	keys      map[string]bool
	blocked   string
	sandboxes map[string]*sandbox
	templates []*template
	faults    []*Fault
	requests  []Request
	connected int
	logged    []string
	closed    bool
}

// Start starts a Cloud. Close it.
func Start(options Options) (*Cloud, error) {
	if options.Address == "" {
		options.Address = "127.0.0.1:0"
	}
	if options.Domain == "" {
		options.Domain = "e2b.localhost"
	}
	if options.MaxSandboxes == 0 {
		options.MaxSandboxes = 1100
	}
	if options.MaxLifetime == 0 {
		options.MaxLifetime = 24 * time.Hour
	}
	c := &Cloud{
		options: options, keys: map[string]bool{Key: true}, sandboxes: map[string]*sandbox{}, templates: ownTemplates(),
		served: make(chan struct{}),
	}
	if err := c.start(); err != nil {
		return nil, fmt.Errorf("starting a fake E2B: %w", errors.Join(err, c.removeDir()))
	}
	return c, nil
}

func (c *Cloud) start() (err error) {
	if c.options.Dir == "" {
		if c.options.Dir, err = os.MkdirTemp("", "e2b-"); err != nil {
			return err
		}
		c.ownDir = true
	}
	if c.options.Dir, err = filepath.EvalSymlinks(c.options.Dir); err != nil {
		return err
	}
	if c.listener, err = net.Listen("tcp", c.options.Address); err != nil { //nolint:noctx // it only binds
		return err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	c.server = &http.Server{
		Handler: c.handler(), ReadHeaderTimeout: time.Minute, Protocols: &protocols, TLSConfig: c.options.TLS,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				c.mutex.Lock()
				defer c.mutex.Unlock()
				c.connected++
			}
		},
	}
	go func() {
		defer close(c.served)
		if c.options.TLS != nil {
			_ = c.server.ServeTLS(c.listener, "", "")
			return
		}
		_ = c.server.Serve(c.listener)
	}()
	return nil
}

// URL is where the control plane is, and, with the headers that name sandbox and port, every sandbox.
func (c *Cloud) URL() string {
	scheme := "http"
	if c.options.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + c.listener.Addr().String()
}

// Close ends all sandboxes with their processes, and removes what they left.
func (c *Cloud) Close() error {
	c.mutex.Lock()
	c.closed = true
	all := make([]*sandbox, 0, len(c.sandboxes))
	for _, s := range c.sandboxes {
		all = append(all, s)
	}
	c.mutex.Unlock()
	for _, s := range all {
		c.kill(s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.server.Shutdown(ctx); err != nil {
		_ = c.server.Close()
	}
	<-c.served
	return c.removeDir()
}

func (c *Cloud) removeDir() error {
	if !c.ownDir {
		return nil
	}
	return os.RemoveAll(c.options.Dir)
}

// handler tells what is for a sandbox from what is for the control plane, as E2B's names do.
func (c *Cloud) handler() http.Handler {
	control, host := c.control(), c.host()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, isHost := c.targetOf(r)
		record := c.record(r, target)
		if c.disturb(w, r, record) {
			return
		}
		if isHost {
			host.ServeHTTP(w, r)
			return
		}
		control.ServeHTTP(w, r)
	})
}
