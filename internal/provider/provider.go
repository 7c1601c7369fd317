// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package provider finds the provider of an object, reads its Secret, builds its backend when it is first used, and is the
// only door to it: every call to a backend passes a [Door], which gives it a deadline, its share of the account's calls,
// metrics, and errors without secrets.
//
// provider.go finds provider objects, confirm.go asks the API server itself about them, credentials.go reads Secrets, copy.go keeps
// the operator's copy of them, open.go builds and keeps doors; door.go, account.go, places.go, turns.go and limiter.go are what
// calls pass; standing.go says when NotFound is believed, and metrics.go what is counted. What a user must mend is a [SetupError].
package provider

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// Provider is a SandboxProvider or ClusterSandboxProvider, seen alike.
type Provider struct {
	// Object is the object itself.
	Object client.Object
	// Kind of the object.
	Kind v1alpha1.ProviderKind
	// Spec is the part that both kinds have.
	Spec *v1alpha1.ProviderSpec
	// Status is the object's own; changes to it change the object.
	Status *v1alpha1.ProviderStatus
	// AllowedNamespaces is set on cluster providers that restrict them.
	AllowedNamespaces *v1alpha1.AllowedNamespaces
}

// Of returns the object as a Provider, or panics where it is neither kind.
func Of(object client.Object) Provider {
	switch o := object.(type) {
	case *v1alpha1.SandboxProvider:
		return Provider{Object: o, Kind: v1alpha1.KindSandboxProvider, Spec: &o.Spec, Status: &o.Status}
	case *v1alpha1.ClusterSandboxProvider:
		return Provider{
			Object: o, Kind: v1alpha1.KindClusterSandboxProvider, Spec: &o.Spec.ProviderSpec, Status: &o.Status,
			AllowedNamespaces: o.Spec.AllowedNamespaces,
		}
	default:
		panic(fmt.Sprintf("%T is no provider", object))
	}
}

// Identity is what is written down of a provider.
func (p Provider) Identity() v1alpha1.ProviderIdentity {
	return v1alpha1.ProviderIdentity{
		Kind: p.Kind, Name: p.Object.GetName(), UID: string(p.Object.GetUID()), Backend: p.Spec.Backend,
	}
}

// Usable is a *SetupError where the provider is being deleted, so that nothing new may be made at it.
func (p Provider) Usable() error {
	if p.Object.GetDeletionTimestamp().IsZero() {
		return nil
	}
	return setupErrorf(v1alpha1.ReasonProviderNotFound, "%s %q is being deleted", p.Kind, p.Object.GetName())
}

func (p Provider) isDefault() bool {
	return p.Object.GetAnnotations()[v1alpha1.DefaultProviderAnnotation] == "true"
}

// Finder finds provider objects.
type Finder struct {
	// Reader reads providers and the metadata of namespaces, from a cache.
	Reader client.Reader
	// Namespaced says that the operator may not read ClusterSandboxProviders: they are as if they did not exist.
	Namespaced bool
}

// ForSandbox returns the provider that the Sandbox asks for, or the default one, if it may be used from the Sandbox's
// namespace. What keeps it from being used is a *SetupError; there is never a fall-back to another provider.
func (f Finder) ForSandbox(ctx context.Context, sandbox *v1alpha1.Sandbox) (Provider, error) {
	p, err := f.choose(ctx, sandbox)
	if err != nil {
		return Provider{}, err
	}
	if err := p.Usable(); err != nil {
		return Provider{}, err
	}
	return p, f.checkNamespace(ctx, p, sandbox.Namespace)
}

// Recorded is ByIdentity of what a status says. One that says nothing was not written by the operator.
func (f Finder) Recorded(ctx context.Context, namespace string, id *v1alpha1.ProviderIdentity) (Provider, error) {
	if id == nil {
		return Provider{}, setupErrorf(v1alpha1.ReasonProviderNotFound, "the status names a remote and no provider of it: somebody else "+
			"than the operator wrote it; create the object again")
	}
	return f.ByIdentity(ctx, namespace, *id)
}

// ByIdentity returns the provider that was written down, also while it is being deleted. One that has another UID now is
// not the same account: it is not found.
func (f Finder) ByIdentity(ctx context.Context, namespace string, id v1alpha1.ProviderIdentity) (Provider, error) {
	p, err := f.get(ctx, namespace, id.Kind, id.Name)
	if err != nil {
		return Provider{}, err
	}
	if string(p.Object.GetUID()) != id.UID {
		return Provider{}, setupErrorf(v1alpha1.ReasonProviderNotFound,
			"%s %q is not the one that has the remote: it was deleted, and another has its name", id.Kind, id.Name)
	}
	return p, nil
}

