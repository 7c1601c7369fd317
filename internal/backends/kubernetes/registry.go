// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubernetes is the backend for pods: of the operator's own cluster, or of another one that a kubeconfig leads to. A sandbox is one
// pod, and gVisor or Kata run it where the cluster has them as runtime classes.
//
// registry.go has the registration, parameters.go the provider's options and who may say what, connect.go the way to the API server.
// pod.go writes the pod, first.sh is its first process, and identity.go says how a pod is named and marked. create.go, observe.go, destroy.go,
// lifetime.go, labels.go, endpoint.go, network.go and watch.go are the operations; state.go translates what a pod's status says, and
// words.go makes it readable, and namespace.go reads what a namespace that goes down says. command.go runs commands (with package wrapper),
// exec.go carries them, and trouble.go says what an answer of the API server means.
//
// What is said here of Kubernetes was seen with client-go 0.37 against API servers and kubelets of 1.36, or read in their source.
package kubernetes

import (
	"context"
	"time"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	networkingv1client "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Name is the backend's name.
const Name = "kubernetes"

// keyKubeconfig is the one key of the credentials Secret.
const keyKubeconfig = "kubeconfig"

// The operations, as errors name them.
const (
	operationConfigure   = "configure"
	operationCreate      = "create"
	operationGet         = "get"
	operationFind        = "find"
	operationList        = "list"
	operationDestroy     = "destroy"
	operationRun         = "run command"
	operationSetLifetime = "set lifetime"
	operationSetLabels   = "set labels"
	operationEndpoint    = "endpoint"
	operationWatch       = "watch"
)

// leastLifetime is the shortest: a kubelet takes a moment to show a changed lease to the first process.
const leastLifetime = 10 * time.Second

// Registration returns the backend's entry in the registry.
func Registration() backends.Registration {
	return backends.Registration{
		Name:    Name,
		Aliases: []string{"k8s", "pod"},
		Summary: "pods of this cluster, or of another",
		Setup: backends.Setup{
			Keys: []backends.CredentialKey{{
				Name: keyKubeconfig, Optional: true,
				Description: "a kubeconfig of another cluster, with all certificates and tokens in it; leave it out for the operator's own",
			}},
			Where: "the operator may make pods only where the ClusterRole sandbox-pods is bound to it",
			Docs:  "docs/providers/kubernetes.md",
		},
		Capabilities: []backends.Capability{
			backends.CapabilityImage, backends.CapabilityResources, backends.CapabilityGPU, backends.CapabilityUser,
			backends.CapabilityNetwork, backends.CapabilityLifetime, backends.CapabilityEndpoints, backends.CapabilityLabels,
		},
		CreateDeadline: 30 * time.Second,
		// An API server gives a request a minute. What it has stored is seen at once.
		VisibilityDelay: time.Minute,
		LeastLifetime:   leastLifetime,
		Scope:           scope,
		New:             newBackend,
	}
}

// backend implements the contract for one provider object.
type backend struct {
	options  options
	config   *rest.Config
	pods     corev1client.PodInterface
	events   corev1client.EventInterface
	policies networkingv1client.NetworkPolicyInterface
	spaces   corev1client.NamespaceInterface
	exec     rest.Interface
	// reach is what may be dialled; nil = the operator's own cluster, which an administrator configured.
	reach *backends.Reach
}

var (
	_ backends.Backend        = (*backend)(nil)
	_ backends.NameFinder     = (*backend)(nil)
	_ backends.LifetimeSetter = (*backend)(nil)
	_ backends.Labeler        = (*backend)(nil)
	_ backends.Endpointer     = (*backend)(nil)
	_ backends.Watcher        = (*backend)(nil)
)

func newBackend(_ context.Context, config backends.Config) (backends.Backend, error) {
	given, err := readOptions(config)
	if err != nil {
		return nil, invalid(operationConfigure, "%w", err)
	}
	connection, err := connect(config)
	if err != nil {
		return nil, invalid(operationConfigure, "%w", err)
	}
	b, err := newBackendAt(connection, given)
	if err == nil && len(config.Credentials[keyKubeconfig]) > 0 {
		b.reach = &config.Reach
	}
	return b, err
}

func newBackendAt(connection *rest.Config, given options) (*backend, error) {
	client, err := rest.HTTPClientFor(connection)
	if err != nil {
		return nil, invalid(operationConfigure, "%w", err)
	}
	core, err := corev1client.NewForConfigAndClient(connection, client)
	if err != nil {
		return nil, invalid(operationConfigure, "%w", err)
	}
	networking, err := networkingv1client.NewForConfigAndClient(connection, client)
	if err != nil {
		return nil, invalid(operationConfigure, "%w", err)
	}
	return &backend{
		options: given, config: connection, pods: core.Pods(given.Namespace), events: core.Events(given.Namespace),
		policies: networking.NetworkPolicies(given.Namespace), exec: core.RESTClient(),
		spaces: core.Namespaces(),
	}, nil
}

// scope tells the namespaces of a cluster apart.
func scope(config backends.Config) string {
	given, err := readOptions(config)
	if err != nil {
		return ""
	}
	return given.Namespace
}
