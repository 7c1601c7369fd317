// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestANamespacedProviderReachesTheBackendsOwnHostsAndWhatIsAllowed(t *testing.T) {
	g := NewWithT(t)
	own := []string{"*.example.app", "api.example.app"}
	reach, err := backends.ParseReach(" e2b.corp.example, *.sandboxes.corp.example ,10.1.0.0/16,127.0.0.1")
	g.Expect(err).NotTo(HaveOccurred())
	for host, may := range map[string]bool{
		"api.example.app": true, "49983-abc.example.app": true, "API.Example.App.": true, "e2b.corp.example": true,
		"a.sandboxes.corp.example": true, "10.1.2.3": true, "127.0.0.1": true,
		"example.app": false, "example.app.evil.org": false, "evilexample.app": false, "sandboxes.corp.example": false,
		"10.2.0.1": false, "localhost": false, "kubernetes.default.svc": false, "": false,
	} {
		g.Expect(reach.HasName(host, own)).To(Equal(may), host)
		g.Expect(backends.Reach{Trusted: true}.HasName(host, own)).To(BeTrue(), host)
	}
}

func TestAddressesAreCheckedAfterNamesAreResolved(t *testing.T) {
	const host, named = "api.example.app", "self.hosted.example"
	allowed := backends.Reach{Allowed: []string{"10.1.0.0/16", "127.0.0.1", "ally.example"}}
	trusted := backends.Reach{Trusted: true}
	for _, c := range []struct {
		address                                                  string
		stranger, ofAllowedHost, inAllowedNetwork, ofAdmin, ofIt bool
	}{
		{"93.184.216.34", true, true, true, true, true},
		{"2606:2800::1", true, true, true, true, true},
		{"10.1.2.3", false, true, true, true, true},
		{"10.2.2.3", false, true, false, true, true},
		{"::ffff:192.168.1.1", false, true, false, true, true},
		{"100.64.1.1", false, true, false, true, true},
		{"fd12::1", false, true, false, true, true},
		{"127.0.0.1", false, false, true, false, true},
		{"127.0.0.2", false, false, false, false, true},
		{"::1", false, false, false, false, true},
		{"169.254.169.254", false, false, false, false, false},
		{"::ffff:169.254.169.254", false, false, false, false, false},
		{"fe80::1%eth0", false, false, false, false, false},
		{"fd00:ec2::254", false, false, false, false, false},
		{"168.63.129.16", false, false, false, false, false},
		{"100.100.100.200", false, false, false, false, false},
		{"64:ff9b::a9fe:a9fe", false, false, false, false, false}, // 169.254.169.254 behind NAT64
		{"64:ff9b::a02:203", false, true, false, true, true},      // 10.2.2.3
		{"64:ff9b::5db8:d822", true, true, true, true, true},      // 93.184.216.34
		{"2002:7f00:1::1", false, false, true, false, true},       // 127.0.0.1 by 6to4
		{"0.0.0.0", false, false, false, false, false},
		{"224.0.0.1", false, false, false, false, false},
	} {
		t.Run(c.address, func(t *testing.T) {
			g := NewWithT(t)
			address := netip.MustParseAddr(c.address)
			g.Expect(backends.Reach{}.HasAddress(host, address, []string{named})).To(Equal(c.stranger), "for a namespaced provider")
			g.Expect(backends.Reach{}.HasAddress(named, address, []string{named})).To(Equal(c.stranger), "for one that names it")
			g.Expect(allowed.HasAddress("ally.example", address, nil)).To(Equal(c.ofAllowedHost || c.inAllowedNetwork), "for an ally")
			g.Expect(allowed.HasAddress(host, address, nil)).To(Equal(c.inAllowedNetwork), "in an allowed network")
			g.Expect(trusted.HasAddress(host, address, []string{named})).To(Equal(c.ofAdmin), "for a cluster provider's answer")
			g.Expect(trusted.HasAddress(named, address, []string{named})).To(Equal(c.ofIt), "for a cluster provider that names it")
		})
	}
}

func TestWhatIsNoHostIsNotAllowed(t *testing.T) {
	for _, pattern := range []string{"https://api.example.com", "a/b", "*", "*.", "host:443", "user@host", "a*.example.com"} {
		_, err := backends.ParseReach("good.example," + pattern)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("neither a host")), pattern)
	}
}
