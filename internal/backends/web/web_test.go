// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var administrator = backends.Config{Reach: backends.Reach{Trusted: true}}

func newClient(t *testing.T, options web.Options) *web.Client {
	t.Helper()
	options.Backend = "test"
	client, err := web.New(options)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(client.Close)
	return client
}

// serve answers on the loopback, and returns the URL.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func get(url string) web.Call { return web.Call{Operation: "get", Method: http.MethodGet, URL: url} }

func create(url string) web.Call {
	return web.Call{Operation: "create", Method: http.MethodPost, URL: url, Effect: true, Body: map[string]string{"a": "b"}}
}

func TestACallSendsJSONAndReadsTheAnswer(t *testing.T) {
	g := NewWithT(t)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Header.Get("Content-Type"), r.Header.Get("X-Key"), body)
	})
	client := newClient(t, web.Options{
		Config: administrator, Named: []string{"127.0.0.1"}, Header: http.Header{"X-Key": {"key"}},
	})
	answer, err := client.Call(t.Context(), create(url))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(answer.OK()).To(BeFalse())
	g.Expect(answer.Status).To(Equal(http.StatusTeapot))
	g.Expect(string(answer.Body)).To(Equal(`POST application/json key {"a":"b"}`))
}

func TestConnectionsAreReused(t *testing.T) {
	g := NewWithT(t)
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	config := administrator
	config.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	client := newClient(t, web.Options{Config: config, Named: []string{"127.0.0.1"}})
	for range 20 {
		response, err := client.HTTP().Get(server.URL)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.ProtoMajor).To(Equal(2))
		g.Expect(response.Body.Close()).To(Succeed())
	}
	g.Expect(connections.Load()).To(BeEquivalentTo(1))
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	g := NewWithT(t)
	var elsewhere atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusTemporaryRedirect) })
	client := newClient(t, web.Options{Config: administrator, Named: []string{"127.0.0.1"}})
	answer, err := client.Call(t.Context(), get(url))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(answer.Status).To(Equal(http.StatusTemporaryRedirect))
	g.Expect(elsewhere.Load()).To(BeZero())
}

func TestWhatNobodyAllowedIsNotDialled(t *testing.T) {
	var asked atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	port := url[strings.LastIndex(url, ":"):]
	for _, c := range []struct {
		name, url, message string
		options            web.Options
	}{
		{"an address, by a namespaced provider", url, "--provider-hosts", web.Options{}},
		{"the machine's own name", "http://localhost" + port, "--provider-hosts", web.Options{}},
		{"a name of the backend's that leads here", "http://localhost" + port, "not public", web.Options{Own: []string{"localhost"}}},
		{"this machine in the answer of an administrator's provider", url, "not public", web.Options{Config: administrator}},
		{"a metadata service", "http://169.254.169.254/latest", "not public", web.Options{Config: administrator}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := newClient(t, c.options).Call(t.Context(), create(c.url))
			g.Expect(err).To(MatchError(backends.Invalid))
			g.Expect(err).To(MatchError(ContainSubstring(c.message)))
			g.Expect(asked.Load()).To(BeZero())
		})
	}
}

func TestAHostOfTheConfigurationThatMayNotBeReachedIsRefusedAtOnce(t *testing.T) {
	_, err := web.New(web.Options{Backend: "test", Named: []string{"internal.example"}})
	g := NewWithT(t)
	g.Expect(err).To(MatchError(backends.Invalid))
	g.Expect(err).To(MatchError(ContainSubstring(`host "internal.example"`)))
}

func TestWhatWasNotSentHadNoEffect(t *testing.T) {
	g := NewWithT(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	nobody := "http://" + listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	client := newClient(t, web.Options{Config: administrator, Named: []string{"127.0.0.1"}})
	_, err = client.Call(t.Context(), create(nobody))
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError("test create: the provider can't be reached: connection refused"), "and no port, which changes")
}

func TestWhatWasSentMayHaveHadItsEffect(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"the connection is cut": func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"the answer is cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("begin"))
		},
		"the answer is too long": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2000)) },
		"no answer comes in time": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := httptest.NewUnstartedServer(handler)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Start()
			defer server.Close()
			client := newClient(t, web.Options{Config: administrator, Named: []string{"127.0.0.1"}, Timeout: 300 * time.Millisecond})
			call := create(server.URL)
			call.Limit = 1000
			_, err := client.Call(t.Context(), call)
			g.Expect(err).To(MatchError(backends.Ambiguous))
			call.Effect = false
			_, err = client.Call(t.Context(), call)
			g.Expect(err).To(MatchError(backends.Unavailable))
			g.Expect(err.Error()).NotTo(ContainSubstring("127.0.0.1"))
		})
	}
}

func TestACertificateThatIsNotTrustedSaysWhatToDo(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	client := newClient(t, web.Options{Config: administrator, Named: []string{"127.0.0.1"}})
	_, err := client.Call(t.Context(), create(server.URL))
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("spec.caBundle")))
	_, err = client.Call(t.Context(), create(strings.Replace(server.URL, "https:", "http:", 1)))
	g.Expect(err).NotTo(HaveOccurred(), "the server answers 400 to plain HTTP")

	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, err = client.Call(t.Context(), create(strings.Replace(plain, "http:", "https:", 1)))
	g.Expect(err).To(MatchError(backends.Unavailable))

	_, err = web.New(web.Options{Backend: "test", Config: backends.Config{CABundle: []byte("no certificate")}})
	g.Expect(err).To(MatchError(backends.Invalid))
}

func TestDelaysThatAnswersAskFor(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, delay := range map[string]time.Duration{
		"7": 7 * time.Second, "0.5": 500 * time.Millisecond, "": 0, "soon": 0, "-3": 0, "999999999": 0, "NaN": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
		"Fri, 09 Jan 2026 03:04:00 GMT": time.Hour,
	} {
		g := NewWithT(t)
		g.Expect(web.RetryAfter(http.Header{"Retry-After": {value}}, now)).To(Equal(delay), value)
		g.Expect(web.RetryAfter(http.Header{"Retry-After-Create": {value}}, now, "Retry-After-Create")).To(Equal(delay), value)
	}
}

func TestBaseURLs(t *testing.T) {
	g := NewWithT(t)
	u, err := web.ParseURL("spec.endpoint", "https://api.example.com/v1/")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(u.String()).To(Equal("https://api.example.com/v1"))
	for _, bad := range []string{"api.example.com", "ftp://a", "https://", "https://u:p@a", "https://a?b=c", "https://a#f", "://"} {
		_, err := web.ParseURL("spec.endpoint", bad)
		g.Expect(err).To(MatchError(ContainSubstring("spec.endpoint")), bad)
	}
}
