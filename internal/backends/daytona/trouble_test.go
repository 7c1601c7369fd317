// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

func requestNamed(name string) backends.CreateRequest {
	return backends.CreateRequest{
		Name: name,
		Mark: backends.Mark{Installation: "i", Namespace: "n", Name: "box", UID: "uid-" + name, Incarnation: 1, DeletionPolicy: "Delete"},
	}
}

func TestEveryAnswerToACreateHasItsError(t *testing.T) {
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	for name, c := range map[string]struct {
		status  int
		message string
		code    backends.Code
		one     bool
		says    string
	}{
		"quota":         {400, "Total CPU limit exceeded. Maximum allowed: 10.", backends.QuotaExceeded, true, "Total CPU limit"},
		"too large":     {400, "CPU request 8 exceeds maximum allowed per sandbox (4)", backends.Invalid, false, "ask for less"},
		"no capacity":   {400, "No available runners", backends.Unavailable, true, "no capacity"},
		"failed start":  {400, "Sandbox failed to start: boom", backends.Ambiguous, true, "boom"},
		"snapshot":      {400, "Snapshot x not found. Did you add it?", backends.Invalid, false, "Snapshot x"},
		"region":        {403, "Region x is not available to the organization", backends.Invalid, false, "parameter target"},
		"suspended":     {403, "Organization is suspended", backends.Unauthorized, false, "suspended"},
		"name taken":    {409, "Sandbox with name x already exists", backends.AlreadyExists, false, "exists"},
		"busy":          {409, "Sandbox was modified by another operation, please try again", backends.Unavailable, true, "busy"},
		"volume":        {404, "Volume with ID or name x not found", backends.Invalid, false, "Volume"},
		"not for class": {422, "Not supported for this class", backends.Unsupported, false, "class"},
		"server":        {500, "Internal server error", backends.Ambiguous, false, "Internal"},
		"gateway":       {504, "", backends.Ambiguous, false, ""},
		"redirect":      {307, "", backends.Unavailable, false, "spec.endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			defer fake.Inject(daytona.Fault{Method: http.MethodPost, Status: c.status, Message: c.message})()
			_, err := b.Create(t.Context(), requestNamed("x"))
			g.Expect(backends.CodeOf(err)).To(Equal(c.code), "%v", err)
			g.Expect(err).To(MatchError(ContainSubstring(c.says)))
			e, typed := errors.AsType[*backends.Error](err)
			g.Expect(typed).To(BeTrue())
			g.Expect(e.OfRequest).To(Equal(c.one), "whether it concerns this sandbox alone")
		})
	}
}

func TestALimitIsObeyedByItsOwnHeader(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	fake.Inject(daytona.Fault{Status: 429, Header: map[string]string{"Retry-After-sandbox-create": "7"}})
	_, err := fake.connect(t).Create(t.Context(), requestNamed("x"))
	g.Expect(err).To(MatchError(backends.RateLimited))
	g.Expect(backends.RetryAfter(err)).To(Equal(7 * time.Second))
}

func TestAnAnswerThatIsLostIsAmbiguousAndTheNameFindsTheSandbox(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	for name, fault := range map[string]daytona.Fault{
		"cut":     {Method: http.MethodPost, After: true, Cut: true, Times: 1},
		"gateway": {Method: http.MethodPost, After: true, Status: 502, Body: "<html>"},
	} {
		undo := fake.Inject(fault)
		_, err := b.Create(t.Context(), requestNamed(name))
		undo()
		g.Expect(err).To(MatchError(backends.Ambiguous))
		found, err := b.FindByName(t.Context(), name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found.Mark).To(Equal(requestNamed(name).Mark))
	}
	g.Expect(fake.States()).To(HaveLen(2))
}

func TestWhatNothingWasSentOfHadNoEffect(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	fake.Close()
	_, err := b.Create(t.Context(), requestNamed("x"))
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("can't be reached")))
}

func TestASandboxThatFailsToStartIsFoundAndSaysWhy(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	r := requestNamed("failing")
	r.Source.Snapshot = daytona.FailingSnapshot
	made, err := b.Create(t.Context(), r)
	g.Expect(err).NotTo(HaveOccurred(), "it exists")
	found, err := b.Get(t.Context(), made.ID)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found.State).To(Equal(backends.StateStopped))
	g.Expect(found.Reason).To(And(ContainSubstring("entrypoint"), ContainSubstring("quota")))
	g.Expect(b.Destroy(t.Context(), found.ID)).To(Succeed())
}

