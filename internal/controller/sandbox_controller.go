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

// Each Sandbox is watched, and carries journal and finalizer.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes,verbs=get;list;watch;patch
// ID, endpoints and conditions stand in the status.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes/status,verbs=patch
// The Secret with a Sandbox's tokens blocks its deletion, which some clusters let only those ask for who may do this.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes/finalizers,verbs=update
// Values of env, files, stdin and code, and providers' credentials, are read by name when they are used: never listed, never watched.
// +kubebuilder:rbac:groups="",resources=secrets;configmaps,verbs=get
// Labels of namespaces decide where a ClusterSandboxProvider may be used; the UID of kube-system is the installation ID.
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// What people should know is said in events; repeated ones are counted.
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// sandboxReconciler keeps one remote for each Sandbox.
type sandboxReconciler struct {
	*shared
	// settled remembers attempts that certainly had no effect, so that the next one need not wait until they could show.
	settled *settled
	// refusals remember what is not worth another try.
	refusals *refusals
	// doubts remember remotes that were once seen to be gone: the second look decides where another is to be made.
	doubts *doubts
	// resumed remembers what was resumed just now, when a pause may still come through late.
	resumed *resumed
}

// sandboxPass carries what one pass over one Sandbox needs.
type sandboxPass struct {
	*sandboxReconciler
	// sandbox is a copy that the pass may change; before is how it was read.
	sandbox, before *v1alpha1.Sandbox
	journal         *journal
	// foreign says that the remote is another installation's.
	foreign bool
	now     time.Time
	// contested is how long a remote of an earlier attempt may still appear at the journal's provider, which then refuses a
	// second one of its name; another provider would not.
	contested time.Duration
	// observedState is what the status said of the remote when the pass began.
	observedState v1alpha1.SandboxState
	// life is the lifetime that holds for the Sandbox: its own, or the provider's default.
	life v1alpha1.SandboxLifetime
	// defaults are those of the provider at which the remote is made; set by open.
	defaults *v1alpha1.SandboxDefaults
	// needed says that a run uses the Sandbox, or waits for it.
	needed bool
	// begun lets the next creation begin. It is called once the journal stands.
	begun func()
}

func (s *shared) setupSandbox(mgr ctrl.Manager) error {
	r := &sandboxReconciler{shared: s, settled: newSettled(), refusals: newRefusals(), doubts: newDoubts(), resumed: newResumed()}
	// What this process wrote itself, status and journal, needs no pass.
	changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, deletionStarted(), finalizerLost(),
		annotationChanged(v1alpha1.AbandonAnnotation))
	waiting, usable := handler.EnqueueRequestsFromMapFunc(r.waitingFor), builder.WithPredicates(usabilityChanged())
	controllers := ctrl.NewControllerManagedBy(mgr)
	if !s.options.Namespaced {
		controllers.Watches(&v1alpha1.ClusterSandboxProvider{}, waiting, usable)
	}
	return controllers.
		Named("sandbox").
		For(&v1alpha1.Sandbox{}, builder.WithPredicates(changed)).
		Watches(&v1alpha1.SandboxProvider{}, waiting, usable).
		Watches(&v1alpha1.SandboxExec{}, handler.EnqueueRequestsFromMapFunc(r.usedBy), builder.WithPredicates(usageChanged())).
		Watches(&v1alpha1.SandboxExec{}, handler.EnqueueRequestsFromMapFunc(r.madeFor), builder.WithPredicates(onlyDeletes())).
		Watches(&v1alpha1.Sandbox{}, r.arrivals()).
		Watches(&v1alpha1.Sandbox{}, s.places.events()).
		WatchesRawSource(s.wakes.source()).
		WithOptions(s.controllerOptions()).
		Complete(unhurried{r})
}

// Reconcile makes one pass over one Sandbox.
func (r *sandboxReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	ctx = provider.InNamespace(ctx, request.Namespace)
	p, action, err := r.considerInTurn(ctx, request)
	if p == nil || err != nil {
		return pass(ctrl.Result{}, err)
	}
	defer p.begun()
	ctx, done := timed(ctx, "Sandbox")
	ctx, traced := traceSandbox(ctx, p.sandbox, action)
	result, err := pass(p.do(ctx, action))
	traced(err)
	done(string(action))
	if err != nil {
		return result, err
	}
	return p.comeBack(result), nil
}

// considerInTurn considers a creation once it may begin: again where it waited for that.
func (r *sandboxReconciler) considerInTurn(ctx context.Context, request ctrl.Request) (*sandboxPass, sandboxAction, error) {
	p, action, err := r.consider(ctx, request)
	if err != nil || action != sandboxCreate {
		return p, action, err
	}
	begun, waited, may := r.stagger.begin(ctx, request.Namespace)
	if !may {
		return nil, "", context.Cause(ctx)
	}
	if waited {
		if p, action, err = r.consider(ctx, request); err != nil || action != sandboxCreate {
			begun()
			return p, action, err
		}
	}
	p.begun = begun
	return p, action, nil
}

