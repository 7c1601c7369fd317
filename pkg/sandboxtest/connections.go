// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"k8s.io/client-go/rest"
)

// connections are the operator's to the API server. They are its own, and can all be closed: client-go shares those of one
// configuration among all of a process, and keeps them, which a suite that looks for leaked goroutines takes for one.
type connections struct {
	mutex sync.Mutex
	all   []net.Conn
}

// ownConnections returns a configuration whose connections are these.
func (c *connections) own(config *rest.Config) (*rest.Config, error) {
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the address of the API server: %w", err)
	}
	secured, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates for the API server: %w", err)
	}
	own := rest.CopyConfig(config)
	own.Host, own.TLSClientConfig = server.String(), rest.TLSClientConfig{}
	own.Dial, own.Proxy = nil, nil
	own.Transport = &http.Transport{
		TLSClientConfig: secured, ForceAttemptHTTP2: true, DialContext: c.dial(config.Dial), Proxy: config.Proxy,
	}
	return own, nil
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func (c *connections) dial(dial dialer) dialer {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		connection, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.all = append(c.all, connection)
		return connection, nil
	}
}

// close closes them all.
func (c *connections) close() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var failures []error
	for _, connection := range c.all {
		if err := connection.Close(); !errors.Is(err, net.ErrClosed) {
			failures = append(failures, err)
		}
	}
	c.all = nil
	return errors.Join(failures...)
}