func (f Finder) choose(ctx context.Context, sandbox *v1alpha1.Sandbox) (Provider, error) {
	if had := sandbox.Status.Provider; had != nil {
		// A remote that was lost is made again where it was, whatever the default is by now.
		return f.ByIdentity(ctx, sandbox.Namespace, *had)
	}
	if ref := sandbox.Spec.ProviderRef; ref != nil {
		return f.get(ctx, sandbox.Namespace, ref.Kind, ref.Name)
	}
	return f.defaultFor(ctx, sandbox.Namespace)
}

func (f Finder) get(ctx context.Context, namespace string, kind v1alpha1.ProviderKind, name string) (Provider, error) {
	var object client.Object = &v1alpha1.SandboxProvider{}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if kind == v1alpha1.KindClusterSandboxProvider {
		if f.Namespaced {
			return Provider{}, setupErrorf(v1alpha1.ReasonProviderNotFound,
				"ClusterSandboxProvider %q can't be used here: this operator is installed for some namespaces only (--namespaces); name a SandboxProvider of namespace %q", name, namespace)
		}
		object, key.Namespace = &v1alpha1.ClusterSandboxProvider{}, ""
	}
	err := f.Reader.Get(ctx, key, object)
	switch {
	case apierrors.IsNotFound(err) && kind == v1alpha1.KindSandboxProvider:
		return Provider{}, setupErrorf(v1alpha1.ReasonProviderNotFound,
			"SandboxProvider %q does not exist in namespace %q", name, namespace)
	case apierrors.IsNotFound(err):
		return Provider{}, setupErrorf(v1alpha1.ReasonProviderNotFound, "ClusterSandboxProvider %q does not exist", name)
	case err != nil:
		return Provider{}, fmt.Errorf("reading %s %q: %w", kind, name, err)
	}
	return Of(object), nil
}

// defaultFor returns the default provider of the namespace, or else of the cluster.
func (f Finder) defaultFor(ctx context.Context, namespace string) (Provider, error) {
	var own v1alpha1.SandboxProviderList
	if err := f.Reader.List(ctx, &own, client.InNamespace(namespace)); err != nil {
		return Provider{}, fmt.Errorf("listing SandboxProviders: %w", err)
	}
	var found []Provider
	for i := range own.Items {
		found = append(found, Of(&own.Items[i]))
	}
	if p, ok, err := onlyDefault(found); ok || err != nil {
		return p, err
	}
	if f.Namespaced {
		return Provider{}, noDefault("sandboxprovider NAME -n " + namespace)
	}
	var cluster v1alpha1.ClusterSandboxProviderList
	if err := f.Reader.List(ctx, &cluster); err != nil {
		return Provider{}, fmt.Errorf("listing ClusterSandboxProviders: %w", err)
	}
	found = nil
	for i := range cluster.Items {
		found = append(found, Of(&cluster.Items[i]))
	}
	if p, ok, err := onlyDefault(found); ok || err != nil {
		return p, err
	}
	return Provider{}, noDefault("clustersandboxprovider NAME")
}

func noDefault(which string) *SetupError {
	return setupErrorf(v1alpha1.ReasonNoDefaultProvider,
		"spec.providerRef is not set and no provider is the default; make one the default: "+
			"kubectl annotate %s %s=true (or create the Sandbox again with a providerRef)",
		which, v1alpha1.DefaultProviderAnnotation)
}

func onlyDefault(providers []Provider) (Provider, bool, error) {
	var defaults []Provider
	var names []string
	for _, p := range providers {
		if p.isDefault() && p.Object.GetDeletionTimestamp().IsZero() {
			defaults = append(defaults, p)
			names = append(names, p.Object.GetName())
		}
	}
	switch len(defaults) {
	case 0:
		return Provider{}, false, nil
	case 1:
		return defaults[0], true, nil
	default:
		return Provider{}, false, setupErrorf(v1alpha1.ReasonSeveralDefaultProviders,
			"spec.providerRef is not set and several providers of kind %s say that they are the default (%s); leave the "+
				"annotation %s on one of them", defaults[0].Kind, strings.Join(names, ", "), v1alpha1.DefaultProviderAnnotation)
	}
}

func (f Finder) checkNamespace(ctx context.Context, p Provider, namespace string) error {
	allowed := p.AllowedNamespaces
	if allowed == nil || allowed.From == v1alpha1.NamespacesFromAll {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
	if err != nil {
		return setupErrorf(v1alpha1.ReasonInvalid, "%s %q: allowedNamespaces.selector: %v", p.Kind, p.Object.GetName(), err)
	}
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(namespaceKind)
	if err := f.Reader.Get(ctx, types.NamespacedName{Name: namespace}, ns); err != nil {
		return fmt.Errorf("reading namespace %q: %w", namespace, err)
	}
	if !selector.Matches(labels.Set(ns.Labels)) {
		return setupErrorf(v1alpha1.ReasonNamespaceNotAllowed,
			"%s %q does not allow sandboxes in namespace %q: the namespace's labels do not match %q; see kubectl label namespace %s",
			p.Kind, p.Object.GetName(), namespace, selector, namespace)
	}
	return nil
}
