// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2b is the backend for sandboxes of E2B, its cloud and what of it people host themselves.
//
// Two planes answer: the control plane, JSON over HTTP, makes, lists and ends sandboxes; inside each sandbox a daemon, envd, runs
// commands and keeps files, over Connect-RPC, and a code interpreter runs code where the template has it. What is said here of E2B
// was read in its OpenAPI description, its SDK (e2b 2.51.0 on npm) and its published infrastructure (e2b-dev/infra 54693ff3), and
// recorded from envd 0.6.13.
//
// e2b.go registers and configures the backend. Of the control plane, api.go has what is sent and answered, create.go, observe.go
// and change.go the operations, metadata.go how marks are kept. Of the sandboxes, place.go says where one is and how it is
// entered, gate.go what stands before it, command.go runs commands (with package wrapper), files.go and code.go do what their names
// say. trouble.go tells what an error means. The messages of envd are in package envd.
package e2b

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// Name is what spec.backend says.
const Name = "e2b"

// keyName is the key of the credentials Secret.
const keyName = "apiKey"

// mostLifetime is that of E2B's larger plans; the smaller have an hour.
const mostLifetime = 24 * time.Hour

// Registration returns the backend's entry in the registry.
func Registration() backends.Registration {
	return backends.Registration{
		Name:    Name,
		Summary: "Sandboxes of E2B (e2b.dev), hosted by them or by you.",
		Setup: backends.Setup{
			Keys:  []backends.CredentialKey{{Name: keyName, Description: "an API key of the E2B team, which begins with e2b_"}},
			Where: "make a key at https://e2b.dev/dashboard, under API Keys",
			Docs:  "docs/providers/e2b.md",
		},
		Capabilities: []backends.Capability{
			backends.CapabilityTemplate, backends.CapabilitySnapshot, backends.CapabilityResources, backends.CapabilityUser,
			backends.CapabilityNetwork, backends.CapabilityLifetime, backends.CapabilityPause, backends.CapabilityEndpoints,
			backends.CapabilityCode,
		},
		// E2B gives a creation up after 70 to 75 seconds, and what it has made is in the list before it answers: a creation that
		// is not listed after these is none.
		CreateDeadline:       90 * time.Second,
		VisibilityDelay:      10 * time.Second,
		LeastLifetime:        time.Second,
		MostLifetime:         mostLifetime,
		PausedRemotesStay:    true,
		HasEndpoint:          true,
		HasSandboxParameters: true,
		New:                  newBackend,
	}
}

// options are the parameters of a provider object.
type options struct {
	// Domain of a self-hosted E2B: the API is at api.DOMAIN and each sandbox at PORT-ID.DOMAIN.
	Domain string `json:"domain"`
	// SandboxURL is where all sandboxes are, told apart by headers.
	SandboxURL string `json:"sandboxURL"`
	// Template is that of sandboxes which name none.
	Template string `json:"template"`
	// MaxLifetimeSeconds is the most that the team's plan allows.
	MaxLifetimeSeconds int64 `json:"maxLifetimeSeconds"`
	// PublicTraffic says whether ports answer without a token, for sandboxes that don't say.
	PublicTraffic *bool `json:"publicTraffic"`
}

const (
	usualDomain = "e2b.app"
	// usualTemplate is that of E2B's own SDKs.
	usualTemplate = "base"
)

// sharedDomains have one host for all sandboxes, sandbox.DOMAIN, so that one connection serves them all. The SDK has the same list.
var sharedDomains = []string{"e2b.app", "e2b.dev", "e2b.pro", "e2b-staging.dev"}

// ownHosts are E2B's public ones.
var ownHosts = []string{"*.e2b.app", "*.e2b.dev", "*.e2b.pro"}

// backend is the connection of one provider object.
type backend struct {
	client  *web.Client
	api     string
	key     string
	options options
	places  places
}

