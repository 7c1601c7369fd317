// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Ports of a sandbox that E2B's own programs have.
const (
	portEnvd        = 49983
	portInterpreter = 49999
)

// target is what a request for a sandbox is meant for.
type target struct {
	sandbox string
	port    int
}

var hostForm = regexp.MustCompile(`^(\d+)-([a-z0-9]+)(-[a-z0-9]+)?\.`)

// targetOf reads the target from the headers, which count for the shared host, localhost and addresses only, or else from the
// name of the host. A request without either is for the control plane.
func (c *Cloud) targetOf(r *http.Request) (target, bool) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, addressErr := netip.ParseAddr(strings.Trim(host, "[]"))
	shared := host == "sandbox."+c.options.Domain
	if shared || host == "localhost" || addressErr == nil {
		id, port := r.Header.Get("E2b-Sandbox-Id"), r.Header.Get("E2b-Sandbox-Port")
		number, _ := strconv.Atoi(port)
		id, _, _ = strings.Cut(id, "-")
		return target{id, number}, shared || id != "" || port != ""
	}
	if match := hostForm.FindStringSubmatch(host); match != nil && strings.HasSuffix(host, "."+c.options.Domain) {
		number, _ := strconv.Atoi(match[1])
		return target{match[2], number}, true
	}
	return target{}, false
}

// proxyError is what the proxy before the sandboxes says.
type proxyError struct {
	SandboxID string `json:"sandboxId"`
	Message   string `json:"message"`
	Port      int    `json:"port,omitempty"`
	Code      int    `json:"code"`
}

type sandboxKey struct{}

func sandboxOf(ctx context.Context) *sandbox {
	s, _ := ctx.Value(sandboxKey{}).(*sandbox)
	return s
}

// host is the way into all sandboxes.
func (c *Cloud) host() http.Handler {
	envd, interpreter := c.envd(), c.interpreter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, _ := c.targetOf(r)
		if t.sandbox == "" || t.port == 0 {
			http.Error(w, "missing header", http.StatusBadRequest)
			return
		}
		s, life, private := c.entry(t.sandbox)
		if s == nil {
			writeJSON(w, http.StatusBadGateway,
				proxyError{SandboxID: t.sandbox, Message: "The sandbox was not found", Code: http.StatusBadGateway})
			return
		}
		ctx, cancel := context.WithCancel(context.WithValue(r.Context(), sandboxKey{}, s))
		defer cancel()
		defer context.AfterFunc(life, cancel)() //nolint:contextcheck // a sandbox lives longer than a request
		w, r = &cutWriter{ResponseWriter: w, life: life}, r.WithContext(ctx)
		switch {
		case t.port == portEnvd:
			envd.ServeHTTP(w, r)
		case private && r.Header.Get("e2b-traffic-access-token") != s.traffic:
			writeJSON(w, http.StatusForbidden, proxyError{
				SandboxID: t.sandbox, Code: http.StatusForbidden,
				Message: "Sandbox is secured with traffic access token. Token header 'e2b-traffic-access-token' is missing",
			})
		case t.port == portInterpreter && s.template.hasInterpreter:
			interpreter.ServeHTTP(w, r)
		default:
			c.forward(w, r, t)
		}
		if life.Err() != nil {
			panic(http.ErrAbortHandler)
		}
	})
}

// entry returns a sandbox that runs, its life, and whether its ports are private.
func (c *Cloud) entry(id string) (s *sandbox, life context.Context, private bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s = c.sandboxes[id]
	if s == nil || s.state != stateRunning {
		return nil, nil, false
	}
	return s, s.context, s.request.Network.isPrivate()
}

// cutWriter cuts the connection when the sandbox behind it is gone: nothing more comes out of it, not even an end.
type cutWriter struct {
	http.ResponseWriter
	life context.Context //nolint:containedctx // it is the sandbox's
}

// Write implements http.ResponseWriter.
func (w *cutWriter) Write(content []byte) (int, error) {
	if w.life.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(content)
}

// Flush implements http.Flusher.
func (w *cutWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// forward leads to what listens on a port. Sandboxes share this machine's network.
func (c *Cloud) forward(w http.ResponseWriter, r *http.Request, t target) {
	to := &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(t.port))}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			writeJSON(w, http.StatusBadGateway, proxyError{
				SandboxID: t.sandbox, Message: "The sandbox is running but port is not open", Port: t.port, Code: http.StatusBadGateway,
			})
		},
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	// An answer may come before the request was read to its end. Over HTTP/1 the server would then read the rest itself, beside the
	// proxy, and now and then cut the answer.
	_ = http.NewResponseController(w).EnableFullDuplex()
	proxy.ServeHTTP(w, r)
}
