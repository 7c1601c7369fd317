// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Reach is which hosts a backend may dial for a provider object. Whoever may write a SandboxProvider must not make the operator
// talk to what only the operator can reach, so such a provider gets the backend's own public hosts and what the administrator
// allows. A ClusterSandboxProvider is the administrator's.
type Reach struct {
	// Trusted says that an administrator wrote the configuration: it may name any host but a cloud's metadata service.
	Trusted bool
	// Allowed are the hosts that the administrator lets every provider reach: names, such as "e2b.example.com" or
	// "*.example.com" for all below, and addresses as CIDRs.
	Allowed []string
}

// ParseReach checks what --provider-hosts says.
func ParseReach(allowed string) (Reach, error) {
	var reach Reach
	for pattern := range strings.SplitSeq(allowed, ",") {
		pattern = strings.ToLower(strings.TrimSpace(pattern))
		if pattern == "" {
			continue
		}
		_, isPrefix := parsePrefix(pattern)
		if name := strings.TrimPrefix(pattern, "*."); !isPrefix && (name == "" || strings.ContainsAny(name, "*/:@ ")) {
			return Reach{}, fmt.Errorf("%q is neither a host, nor *.DOMAIN, nor a CIDR", Bounded(pattern, 64))
		}
		reach.Allowed = append(reach.Allowed, pattern)
	}
	return reach, nil
}

// HasName says whether a host may be dialled by what it is called; own are patterns of the backend's public hosts.
func (r Reach) HasName(host string, own []string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if address, err := netip.ParseAddr(host); err == nil {
		return r.Trusted || r.allows(address)
	}
	return r.Trusted || matchesHost(own, host) || matchesHost(r.Allowed, host)
}

// HasAddress says whether an address may be dialled that a host of this name turned out to have. Named hosts are those that the
// configuration itself spells out, unlike those in a provider's answers: on the operator's own machine only they are reached.
func (r Reach) HasAddress(host string, address netip.Addr, named []string) bool {
	host, address = strings.ToLower(strings.TrimSuffix(host, ".")), address.Unmap().WithZone("")
	if inner, ok := translated(address); ok {
		return r.allows(address) || r.HasAddress(host, inner, named)
	}
	switch {
	case r.allows(address):
		return true
	case IsMetadata(address) || address.IsUnspecified() || address.IsMulticast() || address.IsLinkLocalUnicast():
		return false
	case address.IsLoopback():
		return r.Trusted && slices.Contains(named, host)
	case address.IsPrivate() || sharedAddresses.Contains(address):
		return r.Trusted || matchesHost(r.Allowed, host)
	}
	return true
}

func (r Reach) allows(address netip.Addr) bool {
	return slices.ContainsFunc(r.Allowed, func(pattern string) bool {
		prefix, ok := parsePrefix(pattern)
		return ok && prefix.Contains(address.Unmap())
	})
}

// parsePrefix takes a single address for a network of one.
func parsePrefix(s string) (netip.Prefix, bool) {
	if address, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(s)
	return prefix, err == nil
}

func matchesHost(patterns []string, host string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if below, ok := strings.CutPrefix(pattern, "*"); ok {
			return strings.HasSuffix(host, below) && len(host) > len(below)
		}
		matched, err := path.Match(pattern, host)
		return err == nil && matched
	})
}

// translated is the IPv4 address to which a network leads on what is sent to an IPv6 one: by NAT64 (RFC 6052) or 6to4 (RFC 3056).
func translated(address netip.Addr) (netip.Addr, bool) {
	bytes := address.As16()
	switch {
	case !address.Is6():
		return netip.Addr{}, false
	case nat64.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[12:16])), true
	case sixToFour.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[2:6])), true
	}
	return netip.Addr{}, false
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// sharedAddresses are private to a provider of networks (RFC 6598); some clouds have services there.
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// metadataServices of clouds outside the link-local range: AWS over IPv6, Azure, Oracle, Alibaba.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("192.0.0.192"), netip.MustParseAddr("100.100.100.200"),
}

// IsMetadata says whether an address is known for a cloud's metadata service, which gives credentials to who can reach it.
func IsMetadata(address netip.Addr) bool {
	return address.Is4() && address.IsLinkLocalUnicast() || slices.Contains(metadataServices, address)
}
