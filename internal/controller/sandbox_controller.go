// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes/status,verbs=patch
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets;configmaps,verbs=get
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// sandboxReconciler keeps one remote for each Sandbox.
type sandboxReconciler struct {
	*shared
	// settled remembers attempts that certainly had no effect, so that the next one need not wait until they could show.
	settled *settled
	// refusals remember what is not worth another try.
	refusals *refusals
}

// sandboxPass carries what one pass over one Sandbox needs.
type sandboxPass struct {
	*sandboxReconciler
	// sandbox is a copy that the pass may change; before is how it was read.
	sandbox, before *v1alpha1.Sandbox
	journal         *journal
	now             time.Time
	// contested is how long a remote of an earlier attempt may still appear at the journal's provider, which then refuses a
	// second one of its name; another provider would not.
	contested time.Duration
}

func (s *shared) setupSandbox(mgr ctrl.Manager) error {
	r := &sandboxReconciler{shared: s, settled: newSettled(), refusals: newRefusals()}
	// What this process wrote itself, status and journal, needs no pass.
	changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, deletionStarted(), finalizerLost(),
		annotationChanged(v1alpha1.AbandonAnnotation))
	waiting, usable := handler.EnqueueRequestsFromMapFunc(r.waitingFor), builder.WithPredicates(usabilityChanged())
	return ctrl.NewControllerManagedBy(mgr).
		Named("sandbox").
		For(&v1alpha1.Sandbox{}, builder.WithPredicates(changed)).
		Watches(&v1alpha1.SandboxProvider{}, waiting, usable).
		Watches(&v1alpha1.ClusterSandboxProvider{}, waiting, usable).
		WatchesRawSource(s.wakes.source()).
		WithOptions(s.controllerOptions()).
		Complete(r)
}

// Reconcile makes one pass over one Sandbox.
func (r *sandboxReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var before v1alpha1.Sandbox
	if err := r.client.Get(ctx, request.NamespacedName, &before); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	p := &sandboxPass{
		sandboxReconciler: r, before: &before, sandbox: before.DeepCopy(), journal: readJournal(&before), now: r.clock.Now(),
	}
	return pass(p.do(ctx, decideSandbox(p.facts())))
}

// facts are read off the object alone.
func (p *sandboxPass) facts() sandboxFacts {
	status := &p.sandbox.Status
	f := sandboxFacts{
		now:              p.now,
		deletionDeadline: p.options.DeletionDeadline,
		held:             controllerutil.ContainsFinalizer(p.sandbox, v1alpha1.SandboxFinalizer),
		abandon:          p.sandbox.Annotations[v1alpha1.AbandonAnnotation] == "true",
		retain:           p.sandbox.Spec.DeletionPolicy == v1alpha1.DeletionPolicyRetain,
		journalOpen:      p.journal != nil && p.journal.Incarnation > status.Incarnation,
		bound:            status.SandboxID != "",
		state:            status.State,
		equipped:         isEquipped(p.sandbox),
		suspect:          p.wakes.isSuspect(p.sandbox.UID),
		current:          status.ObservedGeneration == p.sandbox.Generation,
	}
	if at := p.sandbox.DeletionTimestamp; at != nil {
		f.deletedAt = at.Time
	}
	return f
}

func (p *sandboxPass) do(ctx context.Context, action sandboxAction) (ctrl.Result, error) {
	switch action {
	case sandboxRelease:
		return p.release(ctx)
	case sandboxAbandon:
		return p.abandon(ctx)
	case sandboxDestroy:
		return p.destroy(ctx)
	case sandboxDestroyFound:
		return p.destroyFound(ctx)
	case sandboxFind:
		return p.find(ctx)
	case sandboxCreate:
		return p.create(ctx)
	case sandboxProbe:
		return p.probe(ctx)
	case sandboxEquip:
		return p.equip(ctx)
	case sandboxHold:
		return ctrl.Result{}, p.addFinalizer(ctx, p.sandbox, v1alpha1.SandboxFinalizer)
	case sandboxRecord:
		return ctrl.Result{}, p.record(ctx)
	default:
		return ctrl.Result{}, nil
	}
}

// record writes the status where it changed.
func (p *sandboxPass) record(ctx context.Context) error {
	p.sandbox.Status.ObservedGeneration = observeGeneration(p.sandbox.Status.Conditions, p.sandbox.Generation)
	return writeStatus(ctx, p.client, &p.before, p.sandbox, !equality.Semantic.DeepEqual(&p.before.Status, &p.sandbox.Status))
}

// waitingFor maps a provider to the Sandboxes that may wait for it: those without a remote that ask for it by name, or for
// the default.
func (r *sandboxReconciler) waitingFor(ctx context.Context, object client.Object) []reconcile.Request {
	p := provider.Of(object)
	var sandboxes v1alpha1.SandboxList
	if err := r.client.List(ctx, &sandboxes, client.InNamespace(object.GetNamespace())); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the sandboxes that may wait for a provider failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range sandboxes.Items {
		sandbox := &sandboxes.Items[i]
		ref := sandbox.Spec.ProviderRef
		if sandbox.Status.SandboxID == "" && (ref == nil || (ref.Kind == p.Kind && ref.Name == object.GetName())) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(sandbox)})
		}
	}
	return requests
}

// usabilityChanged lets a provider's event through when sandboxes that wait for it may go on now.
func usabilityChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e updateEvent) bool {
			before, after := provider.Of(e.ObjectOld), provider.Of(e.ObjectNew)
			return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
				!equality.Semantic.DeepEqual(e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()) ||
				meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionReady) !=
					meta.IsStatusConditionTrue(after.Status.Conditions, v1alpha1.ConditionReady)
		},
		DeleteFunc: func(deleteEvent) bool { return false },
	}
}

// annotationChanged lets updates through that change this annotation.
func annotationChanged(key string) predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e updateEvent) bool {
			return e.ObjectOld.GetAnnotations()[key] != e.ObjectNew.GetAnnotations()[key]
		},
	}
}

// finalizerLost lets the update through that takes our finalizer off an object which is to stay, as replacing a manifest does.
func finalizerLost() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e updateEvent) bool {
			return controllerutil.ContainsFinalizer(e.ObjectOld, v1alpha1.SandboxFinalizer) &&
				!controllerutil.ContainsFinalizer(e.ObjectNew, v1alpha1.SandboxFinalizer) && e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	}
}

// deletionStarted lets the update through that sets the deletion timestamp.
func deletionStarted() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e updateEvent) bool {
			return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	}
}
