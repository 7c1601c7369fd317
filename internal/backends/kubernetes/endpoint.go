// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Endpoint implements backends.Endpointer: the pod's own address, or what the provider's template says leads to it.
func (b *backend) Endpoint(ctx context.Context, id string, port backends.Port) (backends.Endpoint, error) {
	if err := b.checkPort(operationEndpoint, port); err != nil {
		return backends.Endpoint{}, err
	}
	pod, err := b.read(ctx, operationEndpoint, id)
	if err != nil {
		return backends.Endpoint{}, err
	}
	number := strconv.Itoa(int(port.Number))
	if b.options.EndpointURL != "" {
		url := strings.NewReplacer("{port}", number, "{name}", pod.Name, "{namespace}", pod.Namespace, "{ip}", hostOf(pod.Status.PodIP))
		return backends.Endpoint{URL: url.Replace(b.options.EndpointURL)}, nil
	}
	if pod.Status.PodIP == "" {
		return backends.Endpoint{}, notRunning(operationEndpoint, "the pod has no address yet")
	}
	return backends.Endpoint{URL: strings.ToLower(string(protocol(port))) + "://" + net.JoinHostPort(pod.Status.PodIP, number)}, nil
}

func hostOf(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}

func protocol(port backends.Port) backends.Protocol {
	if port.Protocol == "" {
		return backends.ProtocolHTTP
	}
	return port.Protocol
}

// checkPort finds ports to which a template of a URL does not lead.
func (b *backend) checkPort(operation string, port backends.Port) error {
	switch {
	case b.options.EndpointURL == "" || protocol(port) == backends.ProtocolHTTP:
		return nil
	case protocol(port) == backends.ProtocolHTTPS && strings.HasPrefix(b.options.EndpointURL, "https:"):
		return nil
	}
	return backends.Errorf(backends.Unsupported, Name, operation,
		"the provider's endpointURL leads to ports that speak HTTP: port %d can't have protocol %s", port.Number, port.Protocol)
}
