// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// follower is what an instance has that does not own the providers: it reads their credentials again each period, and takes from
// their status what their owner found out about the account.
type follower struct {
	*shared
	// empty makes an empty object of the kind that is reconciled.
	empty func() client.Object
}

func (s *shared) setupFollower(mgr ctrl.Manager, name string, empty func() client.Object) error {
	r := &follower{shared: s, empty: empty}
	changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, readyChanged())
	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		For(empty(), builder.WithPredicates(changed)).
		WithOptions(s.providerOptions()).
		Complete(unhurried{r})
}

// Reconcile looks at one provider.
func (r *follower) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := r.empty()
	if err := r.client.Get(ctx, request.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			for _, uid := range r.doors.ForgetName(provider.Of(object).Kind, request.Namespace, request.Name) {
				r.places.forgetProvider(uid)
			}
			metrics.ForgetProvider(metrics.Provider{Namespace: request.Namespace, Name: request.Name})
			r.watches.prune(r.doors.HasAccount)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	metrics.NoteProvider(named(object))
	p := provider.Of(object)
	door, err := r.doors.Reopen(ctx, p)
	if err == nil {
		// What the owner hears of this instance's Sandboxes, it says once a period: what is being made is heard of here.
		r.watches.prune(r.doors.HasAccount)
		r.watches.keep(door, r.options.Installation) //nolint:contextcheck // a watch outlives the pass that begins it
		err = r.heed(ctx, p, door)
	}
	if err != nil {
		return retryProvider(err)
	}
	return ctrl.Result{RequeueAfter: jittered(r.options.Period)}, nil
}

// heed believes what the provider's owner says of the account: that it may be another, or that it has what it should. The latter
// only where it speaks of the account that this door leads to, and spoke lately.
func (r *follower) heed(ctx context.Context, p provider.Provider, door *provider.Door) error {
	switch saysOf(p, door.Verified(), r.clock.Now(), r.options.Period) {
	case accountChanged:
		door.Distrust()
	case accountVerified:
		same, err := r.doors.IsCopied(ctx, p, door)
		if err != nil {
			return err
		}
		if same {
			door.Verify()
		}
	case accountUnknown:
	}
	return nil
}

// accountWord is what a provider's status says of its account.
type accountWord string

const (
	accountUnknown  accountWord = "unknown"
	accountChanged  accountWord = "changed"
	accountVerified accountWord = "verified"
)

// saysOf reads what the owner found. Its last word holds for who has heard it before; for who has not, it must not be old: an
// owner that is gone has seen nothing.
func saysOf(p provider.Provider, heard bool, now time.Time, period time.Duration) accountWord {
	status := p.Status
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return accountUnknown
	}
	if ready.Reason == v1alpha1.ReasonAccountChanged {
		return accountChanged
	}
	listed := status.LastSyncTime != nil && (heard || now.Sub(status.LastSyncTime.Time) < 2*syncRounding+2*period)
	answers := ready.Status == conditionTrue || ready.Reason == v1alpha1.ReasonInUse
	if listed && answers && ready.ObservedGeneration == p.Object.GetGeneration() {
		return accountVerified
	}
	return accountUnknown
}

// readyChanged lets a provider's update through when its owner says something else of it.
func readyChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e updateEvent) bool {
			before := meta.FindStatusCondition(provider.Of(e.ObjectOld).Status.Conditions, v1alpha1.ConditionReady)
			after := meta.FindStatusCondition(provider.Of(e.ObjectNew).Status.Conditions, v1alpha1.ConditionReady)
			return before == nil || after == nil || before.Status != after.Status || before.Reason != after.Reason ||
				before.ObservedGeneration != after.ObservedGeneration
		},
	}
}
