// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiproxy stands between a program under test and the API server: it remembers what the program asks for, and can
// stop a chosen request on its way there, or the answer on its way back. So a test counts writes, and kills a program exactly
// between an effect and the write that follows it, with no hook in the program.
//
// proxy.go is the proxy, request.go what it understands of a request, and hold.go how one is stopped.
package apiproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Proxy is plain HTTP on the loopback address towards the program, and what its configuration says towards the API server:
// whoever reaches it has the rights of that configuration.
type Proxy struct {
	url       string
	server    *http.Server
	transport http.RoundTripper
	served    chan struct{}

	mutex    sync.Mutex
	requests []Request
	holds    []*Hold
}

type requestKey struct{}

// Start runs a proxy until Close.
func Start(config *rest.Config) (*Proxy, error) {
	target, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // an address of the machine itself
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	p := &Proxy{url: "http://" + listener.Addr().String(), transport: transport, served: make(chan struct{})}
	p.server = &http.Server{Handler: p.handler(target), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener)
	}()
	return p, nil
}

// Close ends the proxy with all that goes through it.
func (p *Proxy) Close() error {
	err := p.server.Close()
	<-p.served
	if t, ok := p.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return err
}

// Config is a client configuration that leads here.
func (p *Proxy) Config() *rest.Config {
	return &rest.Config{Host: p.url, QPS: -1}
}

// WriteKubeconfig writes a file that leads programs here.
func (p *Proxy) WriteKubeconfig(path string) error {
	config := api.NewConfig()
	config.Clusters["proxy"] = &api.Cluster{Server: p.url}
	config.AuthInfos["anybody"] = &api.AuthInfo{}
	config.Contexts["proxy"] = &api.Context{Cluster: "proxy", AuthInfo: "anybody"}
	config.CurrentContext = "proxy"
	return clientcmd.WriteToFile(*config, path)
}

// Position is a place in the list of requests: what came before it is not of interest.
type Position int

// Now is the place after everything that has come so far.
func (p *Proxy) Now() Position {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return Position(len(p.requests))
}

// Since returns the requests that came after a place, and that one of the matchers wants; without matchers, all.
func (p *Proxy) Since(position Position, matchers ...Matcher) []Request {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var found []Request
	for _, request := range p.requests[position:] {
		if len(matchers) == 0 || anyMatches(matchers, request) {
			found = append(found, request)
		}
	}
	return found
}

func anyMatches(matchers []Matcher, request Request) bool {
	for _, matches := range matchers {
		if matches(request) {
			return true
		}
	}
	return false
}

func (p *Proxy) handler(target *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      p.transport,
		FlushInterval:  -1, // watches
		ModifyResponse: p.stopAnswer,
		ErrorHandler:   answerError,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := parse(r)
		// Only who has read the whole request learns that its sender is gone.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		request.Body = body
		if err := p.stopRequest(r.Context(), request); err != nil {
			answerError(w, r, err)
			return
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, request)))
	})
}

// answerError answers with what a Hold wants, or breaks the connection, as a network would.
func answerError(w http.ResponseWriter, _ *http.Request, err error) {
	if failure, ok := errors.AsType[*failure](err); ok {
		http.Error(w, http.StatusText(failure.status), failure.status)
		return
	}
	panic(http.ErrAbortHandler)
}
