// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

// bodyOf creates a sandbox and returns what the server was sent.
func bodyOf(t *testing.T, parameters string, change func(*backends.CreateRequest)) map[string]any {
	t.Helper()
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{KeepBodies: true, BuildDelay: time.Hour})
	g.Expect(fake.Volume("data")).NotTo(BeEmpty())
	r := requestNamed("x")
	change(&r)
	_, err := fake.connect(t, parameters).Create(t.Context(), r)
	g.Expect(err).NotTo(HaveOccurred())
	var body map[string]any
	g.Expect(json.Unmarshal(fake.Calls()[0].Body, &body)).To(Succeed())
	return body
}

func TestAnImageIsBuiltWithWholeResources(t *testing.T) {
	body := bodyOf(t, `{"target":"eu"}`, func(r *backends.CreateRequest) {
		r.Source.Image = "debian:12"
		r.Resources = backends.Resources{MilliCPU: 2000, MemoryBytes: 4 << 30, DiskBytes: 8 << 30}
		r.User = "root"
	})
	g := NewWithT(t)
	g.Expect(body).To(And(
		HaveKeyWithValue("buildInfo", map[string]any{"dockerfileContent": "FROM debian:12\n"}), Not(HaveKey("snapshot")),
		HaveKeyWithValue("cpu", 2.0), HaveKeyWithValue("memory", 4.0), HaveKeyWithValue("disk", 8.0),
		HaveKeyWithValue("target", "eu"), HaveKeyWithValue("user", "root"),
		HaveKeyWithValue("autoStopInterval", 0.0), HaveKeyWithValue("autoDeleteInterval", -1.0),
	))
}

func TestALifetimeIsSaidInTheWordsOfBothServers(t *testing.T) {
	body := bodyOf(t, `{}`, func(r *backends.CreateRequest) { r.Lifetime = 90 * time.Second })
	NewWithT(t).Expect(body).To(And(
		HaveKeyWithValue("ttlMinutes", 2.0), HaveKeyWithValue("autoStopInterval", 2.0), HaveKeyWithValue("autoDeleteInterval", 0.0),
		HaveKeyWithValue("autoPauseInterval", 0.0),
	))
}

func TestNetworksAndVolumesAreGiven(t *testing.T) {
	g := NewWithT(t)
	body := bodyOf(t, `{"volumes":["data"]}`, func(r *backends.CreateRequest) {
		r.Network = backends.Network{Policy: backends.NetworkRestricted, Hosts: []string{"*.example.com"}, CIDRs: []string{"192.0.2.0/24"}}
		r.Parameters = json.RawMessage(`{"public":true,"volumes":["data:/mnt/data:sub"],"autoArchiveMinutes":60,"target":"eu"}`)
	})
	g.Expect(body).To(And(
		HaveKeyWithValue("networkAllowList", "192.0.2.0/24"), HaveKeyWithValue("domainAllowList", "*.example.com"),
		HaveKeyWithValue("networkBlockAll", false), HaveKeyWithValue("public", true), HaveKeyWithValue("autoArchiveInterval", 60.0),
		HaveKeyWithValue("target", "eu"),
		HaveKeyWithValue("volumes", []any{map[string]any{"volumeId": "data", "mountPath": "/mnt/data", "subpath": "sub"}}),
	))
	for _, network := range []backends.Network{{Policy: backends.NetworkDeny}, {Policy: backends.NetworkRestricted}} {
		body := bodyOf(t, `{}`, func(r *backends.CreateRequest) { r.Network = network })
		g.Expect(body).To(HaveKeyWithValue("networkBlockAll", true), "%v lets nothing through", network)
	}
}

func parameters(text string) func(*backends.CreateRequest) {
	return func(r *backends.CreateRequest) { r.Parameters = json.RawMessage(text) }
}

func TestWhatCanNotWorkIsSaidBeforeAnythingIsMade(t *testing.T) {
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t, `{"volumes":["mine"]}`)
	for name, c := range map[string]struct {
		change func(*backends.CreateRequest)
		says   string
	}{
		"resources of a snapshot": {func(r *backends.CreateRequest) { r.Resources.MilliCPU = 1000 }, "belong to the snapshot"},
		"half a core": {func(r *backends.CreateRequest) {
			r.Source.Image, r.Resources.MilliCPU = "debian", 500
		}, "whole cores"},
		"half a GiB":       {func(r *backends.CreateRequest) { r.Source.Image, r.Resources.MemoryBytes = "debian", 512<<20 }, "whole Gi"},
		"two GPUs":         {func(r *backends.CreateRequest) { r.Source.Image, r.Resources.GPUs = "debian", 2 }, "at most one"},
		"a Dockerfile":     {func(r *backends.CreateRequest) { r.Source.Image = "debian\nRUN curl evil" }, "no image reference"},
		"another's volume": {parameters(`{"volumes":["yours:/x"]}`), "may not be mounted"},
		"a volume nowhere": {parameters(`{"volumes":["mine"]}`), "volume:/path"},
		"signed too short": {parameters(`{"signedURLSeconds":60}`), "3600 to 86400"},
		"a parameter":      {parameters(`{"class":"vm"}`), "known: autoArchiveMinutes"},
		"IPv6": {func(r *backends.CreateRequest) {
			r.Network = backends.Network{Policy: backends.NetworkRestricted, CIDRs: []string{"2001:db8::/32"}}
		}, "IPv4"},
		"many hosts": {func(r *backends.CreateRequest) {
			r.Network = backends.Network{Policy: backends.NetworkRestricted, Hosts: slices.Repeat([]string{"a.example"}, 11)}
		}, "more than 10"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := requestNamed("x")
			c.change(&r)
			_, err := b.Create(t.Context(), r)
			g.Expect(err).To(MatchError(backends.Invalid))
			g.Expect(err).To(MatchError(ContainSubstring(c.says)))
			g.Expect(fake.Calls()).To(BeEmpty())
		})
	}
}
