// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/inventory"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// Providers are watched, and keep a finalizer while sandboxes of theirs need them.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxproviders;clustersandboxproviders,verbs=get;list;watch;patch
// What an account has, and whether it works, stands in the status.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxproviders/status;clustersandboxproviders/status,verbs=patch

// providerReconciler proves each provider with a real call each period, and compares what its account has with what it should
// have.
type providerReconciler struct {
	*shared
	// empty makes an empty object of the kind that is reconciled.
	empty func() client.Object
	// memories are what inventory remembers of each provider.
	memories *memories
	// renewed are ends that were moved, or should have been.
	renewed *renewed
	// looks are Sandboxes of other instances that were asked to look at their remotes.
	looks *looks
}

// providerPass carries what one pass over one provider needs.
type providerPass struct {
	*providerReconciler
	// provider is a copy that the pass may change; before is how it was read.
	provider provider.Provider
	before   client.Object
	// door leads to the account; nil = it can't be opened. The rest is set by sync.
	door      *provider.Door
	snapshot  inventory.Snapshot
	sandboxes map[string]*v1alpha1.Sandbox
	verdict   *inventory.Verdict
	// due are the leases that are to be renewed, and leasesDue how many of them were not yet.
	due       []dueLease
	leasesDue int
}

func (s *shared) setupProviders(mgr ctrl.Manager) error {
	kinds := map[string]func() client.Object{"sandboxprovider": func() client.Object { return &v1alpha1.SandboxProvider{} }}
	if !s.options.Namespaced {
		kinds["clustersandboxprovider"] = func() client.Object { return &v1alpha1.ClusterSandboxProvider{} }
	}
	for name, empty := range kinds {
		if s.options.Shard.Follows {
			if err := s.setupFollower(mgr, name, empty); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		r := &providerReconciler{shared: s, empty: empty, memories: newMemories(), renewed: newRenewed(), looks: newLooks()}
		changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, deletionStarted(),
			annotationChanged(v1alpha1.DestroyOrphanAnnotation), annotationChanged(v1alpha1.AcceptLossesAnnotation),
			annotationChanged(v1alpha1.AbandonAnnotation))
		gone := handler.EnqueueRequestsFromMapFunc(r.providerOf)
		controllers := ctrl.NewControllerManagedBy(mgr)
		if others := s.options.Shard.Others; others != nil {
			controllers.WatchesRawSource(source.Kind[client.Object](others, &v1alpha1.Sandbox{}, gone, onlyDeletes()))
		}
		err := controllers.
			Named(name).
			For(empty(), builder.WithPredicates(changed)).
			Watches(&v1alpha1.Sandbox{}, gone, builder.WithPredicates(onlyDeletes())).
			WithOptions(s.providerOptions()).
			Complete(unhurried{r})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s *shared) providerOptions() controller.Options {
	options := s.controllerOptions()
	options.MaxConcurrentReconciles = min(options.MaxConcurrentReconciles, 8)
	return options
}

// Reconcile makes one pass over one provider.
func (r *providerReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	before := r.empty()
	if err := r.client.Get(ctx, request.NamespacedName, before); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.Namespace, request.Name)
			r.watches.prune(r.doors.HasAccount)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	object, _ := before.DeepCopyObject().(client.Object)
	metrics.NoteProvider(named(object))
	p := &providerPass{providerReconciler: r, provider: provider.Of(object), before: before}
	return pass(p.do(ctx))
}

// do sees whether a provider that is being deleted may go; else it looks at the account, says what it found, and does what
// follows from that.
func (p *providerPass) do(ctx context.Context) (ctrl.Result, error) {
	if p.leaving() {
		if gone, err := p.release(ctx); gone || err != nil {
			return ctrl.Result{}, err
		}
	}
	syncErr := p.sync(ctx)
	if err := p.conclude(ctx, syncErr); err != nil {
		return ctrl.Result{}, err
	}
	if p.leaving() {
		return ctrl.Result{RequeueAfter: releasePoll}, nil
	}
	if syncErr != nil {
		return retryProvider(syncErr)
	}
	return ctrl.Result{RequeueAfter: jittered(p.options.Period)}, nil
}

// conclude says what was found, and does what follows from that. Metrics hear of it however far that comes: where it is cut off at each
// pass, leases run out unrenewed, and somebody has to be told.
func (p *providerPass) conclude(ctx context.Context, syncErr error) error {
	defer p.figures.note(p)
	if err := p.record(ctx, syncErr); err != nil || p.verdict == nil {
		return err
	}
	return p.follow(ctx)
}

func (p *providerPass) leaving() bool { return !p.provider.Object.GetDeletionTimestamp().IsZero() }

// sync reads the credentials again, makes a real call with them, and compares.
func (p *providerPass) sync(ctx context.Context) error {
	door, openErr := p.doors.Reopen(ctx, p.provider)
	if _, ok := provider.IsSetup(openErr); ok {
		// What exists is still looked after, as long as there is a way to it.
		door, _ = p.doors.OpenExisting(ctx, p.provider)
	}
	if door == nil {
		return openErr
	}
	p.door = door
	p.watches.prune(p.doors.HasAccount)
	p.watches.keep(door, p.options.Installation) //nolint:contextcheck // a watch outlives the pass that begins it
	if err := p.judge(ctx); err != nil && openErr == nil {
		return err
	}
	return openErr
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

// providerOf maps a Sandbox that is gone to the provider that may be waiting for that.
func (r *providerReconciler) providerOf(ctx context.Context, object client.Object) []reconcile.Request {
	sandbox, ok := object.(*v1alpha1.Sandbox)
	if !ok {
		return nil
	}
	identity, kind := providerIdentity(sandbox), provider.Of(r.empty()).Kind
	if identity == nil || identity.Kind != kind {
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

// providerIdentity is that of the provider which has, or may have, a remote of the Sandbox; nil = none has.
func providerIdentity(sandbox *v1alpha1.Sandbox) *v1alpha1.ProviderIdentity {
	if sandbox.Status.Provider != nil {
		return sandbox.Status.Provider
	}
	if j := readJournal(sandbox); j != nil {
		return &j.Provider
	}
	return nil
}

func onlyDeletes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(updateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// memories keep what inventory remembers of each provider, as long as it leads to the same account.
type memories struct {
	mutex sync.Mutex
	all   map[types.UID]*memory
}

type memory struct {
	account string
	inventory.Memory
}

func newMemories() *memories { return &memories{all: map[types.UID]*memory{}} }

// of returns the memory of a provider, of which one pass is made at a time.
func (m *memories) of(uid types.UID, account string) *inventory.Memory {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if kept := m.all[uid]; kept == nil || kept.account != account {
		m.all[uid] = &memory{account: account}
	}
	return &m.all[uid].Memory
}

func (m *memories) forget(uid types.UID) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.all, uid)
}
