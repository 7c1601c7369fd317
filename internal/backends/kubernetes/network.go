// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingac "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// A NetworkPolicy is in force before a pod that it is for exists, and is shared by all pods with the same rules: its name, and the label by
// which it selects them, are made of the rules. So nothing of it leaks with a pod, and no pod runs without it for a moment. What is
// left when the last such pod is gone selects nothing.

// ensurePolicy applies the policy that a sandbox asks for, and returns the label's value by which it selects; "" = it asks for none.
func (b *backend) ensurePolicy(ctx context.Context, n backends.Network) (string, error) {
	if n.Policy == "" || n.Policy == backends.NetworkAllow {
		return "", nil
	}
	if b.options.NetworkPolicies == policiesNone {
		return "", aboutOne(backends.Errorf(backends.Unsupported, Name, operationCreate,
			"this provider lets no sandbox ask for a network of its own (its parameter networkPolicies is None)"))
	}
	cidrs, err := allowedNetworks(n)
	if err != nil {
		return "", err
	}
	value := policyValue(cidrs)
	_, err = b.policies.Apply(ctx, policy(b.options.Namespace, value, cidrs), metav1.ApplyOptions{FieldManager: "sandbox-operator", Force: true})
	if err != nil {
		// Whatever became of it, no sandbox was made.
		return "", b.trouble(operationCreate, "NetworkPolicies", err, false)
	}
	return value, nil
}

// allowedNetworks are what a sandbox may reach.
func allowedNetworks(n backends.Network) ([]string, error) {
	if n.Policy == backends.NetworkDeny {
		return nil, nil
	}
	if n.Policy != backends.NetworkRestricted {
		return nil, backends.Errorf(backends.Unsupported, Name, operationCreate, "there is no network policy %q", n.Policy)
	}
	if len(n.Hosts) > 0 {
		return nil, backends.Errorf(backends.Unsupported, Name, operationCreate,
			"network.hosts is not supported: a NetworkPolicy knows addresses only; use network.cidrs")
	}
	var cidrs []string
	for _, text := range n.CIDRs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalid(operationCreate, "network.cidrs has %q, which is no network", backends.Bounded(text, 64))
		}
		cidrs = append(cidrs, prefix.Masked().String())
	}
	slices.Sort(cidrs)
	return slices.Compact(cidrs), nil
}

// policyValue names rules.
func policyValue(cidrs []string) string {
	if len(cidrs) == 0 {
		return "deny"
	}
	sum := sha256.Sum256([]byte(strings.Join(cidrs, ",")))
	return "restricted-" + hex.EncodeToString(sum[:8])
}

func policy(namespace, value string, cidrs []string) *networkingac.NetworkPolicyApplyConfiguration {
	spec := networkingac.NetworkPolicySpec().WithPolicyTypes(networkingv1.PolicyTypeEgress).
		WithPodSelector(metaac.LabelSelector().WithMatchLabels(map[string]string{networkLabel: value}))
	if len(cidrs) > 0 {
		rule := networkingac.NetworkPolicyEgressRule()
		for _, cidr := range cidrs {
			rule.WithTo(networkingac.NetworkPolicyPeer().WithIPBlock(networkingac.IPBlock().WithCIDR(cidr)))
		}
		spec.WithEgress(rule)
	}
	return networkingac.NetworkPolicy(fmt.Sprintf("sandboxes-%s", value), namespace).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": "sandbox-operator"}).WithSpec(spec)
}