func newBackend(_ context.Context, config backends.Config) (backends.Backend, error) {
	given, err := backends.DecodeParameters[options](config.Parameters)
	if err != nil {
		return nil, misconfigured("%w", err)
	}
	key := strings.TrimSpace(string(config.Credentials[keyName]))
	if !strings.HasPrefix(key, "e2b_") || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, misconfigured("the Secret's key %s is no API key of E2B: it must begin with e2b_ (make one at "+
			"https://e2b.dev/dashboard; access tokens, which begin with sk_e2b_, are for E2B's command line only)", keyName)
	}
	api, named, err := given.settle(config.Endpoint)
	if err != nil {
		return nil, err
	}
	client, err := web.New(web.Options{
		Backend: Name, Config: config, Own: ownHosts, Named: named,
		// Errors are HTML for what looks like a browser.
		Header: http.Header{"User-Agent": {"sandbox-operator"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return nil, err
	}
	return &backend{client: client, api: api, key: key, options: given}, nil
}

func misconfigured(format string, args ...any) error {
	return backends.Errorf(backends.Invalid, Name, "configure", format, args...)
}

// settle checks the options and fills in what is missing. It returns the API's URL, and the hosts that the configuration names.
func (o *options) settle(endpoint string) (api string, named []string, err error) {
	if o.MaxLifetimeSeconds < 0 || o.MaxLifetimeSeconds > int64(mostLifetime.Seconds()) {
		return "", nil, misconfigured("parameter \"maxLifetimeSeconds\" must be 1 to %d", int64(mostLifetime.Seconds()))
	}
	if o.MaxLifetimeSeconds == 0 {
		o.MaxLifetimeSeconds = int64(mostLifetime.Seconds())
	}
	if o.Template == "" {
		o.Template = usualTemplate
	}
	if strings.ContainsAny(o.Domain, "/:@ *") || strings.HasPrefix(o.Domain, ".") {
		return "", nil, misconfigured("parameter \"domain\" must be a name such as e2b.example.com, with no scheme or port")
	}
	if o.SandboxURL != "" {
		base, err := web.ParseURL("parameter \"sandboxURL\"", o.SandboxURL)
		if err != nil {
			return "", nil, misconfigured("%w", err)
		}
		o.SandboxURL, named = base.String(), append(named, base.Hostname())
	}
	at, err := o.endpoint(endpoint)
	if err != nil {
		return "", nil, err
	}
	return at.String(), append(named, at.Hostname()), nil
}

// endpoint returns the API's URL, and makes sure that it is known where the sandboxes are: their tokens go to nobody else.
func (o *options) endpoint(given string) (*url.URL, error) {
	if given == "" {
		if o.Domain == "" {
			o.Domain = usualDomain
		}
		return &url.URL{Scheme: "https", Host: "api." + o.Domain}, nil
	}
	at, err := web.ParseURL("spec.endpoint", given)
	if err != nil {
		return nil, misconfigured("%w", err)
	}
	if o.Domain == "" {
		o.Domain, _ = strings.CutPrefix(at.Hostname(), "api.")
		if o.Domain == at.Hostname() && o.SandboxURL == "" {
			return nil, misconfigured("spec.endpoint does not begin with api., so that the host of the sandboxes is not known: " +
				"set the parameter \"domain\" or \"sandboxURL\"")
		}
	}
	return at, nil
}

// most is the longest lifetime that the team's plan allows.
func (o *options) most() time.Duration { return time.Duration(o.MaxLifetimeSeconds) * time.Second }

// host is where a port of a sandbox is. The domain is what E2B answered, or empty for the usual one.
func (o *options) host(id, port, domain string) string {
	if domain == "" {
		domain = o.Domain
	}
	return "https://" + port + "-" + id + "." + domain
}

// daemon is where envd of a sandbox is.
func (o *options) daemon(id, domain string) string {
	if domain == "" {
		domain = o.Domain
	}
	switch {
	case o.SandboxURL != "":
		return o.SandboxURL
	case slices.Contains(sharedDomains, domain):
		return "https://sandbox." + domain
	}
	return o.host(id, daemonPort, domain)
}
