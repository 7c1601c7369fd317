// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

func TestASandboxThatAsksForSignedURLsHasThem(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	r := requestNamed("signed")
	parameters(`{"signedURLSeconds":3600}`)(&r)
	r.Labels = map[string]string{"own": "1"}
	made, err := b.Create(t.Context(), r)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(made.Labels).To(Equal(r.Labels), "what the operator keeps there is none of the user's")
	_, err = b.RunCommand(t.Context(), made.ID, backends.Command{Argv: []string{
		"sh", "-c", "echo page >/tmp/page; python3 -m http.server 8080 --bind 127.0.0.1 --directory /tmp >/dev/null 2>&1 &",
	}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(b.SetLabels(t.Context(), made.ID, map[string]string{"own": "2"})).To(Succeed())

	another := fake.connect(t)
	endpoint, err := another.Endpoint(t.Context(), made.ID, backends.Port{Number: 8080})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(endpoint.Expires).To(BeTemporally("~", time.Now().Add(time.Hour), time.Minute))
	status := func(url string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/page", http.NoBody)
		g.Expect(err).NotTo(HaveOccurred())
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Body.Close()).To(Succeed())
		return response.StatusCode
	}
	g.Eventually(func() int { return status(endpoint.SignedURL) }).WithTimeout(10 * time.Second).Should(Equal(http.StatusOK))
	g.Expect(status(endpoint.URL)).To(Equal(http.StatusTemporaryRedirect), "the other URL wants its token")
	fake.Clock.Advance(time.Hour)
	g.Expect(status(endpoint.SignedURL)).To(Equal(http.StatusTemporaryRedirect), "it has ended")
}

func TestPortsThatCanNotBeReachedAreRefused(t *testing.T) {
	b := startFake(t, daytona.Options{}).connect(t)
	for port, code := range map[backends.Port]backends.Code{
		{Number: 5432, Protocol: backends.ProtocolTCP}:   backends.Unsupported,
		{Number: 8443, Protocol: backends.ProtocolHTTPS}: backends.Unsupported,
		{Number: 2280, Protocol: backends.ProtocolHTTP}:  backends.Invalid,
	} {
		g := NewWithT(t)
		_, err := b.Endpoint(t.Context(), "any", port)
		g.Expect(backends.CodeOf(err)).To(Equal(code), "%v", port)
		r := requestNamed("x")
		r.Ports = []backends.Port{port}
		_, err = b.Create(t.Context(), r)
		g.Expect(backends.CodeOf(err)).To(Equal(code), "%v", port)
	}
}
