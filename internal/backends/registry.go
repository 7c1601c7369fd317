// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Registration is a backend's entry in the registry. Nothing of the provider is touched before New is called, which
// happens when a provider object first needs it.
type Registration struct {
	// Name is what spec.backend says: lower case letters, digits and dashes.
	Name string
	// Aliases are other names that people try.
	Aliases []string
	// Summary is one line about the backend.
	Summary string
	// OptIn backends work only where the operator's --backends flag names them.
	OptIn bool
	// Setup tells how to get credentials.
	Setup Setup
	// Capabilities are what it can do beyond the required, as reported in a provider's status.
	Capabilities []Capability
	// CreateDeadline bounds one Create; VisibilityDelay is how long after its end a remote may still be missing from List
	// and FindByName. Together they are the time after which a create that left no trace certainly had no effect.
	CreateDeadline, VisibilityDelay time.Duration
	// CreateEndsWithCaller says that a create whose caller died has no effect after that, so that nobody needs to wait for one:
	// the caller's own process makes the remote. Of a call that is on its way to a service nobody can say that.
	CreateEndsWithCaller bool
	// LeastLifetime and MostLifetime bound CreateRequest.Lifetime and SetLifetime, with CapabilityLifetime; 0 = no bound.
	LeastLifetime, MostLifetime time.Duration
	// PausedRemotesStay says that a paused remote has no end at the provider, and can be given none: nobody renews its lease, and
	// only who destroys it ends it.
	PausedRemotesStay bool
	// HasEndpoint says that New takes Config.Endpoint and CABundle. A provider that sets them is refused otherwise.
	HasEndpoint bool
	// HasSandboxParameters says that Create takes CreateRequest.Parameters, and decodes them strictly. A Sandbox that has some is
	// refused otherwise.
	HasSandboxParameters bool
	// Scope tells apart what one endpoint and one set of credentials lead to, such as the namespaces of a cluster: providers share an
	// account, with its limits and its inventory, only where it is the same. Nil = they lead to one thing.
	Scope func(config Config) string
	// Concurrency is how many calls to one account may be under way at once; 0 = the default (64).
	Concurrency uint
	// Flags adds the backend's own command line flags, where it has any. It is called once, before New.
	Flags func(flags *flag.FlagSet)
	// New builds the backend for one provider object. It checks the configuration (code Invalid), but makes no call.
	New func(ctx context.Context, config Config) (Backend, error)
}

// Setup is what a user must have before a backend works.
type Setup struct {
	// Keys are those of the credentials Secret. Empty means that the backend needs no Secret.
	Keys []CredentialKey
	// Where says where to get the credentials, such as a URL of the provider's console; or, for backends without
	// credentials, what the machine must have.
	Where string
	// Docs is the path of the backend's page under docs/.
	Docs string
}

// CredentialKey is a key of the credentials Secret.
type CredentialKey struct {
	// Name of the key in the Secret's data.
	Name string
	// Description is what it holds, as a phrase.
	Description string
	// Optional keys may be missing.
	Optional bool
}

// Capability is an ability beyond the required ones.
type Capability string

// The capabilities.
const (
	// CapabilityImage: source.image works.
	CapabilityImage Capability = "Image"
	// CapabilityTemplate: source.template works.
	CapabilityTemplate Capability = "Template"
	// CapabilitySnapshot: source.snapshot works.
	CapabilitySnapshot Capability = "Snapshot"
	// CapabilityResources: resources are enforced as given.
	CapabilityResources Capability = "Resources"
	// CapabilityGPU: resources.gpu works.
	CapabilityGPU Capability = "GPU"
	// CapabilityUser: user works.
	CapabilityUser Capability = "User"
	// CapabilityNetwork: network works. A policy that the backend knows but does not have is Unsupported at Create.
	CapabilityNetwork Capability = "Network"
	// CapabilityLifetime: the provider ends remotes by itself, and the backend is a LifetimeSetter.
	CapabilityLifetime Capability = "Lifetime"
	// CapabilityPause: the backend is a Pauser.
	CapabilityPause Capability = "Pause"
	// CapabilityEndpoints: the backend is an Endpointer.
	CapabilityEndpoints Capability = "Endpoints"
	// CapabilityLabels: the backend is a Labeler.
	CapabilityLabels Capability = "Labels"
	// CapabilityCode: the backend is a CodeRunner.
	CapabilityCode Capability = "Code"
)

