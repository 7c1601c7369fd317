// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package daytona is the backend for Daytona: its control API makes and changes sandboxes, and the toolbox in each sandbox, reached
// through a proxy, runs commands. It works with the last public version of the server (0.190) and with what the newest SDKs
// (0.216 to 0.220) expect.
//
// registry.go has the registration and the options, api.go the calls and what sandboxes look like, trouble.go what an answer that is no
// success means, create.go, observe.go, destroy.go, lifetime.go, pause.go, labels.go and endpoint.go the operations, toolbox.go the way to
// a sandbox's own service, command.go commands, and script.go the shell text that carries one.
//
// Facts about the protocol were read in daytonaio/daytona v0.190.0 and in the packages @daytona/sdk and @daytona/api-client 0.216.0, and
// recorded from the daemon of v0.190.0.
package daytona

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// Name is the backend's name.
const Name = "daytona"

// The keys of the credentials Secret.
const (
	keyAPIKey       = "apiKey"
	keyOrganization = "organizationID"
)

// defaultEndpoint is Daytona Cloud's control API; the prefix is part of it.
const defaultEndpoint = "https://app.daytona.io/api"

// sdkVersion is sent with each call: the toolbox answers in other forms without it.
const sdkVersion = "0.190.0"

// options are the parameters of a provider object.
type options struct {
	// Target is the region in which sandboxes are made that name none.
	Target string `json:"target"`
	// ProxyHosts are further hosts of a self-hosted installation, without port, such as that of its proxy.
	ProxyHosts []string `json:"proxyHosts"`
	// Volumes are the account's volumes that sandboxes may mount, by name or ID.
	Volumes []string `json:"volumes"`
}

// Registration returns the backend's entry in the registry.
func Registration() backends.Registration {
	return backends.Registration{
		Name:    Name,
		Summary: "sandboxes of Daytona, in its cloud or self-hosted",
		Setup: backends.Setup{
			Keys: []backends.CredentialKey{
				{Name: keyAPIKey, Description: "an API key with the permissions to write and delete sandboxes"},
				{Name: keyOrganization, Description: "the organization, where apiKey is a JWT", Optional: true},
			},
			Where: "make one at https://app.daytona.io/dashboard/keys",
			Docs:  "docs/providers/daytona.md",
		},
		Capabilities: []backends.Capability{
			backends.CapabilityImage, backends.CapabilityTemplate, backends.CapabilitySnapshot, backends.CapabilityResources,
			backends.CapabilityGPU, backends.CapabilityUser, backends.CapabilityNetwork, backends.CapabilityLifetime,
			backends.CapabilityPause, backends.CapabilityEndpoints, backends.CapabilityLabels,
		},
		// The server itself waits up to 30 seconds for a sandbox to start.
		CreateDeadline: time.Minute,
		// A look-up by name reads the database, but may be answered from a cache; lists come from an index that lags.
		VisibilityDelay:      time.Minute,
		LeastLifetime:        time.Minute,
		HasEndpoint:          true,
		HasSandboxParameters: true,
		New:                  newBackend,
	}
}

// backend implements the contract for one provider object.
type backend struct {
	options  options
	endpoint string
	web      *web.Client
	places   places
}

var (
	_ backends.Backend        = (*backend)(nil)
	_ backends.NameFinder     = (*backend)(nil)
	_ backends.LifetimeSetter = (*backend)(nil)
	_ backends.Pauser         = (*backend)(nil)
	_ backends.Labeler        = (*backend)(nil)
	_ backends.Endpointer     = (*backend)(nil)
)

func newBackend(_ context.Context, config backends.Config) (backends.Backend, error) {
	given, err := backends.DecodeParameters[options](config.Parameters)
	if err != nil {
		return nil, invalidConfig("%w", err)
	}
	raw := config.Endpoint
	if raw == "" {
		raw = defaultEndpoint
	}
	endpoint, err := web.ParseURL("spec.endpoint", raw)
	if err != nil {
		return nil, invalidConfig("%w", err)
	}
	if config.Endpoint != "" && !strings.HasSuffix(endpoint.Path, "/api") {
		return nil, invalidConfig("spec.endpoint must end with /api, as in %s", defaultEndpoint)
	}
	header, err := headerOf(config.Credentials)
	if err != nil {
		return nil, invalidConfig("%w", err)
	}
	client, err := web.New(web.Options{
		Backend: Name, Config: config, Own: []string{"*.daytona.io"}, Named: append([]string{endpoint.Hostname()}, given.ProxyHosts...),
		Header: header,
	})
	if err != nil {
		return nil, err
	}
	return &backend{options: given, endpoint: endpoint.String(), web: client, places: places{byID: map[string]place{}}}, nil
}

// headerOf is what goes with every call.
func headerOf(credentials map[string][]byte) (http.Header, error) {
	key := strings.TrimSpace(string(credentials[keyAPIKey]))
	if err := checkKey(key); err != nil {
		return nil, err
	}
	header := http.Header{
		"Authorization":         {"Bearer " + key},
		"X-Daytona-Source":      {"sandbox-operator"},
		"X-Daytona-Sdk-Version": {sdkVersion},
		"User-Agent":            {"sandbox-operator"},
		"Accept":                {"application/json"},
	}
	if organization := strings.TrimSpace(string(credentials[keyOrganization])); organization != "" {
		header["X-Daytona-Organization-Id"] = []string{organization}
	}
	return header, nil
}

func invalidConfig(format string, args ...any) error {
	return backends.Errorf(backends.Invalid, Name, "configure", format, args...)
}