func TestABadConfigurationIsRefusedWithWhatMendsIt(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*backends.Config)
		says   string
	}{
		"no key":        {func(c *backends.Config) { c.Credentials[keyAPIKey] = []byte(" \n") }, "apiKey is empty"},
		"malformed key": {func(c *backends.Config) { c.Credentials[keyAPIKey] = []byte("export KEY=dtn_1") }, "no API key"},
		"no prefix":     {func(c *backends.Config) { c.Endpoint = "https://daytona.example.com" }, "must end with /api"},
		"no URL":        {func(c *backends.Config) { c.Endpoint = "daytona.example.com/api" }, "spec.endpoint"},
		"parameter": {func(c *backends.Config) {
			c.Parameters = json.RawMessage(`{"region":"us"}`)
		}, "known: proxyHosts, target, volumes"},
		"not its author": {func(c *backends.Config) { c.Reach.Trusted = false }, "--provider-hosts"},
		"certificate":    {func(c *backends.Config) { c.CABundle = []byte("none") }, "spec.caBundle"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			config := backends.Config{
				Endpoint: "https://daytona.example.com/api", Credentials: map[string][]byte{keyAPIKey: []byte("dtn_1")},
				Reach: backends.Reach{Trusted: true},
			}
			c.change(&config)
			_, err := newBackend(t.Context(), config)
			g.Expect(err).To(MatchError(backends.Invalid))
			g.Expect(err).To(MatchError(ContainSubstring(c.says)))
		})
	}
}

func TestARevokedKeyIsSaid(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	fake.Change(func(o *daytona.Options) { o.Key = "another" })
	_, err := b.List(t.Context(), backends.Filter{})
	g.Expect(err).To(MatchError(backends.Unauthorized))
	g.Expect(err).To(MatchError(ContainSubstring("make a new one")))
	g.Expect(err.Error()).NotTo(ContainSubstring(daytona.FakeKey))
}

func TestACertificateThatIsNotTrustedIsSaid(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{TLS: true})
	config := fake.config()
	config.CABundle = nil
	b, err := newBackend(t.Context(), config)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = b.List(t.Context(), backends.Filter{})
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("spec.caBundle")))
}

func TestAnAddressThatIsNoDaytonaIsNoProofThatASandboxIsGone(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	fake.Inject(daytona.Fault{Status: 404, Body: "404 page not found"})
	_, err := b.Get(t.Context(), "1b9c")
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("spec.endpoint")))
	g.Expect(b.Destroy(t.Context(), "1b9c")).To(MatchError(backends.Unavailable))
}

func TestDestroyingIsSafeToRepeat(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{DestroyDelay: time.Hour})
	b := fake.connect(t)
	made, err := b.Create(t.Context(), requestNamed("x"))
	g.Expect(err).NotTo(HaveOccurred())
	for range 2 {
		g.Expect(b.Destroy(t.Context(), made.ID)).To(Succeed(), "the second time it is busy with just that")
	}
	_, err = b.FindByName(t.Context(), "x")
	g.Expect(err).To(MatchError(backends.NotFound), "the name is free at once")
	fake.Clock.Advance(2 * time.Hour)
	g.Expect(b.Destroy(t.Context(), made.ID)).To(MatchError(backends.NotFound))
}

func TestASandboxThatIsStuckCanNotBeDestroyedYet(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	made, status := fake.createStuck(t)
	g.Expect(status).To(Equal("starting"))
	remote, err := b.Get(t.Context(), made)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(remote.State).To(Equal(backends.StateCreating))
	g.Expect(remote.Reason).To(BeEmpty(), "nothing is known to stand in its way, and each word that changes would be a write")
	err = b.Destroy(t.Context(), made)
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("busy")))
}

// createStuck makes a sandbox that never gets any further, without the wait for it.
func (f *fakeServer) createStuck(t *testing.T) (id, state string) {
	t.Helper()
	g := NewWithT(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL()+"/sandbox",
		strings.NewReader(`{"name":"stuck","snapshot":"`+daytona.StuckSnapshot+`"}`))
	g.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+daytona.FakeKey)
	client := &http.Client{Timeout: 200 * time.Millisecond}
	_, err = client.Do(request) //nolint:bodyclose // there is no answer
	g.Expect(err).To(HaveOccurred())
	client.CloseIdleConnections()
	for id, state = range f.States() {
		return id, state
	}
	return "", ""
}