// Config is what a provider object says.
type Config struct {
	// Credentials are the Secret's data: all required keys are present.
	Credentials map[string][]byte
	// Parameters are the backend's own options, undecoded.
	Parameters json.RawMessage
	// Endpoint is the URL of the provider's API where it is not the usual one, and CABundle the certificates in PEM by which it
	// is known. Both are empty unless the Registration HasEndpoint.
	Endpoint string
	CABundle []byte
	// Reach is which hosts may be dialled for it, checked after names are resolved.
	Reach Reach
	// Namespace is that of the provider object; empty for one of the cluster. What a backend makes in the operator's own cluster for a
	// provider of a namespace, it makes there and nowhere else.
	Namespace string
	// Cluster is how the operator reaches its own cluster, with the operator's rights; nil = it can't be reached. It is not to be changed.
	Cluster *rest.Config
}

// Registry finds backends by name.
type Registry struct {
	registrations []Registration
	enabled       func(Registration) bool
}

// NewRegistry returns a registry in which all but the opt-in backends are enabled.
func NewRegistry(registrations ...Registration) *Registry {
	return &Registry{
		registrations: registrations,
		enabled:       func(r Registration) bool { return !r.OptIn },
	}
}

// Enable makes exactly these backends available; no names leave the default. An unknown name is an error.
func (r *Registry) Enable(names ...string) error {
	if len(names) == 0 {
		return nil
	}
	chosen := map[string]bool{}
	for _, name := range names {
		registration, ok := r.find(name)
		if !ok {
			return fmt.Errorf("unknown backend %q (known: %s)", name, strings.Join(r.names(), ", "))
		}
		chosen[registration.Name] = true
	}
	r.enabled = func(registration Registration) bool { return chosen[registration.Name] }
	return nil
}

// Lookup returns the backend of that name or alias. The error of one that is unknown or not enabled says which there are.
func (r *Registry) Lookup(name string) (Registration, error) {
	registration, ok := r.find(name)
	if !ok {
		return Registration{}, fmt.Errorf("unknown backend %q (this operator has: %s)", name, strings.Join(r.available(), ", "))
	}
	if !r.enabled(registration) {
		return Registration{}, fmt.Errorf(
			"backend %q is not enabled (enabled: %s); start the operator with --backends=...,%s",
			name, strings.Join(r.available(), ", "), registration.Name)
	}
	return registration, nil
}

// All returns every registration, enabled or not, in the order of registration.
func (r *Registry) All() []Registration { return slices.Clone(r.registrations) }

// AddFlags adds the flags of all backends.
func (r *Registry) AddFlags(flags *flag.FlagSet) {
	for _, registration := range r.registrations {
		if registration.Flags != nil {
			registration.Flags(flags)
		}
	}
}

func (r *Registry) find(name string) (Registration, bool) {
	i := slices.IndexFunc(r.registrations, func(registration Registration) bool {
		return registration.Name == name || slices.Contains(registration.Aliases, name)
	})
	if i < 0 {
		return Registration{}, false
	}
	return r.registrations[i], true
}

func (r *Registry) names() []string {
	var names []string
	for _, registration := range r.registrations {
		names = append(names, registration.Name)
	}
	return names
}

func (r *Registry) available() []string {
	var names []string
	for _, registration := range r.registrations {
		if r.enabled(registration) {
			names = append(names, registration.Name)
		}
	}
	if len(names) == 0 {
		return []string{"none"}
	}
	return names
}