// consider reads the Sandbox and decides what is to be done. There is no pass where that is nothing.
func (r *sandboxReconciler) consider(ctx context.Context, request ctrl.Request) (*sandboxPass, sandboxAction, error) {
	var before v1alpha1.Sandbox
	if err := r.client.Get(ctx, request.NamespacedName, &before); err != nil {
		return nil, "", client.IgnoreNotFound(err)
	}
	p := &sandboxPass{
		sandboxReconciler: r, before: &before, sandbox: before.DeepCopy(), journal: readJournal(&before), now: r.clock.Now(),
		observedState: before.Status.State, begun: func() {},
	}
	if p.foreign = r.isForeign(&before); p.foreign {
		// What another installation began is for that one to find.
		p.journal = nil
	}
	if moved, err := p.followRun(ctx); moved || err != nil {
		return nil, "", err
	}
	if err := p.observe(ctx); err != nil {
		return nil, "", err
	}
	return p, decideSandbox(p.facts()), nil
}

// observe reads what is not on the object.
func (p *sandboxPass) observe(ctx context.Context) (err error) {
	p.life = p.lifetime(ctx, p.sandbox)
	if p.life.IdleTimeoutSeconds > 0 || p.sandbox.Status.State == v1alpha1.SandboxPaused {
		p.needed, err = p.inUse(ctx)
	}
	return err
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
		adopts:           p.sandbox.Spec.SandboxID != "",
		foreign:          p.foreign,
		finished:         status.FinishedAt != nil,
		lost:             isLost(p.sandbox),
		equipped:         isEquipped(p.sandbox) && isReachable(p.sandbox),
		resignAt:         resignAt(p.sandbox),
		suspect:          p.wakes.isSuspect(p.sandbox.UID),
		current:          status.ObservedGeneration == p.sandbox.Generation && p.expiresAt().Equal(timeOf(status.ExpiresAt)),
		expiresAt:        p.expiresAt(),
		idleAt:           p.idleAt(),
		deleteAt:         p.deleteAt(),
		recreateAt:       p.recreateAt(),
		pauseIdle:        p.life.OnIdle == v1alpha1.OnIdlePause,
		wantPaused:       p.sandbox.Spec.DesiredState == v1alpha1.DesiredPaused,
		pausedBy:         whoPaused(p.sandbox),
		needed:           p.needed,
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
	case sandboxRetain:
		return p.retain(ctx)
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
	case sandboxAdopt:
		return p.adopt(ctx)
	case sandboxRecreate:
		return p.recreate(ctx)
	case sandboxProbe:
		return p.probe(ctx)
	case sandboxDisown:
		return p.disown(ctx)
	case sandboxHold:
		return ctrl.Result{}, p.addFinalizer(ctx, p.sandbox, v1alpha1.SandboxFinalizer)
	case sandboxRecord:
		return ctrl.Result{}, p.record(ctx)
	case sandboxRest:
		return ctrl.Result{}, nil
	default:
		return p.doLive(ctx, action)
	}
}

// doLive does what a remote's life brings.
func (p *sandboxPass) doLive(ctx context.Context, action sandboxAction) (ctrl.Result, error) {
	switch action {
	case sandboxEquip:
		return p.equip(ctx)
	case sandboxConform:
		return p.conform(ctx)
	case sandboxPause:
		return p.pause(ctx, pausedByOwner)
	case sandboxPauseIdle:
		return p.pause(ctx, pausedByIdleness)
	case sandboxResume:
		return p.resume(ctx)
	case sandboxExpire:
		return p.expire(ctx)
	case sandboxEndIdle:
		return p.endIdle(ctx)
	case sandboxDelete:
		return p.deleteFinished(ctx)
	default:
		return ctrl.Result{}, nil
	}
}

// record writes the status where it changed. When the sandbox was last used rides on that.
func (p *sandboxPass) record(ctx context.Context) error {
	status := &p.sandbox.Status
	status.ObservedGeneration = observeGeneration(status.Conditions, p.sandbox.Generation)
	status.ExpiresAt = timeOrNil(p.expiresAt())
	changed := !equality.Semantic.DeepEqual(&p.before.Status, status)
	if changed && status.SandboxID != "" {
		status.LastActivityTime = timeOrNil(p.lastActivity())
	}
	was := &p.before.Status
	if err := writeStatus(ctx, p.client, &p.before, p.sandbox, changed); err != nil {
		return err
	}
	countReady(was, &p.sandbox.Status)
	tellMade(was, p.sandbox, p.clock.Now()) //nolint:contextcheck // its trace is the object's, not the pass's
	p.places.note(p.sandbox)
	return nil
}

// waitingFor maps a provider to the Sandboxes that may wait for it (those without a remote that ask for it by name, or for the
// default), and to those to which another lifetime of its defaults applies now.
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
		waits := sandbox.Status.SandboxID == "" && (ref == nil || (ref.Kind == p.Kind && ref.Name == object.GetName()))
		follows := sandbox.Spec.Lifetime == nil && sandbox.Status.Provider != nil && sandbox.Status.Provider.UID == string(object.GetUID())
		if waits || (follows && defaultLifetimeDiffers(p, sandbox)) {
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
