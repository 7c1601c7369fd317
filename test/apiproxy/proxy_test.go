// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package apiproxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	"k8s.io/client-go/rest"

	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
)

func start(t *testing.T, handler http.HandlerFunc) (*apiproxy.Proxy, string) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	proxy, err := apiproxy.Start(&rest.Config{Host: server.URL})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy, proxy.Config().Host
}

func do(ctx context.Context, method, url, body string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func TestRequestsAreUnderstood(t *testing.T) {
	g := NewWithT(t)
	proxy, url := start(t, func(http.ResponseWriter, *http.Request) {})
	for _, request := range []struct{ method, path, want string }{
		{"GET", "/api/v1/namespaces/a/secrets/b", "get secrets a/b"},
		{"GET", "/api/v1/namespaces/kube-system", "get namespaces /kube-system"},
		{"GET", "/api/v1/namespaces", "list namespaces /"},
		{"PUT", "/api/v1/namespaces/a/finalize", "update namespaces/finalize /a"},
		{"GET", "/apis/sandboxes.run/v1alpha1/sandboxes?watch=true", "watch sandboxes /"},
		{"PATCH", "/apis/sandboxes.run/v1alpha1/namespaces/a/sandboxes/b/status", "patch sandboxes/status a/b"},
		{"POST", "/apis/events.k8s.io/v1/namespaces/a/events", "create events a/"},
		{"DELETE", "/apis/sandboxes.run/v1alpha1/namespaces/a/sandboxes", "deletecollection sandboxes a/"},
		{"GET", "/healthz", "list /healthz /"},
	} {
		before := proxy.Now()
		code, err := do(t.Context(), request.method, url+request.path, "")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(code).To(Equal(http.StatusOK))
		seen := proxy.Since(before)
		g.Expect(seen).To(HaveLen(1))
		g.Expect(seen[0].String()).To(Equal(request.want))
	}
	g.Expect(proxy.Since(0, apiproxy.IsWrite)).To(HaveLen(4))
	g.Expect(proxy.Since(0, apiproxy.Writes("sandboxes/status", "a", "b"))).To(HaveLen(1))
}

func TestAHeldRequestWhoseSenderGoesAwayNeverArrives(t *testing.T) {
	g := NewWithT(t)
	var arrived atomic.Int32
	proxy, url := start(t, func(http.ResponseWriter, *http.Request) { arrived.Add(1) })
	hold := proxy.HoldRequest(apiproxy.IsWrite)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := do(ctx, http.MethodPatch, url+"/api/v1/namespaces/a/secrets/b", "{}")
		ended <- err
	}()
	g.Eventually(hold.Reached()).Should(BeClosed())
	cancel()
	g.Eventually(ended).Should(Receive(HaveOccurred()))
	g.Consistently(arrived.Load).WithTimeout(100 * time.Millisecond).Should(BeZero())
}

func TestAHeldRequestGoesOnWhenReleased(t *testing.T) {
	g := NewWithT(t)
	proxy, url := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	hold := proxy.HoldRequest(apiproxy.IsWrite)
	codes := make(chan int, 1)
	go func() {
		code, _ := do(t.Context(), http.MethodPatch, url+"/api/v1/namespaces/a/secrets/b", "{}")
		codes <- code
	}()
	g.Eventually(hold.Reached()).Should(BeClosed())
	g.Expect(codes).NotTo(Receive())
	hold.Release()
	g.Eventually(codes).Should(Receive(Equal(http.StatusAccepted)))
}

func TestAHeldAnswerWasDone(t *testing.T) {
	g := NewWithT(t)
	var arrived atomic.Int32
	proxy, url := start(t, func(http.ResponseWriter, *http.Request) { arrived.Add(1) })
	hold := proxy.HoldAnswer(apiproxy.IsWrite)
	codes := make(chan int, 1)
	go func() {
		code, _ := do(t.Context(), http.MethodPatch, url+"/api/v1/namespaces/a/secrets/b", "{}")
		codes <- code
	}()
	g.Eventually(hold.Reached()).Should(BeClosed())
	g.Expect(arrived.Load()).To(BeEquivalentTo(1))
	g.Expect(codes).NotTo(Receive())
	hold.Release()
	g.Eventually(codes).Should(Receive(Equal(http.StatusOK)))
}

func TestFailuresAreAnsweredInTheServersPlace(t *testing.T) {
	g := NewWithT(t)
	var arrived atomic.Int32
	proxy, url := start(t, func(http.ResponseWriter, *http.Request) { arrived.Add(1) })
	proxy.FailRequest(apiproxy.IsWrite, http.StatusConflict)
	g.Expect(do(t.Context(), http.MethodPatch, url+"/api/v1/namespaces/a", "{}")).To(Equal(http.StatusConflict))
	g.Expect(arrived.Load()).To(BeZero())
	proxy.FailAnswer(apiproxy.IsWrite, http.StatusGatewayTimeout)
	g.Expect(do(t.Context(), http.MethodPatch, url+"/api/v1/namespaces/a", "{}")).To(Equal(http.StatusGatewayTimeout))
	g.Expect(arrived.Load()).To(BeEquivalentTo(1))
	g.Expect(do(t.Context(), http.MethodPatch, url+"/api/v1/namespaces/a", "{}")).To(Equal(http.StatusOK))
}
