// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxproviders;clustersandboxproviders,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxproviders/status;clustersandboxproviders/status,verbs=patch
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxproviders/finalizers;clustersandboxproviders/finalizers,verbs=update

const (
	// releasePoll is how often a provider that is being deleted sees whether a Sandbox still needs it.
	releasePoll = 2 * time.Second
)

// providerReconciler proves each provider with a real call each period, and wakes the Sandboxes whose remotes changed.
type providerReconciler struct {
	*shared
	// empty makes an empty object of the kind that is reconciled.
	empty func() client.Object
}

// providerPass carries what one pass over one provider needs.
type providerPass struct {
	*providerReconciler
	// provider is a copy that the pass may change; before is how it was read.
	provider provider.Provider
	before   client.Object
	// backend is set by prove.
	backend backends.Registration
}

func (s *shared) setupProviders(mgr ctrl.Manager) error {
	for name, empty := range map[string]func() client.Object{
		"sandboxprovider":        func() client.Object { return &v1alpha1.SandboxProvider{} },
		"clustersandboxprovider": func() client.Object { return &v1alpha1.ClusterSandboxProvider{} },
	} {
		r := &providerReconciler{shared: s, empty: empty}
		options := s.controllerOptions()
		options.MaxConcurrentReconciles = min(options.MaxConcurrentReconciles, 8)
		changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, deletionStarted())
		err := ctrl.NewControllerManagedBy(mgr).
			Named(name).
			For(empty(), builder.WithPredicates(changed)).
			Watches(&v1alpha1.Sandbox{}, handler.EnqueueRequestsFromMapFunc(r.providerOf), builder.WithPredicates(onlyDeletes())).
			WithOptions(options).
			Complete(r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Reconcile makes one pass over one provider.
func (r *providerReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	before := r.empty()
	if err := r.client.Get(ctx, request.NamespacedName, before); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	object, _ := before.DeepCopyObject().(client.Object)
	p := &providerPass{providerReconciler: r, provider: provider.Of(object), before: before}
	if !object.GetDeletionTimestamp().IsZero() {
		return pass(p.release(ctx))
	}
	remotes, err := p.prove(ctx)
	if recordErr := p.record(ctx, err); recordErr != nil {
		return pass(ctrl.Result{}, recordErr)
	}
	if err != nil {
		return retryProvider(err)
	}
	return ctrl.Result{RequeueAfter: jittered(r.options.Period)}, p.wakeChanged(ctx, remotes)
}

// prove reads the credentials again and makes a real call with them.
func (p *providerPass) prove(ctx context.Context) ([]backends.Remote, error) {
	door, err := p.doors.Reopen(ctx, p.provider)
	if err != nil {
		return nil, err
	}
	p.backend = door.Registration()
	return door.List(ctx, backends.Filter{Installation: p.options.Installation})
}

// record writes the status where it changed.
func (p *providerPass) record(ctx context.Context, err error) error {
	status, generation := p.provider.Status, p.provider.Object.GetGeneration()
	switch t, ok := troubleOf(err); {
	case err == nil:
		setProgress(&status.Conditions, generation, v1alpha1.ConditionReady, v1alpha1.ReasonReady, "The provider answers")
		status.Capabilities = nil
		for _, capability := range p.backend.Capabilities {
			status.Capabilities = append(status.Capabilities, string(capability))
		}
	case !ok:
		// Of this program or the API server: it says nothing about the provider.
		return nil
	case t.final, t.reason == v1alpha1.ReasonUnknownBackend, t.reason == v1alpha1.ReasonInvalidParameters:
		setProgress(&status.Conditions, generation, v1alpha1.ConditionStalled, t.reason, t.message)
	default:
		setProgress(&status.Conditions, generation, v1alpha1.ConditionReconciling, t.reason, t.message)
	}
	return p.writeStatus(ctx)
}

func (p *providerPass) writeStatus(ctx context.Context) error {
	status := p.provider.Status
	status.ObservedGeneration = p.provider.Object.GetGeneration()
	if equality.Semantic.DeepEqual(provider.Of(p.before).Status, status) {
		return nil
	}
	if err := p.client.Status().Patch(ctx, p.provider.Object, locked(p.before)); err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

// retryProvider has a provider that can't be used tried again: a Secret that appears is seen within a few seconds.
func retryProvider(err error) (ctrl.Result, error) {
	if delay := backends.RetryAfter(err); delay > 0 {
		return ctrl.Result{RequeueAfter: jittered(delay)}, nil
	}
	if t, ok := troubleOf(err); ok && (t.final || asRetry(err) == nil) {
		return ctrl.Result{RequeueAfter: jittered(setupPoll)}, nil
	}
	return retryLater(err)
}

// wakeChanged wakes the Sandboxes whose remote is not in the list, or in another state there. The list only triggers: what
// is true, a Get says.
func (p *providerPass) wakeChanged(ctx context.Context, remotes []backends.Remote) error {
	states := make(map[string]backends.State, len(remotes))
	for i := range remotes {
		states[remotes[i].ID] = remotes[i].State
	}
	var sandboxes v1alpha1.SandboxList
	if err := p.client.List(ctx, &sandboxes, client.InNamespace(p.provider.Object.GetNamespace())); err != nil {
		return fmt.Errorf("listing sandboxes: %w", err)
	}
	for i := range sandboxes.Items {
		sandbox := &sandboxes.Items[i]
		status := &sandbox.Status
		if status.SandboxID == "" || status.State == v1alpha1.SandboxGone || status.Provider == nil ||
			status.Provider.UID != string(p.provider.Object.GetUID()) || sandbox.DeletionTimestamp != nil {
			continue
		}
		if states[status.SandboxID] != backends.State(status.State) {
			p.wakes.suspect(sandbox)
		}
	}
	return nil
}

// release lets a provider go that no Sandbox needs any more.
func (p *providerPass) release(ctx context.Context) (ctrl.Result, error) {
	object := p.provider.Object
	if !controllerutil.ContainsFinalizer(object, v1alpha1.InUseFinalizer) {
		p.doors.Forget(object.GetUID())
		return ctrl.Result{}, nil
	}
	used, err := p.used(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	if used {
		return ctrl.Result{RequeueAfter: releasePoll}, p.recordInUse(ctx)
	}
	p.doors.Forget(object.GetUID())
	return ctrl.Result{}, p.removeFinalizer(ctx, object, v1alpha1.InUseFinalizer)
}

// recordInUse says why the deletion waits.
func (p *providerPass) recordInUse(ctx context.Context) error {
	setProgress(&p.provider.Status.Conditions, p.provider.Object.GetGeneration(), v1alpha1.ConditionReconciling, v1alpha1.ReasonInUse,
		"The provider is kept until no Sandbox has, or may have, a remote of it; see kubectl get sbx --all-namespaces")
	return p.writeStatus(ctx)
}

// used says that a Sandbox has, or may have, a remote of the provider. It is read live: a cache may not have seen the
// journal that was written last.
func (p *providerPass) used(ctx context.Context) (bool, error) {
	uid := string(p.provider.Object.GetUID())
	var sandboxes v1alpha1.SandboxList
	if err := p.live.List(ctx, &sandboxes, client.InNamespace(p.provider.Object.GetNamespace())); err != nil {
		return false, fmt.Errorf("listing sandboxes: %w", err)
	}
	for i := range sandboxes.Items {
		sandbox := &sandboxes.Items[i]
		if !controllerutil.ContainsFinalizer(sandbox, v1alpha1.SandboxFinalizer) {
			continue
		}
		bound := sandbox.Status.Provider != nil && sandbox.Status.Provider.UID == uid
		if j := readJournal(sandbox); bound || (j != nil && j.Provider.UID == uid) {
			return true, nil
		}
	}
	return false, nil
}

// providerOf maps a Sandbox that is gone to the provider that may be waiting for that.
func (r *providerReconciler) providerOf(ctx context.Context, object client.Object) []reconcile.Request {
	sandbox, ok := object.(*v1alpha1.Sandbox)
	if !ok {
		return nil
	}
	identity := sandbox.Status.Provider
	if j := readJournal(sandbox); identity == nil && j != nil {
		identity = &j.Provider
	}
	if identity == nil || identity.Kind != provider.Of(r.empty()).Kind {
		return nil
	}
	key := types.NamespacedName{Name: identity.Name}
	if identity.Kind == v1alpha1.KindSandboxProvider {
		key.Namespace = sandbox.Namespace
	}
	p := r.empty()
	if err := r.client.Get(ctx, key, p); err != nil || p.GetDeletionTimestamp().IsZero() {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}

func onlyDeletes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(updateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
