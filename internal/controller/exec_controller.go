// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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

// Each SandboxExec is watched, carries a finalizer while its command runs, and is deleted by its ttlSecondsAfterFinished.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxexecs,verbs=get;list;watch;patch;delete
// Journal and result stand in the status.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxexecs/status,verbs=patch
// What a SandboxExec owns (its sandbox, its outputs) blocks its deletion, which some clusters let only those ask for who may do this.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxexecs/finalizers,verbs=update
// One-shots make a Sandbox of their own, and delete it when they end.
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes,verbs=create;delete
// Outputs are stored in new ConfigMaps and Secrets; objects that exist are never changed.
// +kubebuilder:rbac:groups="",resources=secrets;configmaps,verbs=create

const (
	defaultTimeoutSeconds       = 300
	defaultStartDeadlineSeconds = 900
	// bySandbox indexes SandboxExecs by the name of their Sandbox.
	bySandbox = "sandbox"
)

// execReconciler runs each SandboxExec once.
type execReconciler struct {
	*shared
	// doubts remembers runs whose watching process was once seen dead: the second look decides.
	doubts *doubts
	// shows remembers when the progress of a run was last written.
	shows *shows
	// turns let the starts of a serial Sandbox go one at a time.
	turns *turns
	// spent remembers whose spools may be emptied.
	spent *spent
	// attached has the runs that last as long as one call.
	attached *attachedCalls
}

// execPass carries what one pass over one SandboxExec needs.
type execPass struct {
	*execReconciler
	// exec is a copy that the pass may change; before is how it was read.
	exec, before *v1alpha1.SandboxExec
	// sandbox is the Sandbox of the name that the spec says, or the one that was made for this attempt; nil = there is none.
	sandbox *v1alpha1.Sandbox
	// elsewhere says that another instance of the operator works on that Sandbox: nothing is started in it, and what was goes on.
	elsewhere bool
	// conflict says that one has the name of the latter, and is not ours.
	conflict bool
	// leftover was made for the attempt before; nil = there is none.
	leftover *v1alpha1.Sandbox
	// turn says that no earlier run holds this one up.
	turn bool
	// remote is the sandbox at its provider, once a door to it is open.
	remote provider.Remote
	now    time.Time
	// first says that this pass wrote the journal, so that nobody can have started the command before.
	first bool
}

func (s *shared) setupExec(ctx context.Context, mgr ctrl.Manager) error {
	r := &execReconciler{
		shared: s, doubts: newDoubts(), shows: newShows(), turns: newTurns(), spent: newSpent(), attached: newAttachedCalls(),
	}
	if s.options.Drain != nil {
		s.options.Drain.attached.Store(r.attached)
	}
	if err := mgr.Add(r.attached); err != nil {
		return fmt.Errorf("adding the attached calls: %w", err)
	}
	index := func(o client.Object) []string {
		exec, ok := o.(*v1alpha1.SandboxExec)
		if !ok || exec.Status.Outcome != "" {
			return nil
		}
		return []string{sandboxNameOf(exec, attemptOf(exec))}
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.SandboxExec{}, bySandbox, index); err != nil {
		return fmt.Errorf("indexing SandboxExecs by Sandbox: %w", err)
	}
	changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, deletionStarted())
	return ctrl.NewControllerManagedBy(mgr).
		Named("sandboxexec").
		For(&v1alpha1.SandboxExec{}, builder.WithPredicates(changed)).
		Watches(&v1alpha1.Sandbox{}, handler.EnqueueRequestsFromMapFunc(r.runsIn), builder.WithPredicates(remoteChanged())).
		Watches(&v1alpha1.SandboxExec{}, handler.EnqueueRequestsFromMapFunc(r.next), builder.WithPredicates(runOver())).
		WatchesRawSource(r.attached.source()).
		WithOptions(s.controllerOptions()).
		Complete(unhurried{r})
}

// Reconcile makes one pass over one SandboxExec.
func (r *execReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	ctx = provider.InNamespace(ctx, request.Namespace)
	var before v1alpha1.SandboxExec
	if err := r.client.Get(ctx, request.NamespacedName, &before); err != nil {
		if apierrors.IsNotFound(err) {
			r.attached.drop(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	p := &execPass{execReconciler: r, before: &before, exec: before.DeepCopy(), now: r.clock.Now()}
	if err := p.observeSandbox(ctx); err != nil {
		return pass(ctrl.Result{}, err)
	}
	action := decideExec(p.facts())
	ctx, done := timed(ctx, "SandboxExec")
	defer done(string(action))
	ctx, traced := traceExec(ctx, p.exec, action)
	result, err := pass(p.do(ctx, action))
	traced(err)
	return result, err
}

// observeSandbox reads the Sandbox of this attempt, and what may be left of the one before.
func (p *execPass) observeSandbox(ctx context.Context) error {
	attempt, oneShot := attemptOf(p.exec), p.exec.Spec.Sandbox != nil
	if p.exec.Status.Outcome != "" && !oneShot {
		return nil
	}
	if err := p.findSandbox(ctx); err != nil {
		return err
	}
	if oneShot && p.sandbox != nil && !metav1.IsControlledBy(p.sandbox, p.exec) {
		p.sandbox, p.conflict = nil, true
	}
	var err error
	if oneShot && attempt > 1 {
		if p.leftover, err = p.ownSandbox(ctx, attempt-1); err != nil {
			return err
		}
		if p.leftover != nil && p.leftover.DeletionTimestamp != nil {
			p.leftover = nil
		}
	}
	p.turn = true
	if p.exec.Status.StartTime == nil && p.exec.Status.Outcome == "" {
		p.turn, err = p.isItsTurn(ctx)
	}
	return err
}

func (p *execPass) facts() execFacts {
	status := &p.exec.Status
	f := execFacts{
		now:           p.now,
		deleting:      p.exec.DeletionTimestamp != nil,
		finished:      status.Outcome != "",
		current:       status.ObservedGeneration == p.exec.Generation,
		started:       status.StartTime != nil,
		seen:          controllerutil.ContainsFinalizer(p.exec, v1alpha1.ExecFinalizer),
		cancelled:     p.exec.Spec.DesiredState == v1alpha1.ExecCancelled,
		startDeadline: p.startDeadline(),
		attached:      isAttached(p.exec),
		oneShot:       p.exec.Spec.Sandbox != nil,
		leftover:      p.leftover != nil,
		conflict:      p.conflict,
		sandboxExists: p.sandbox != nil && (p.sandbox.DeletionTimestamp == nil || p.exec.Status.Outcome == ""),
		turn:          p.turn,
		compactAt:     p.compactAt(),
		sandboxReady:  p.sandboxReady(),
		sandboxFailed: p.sandboxFailed(),
		sameSandbox:   p.sameSandbox(),
	}
	if status.NextAttemptTime != nil {
		f.startAt = status.NextAttemptTime.Time
	}
	if ttl := p.exec.Spec.TTLSecondsAfterFinished; ttl != nil && status.CompletionTime != nil {
		f.expiresAt = status.CompletionTime.Add(time.Duration(*ttl) * time.Second)
	}
	return f
}

func (p *execPass) startDeadline() time.Time {
	seconds := int32(defaultStartDeadlineSeconds)
	if p.exec.Spec.StartDeadlineSeconds != nil {
		seconds = *p.exec.Spec.StartDeadlineSeconds
	}
	from := p.exec.CreationTimestamp
	if attempts := p.exec.Status.Attempts; p.exec.Status.NextAttemptTime != nil {
		from = *p.exec.Status.NextAttemptTime
	} else if len(attempts) > 0 && p.exec.Status.StartTime != nil {
		from = *p.exec.Status.StartTime
	}
	return from.Add(time.Duration(seconds) * time.Second)
}

func (p *execPass) sandboxReady() bool {
	return p.sandbox != nil && !p.elsewhere && p.sandbox.DeletionTimestamp == nil && p.sandbox.Status.State == v1alpha1.SandboxRunning &&
		!p.isForeign(p.sandbox) && meta.IsStatusConditionTrue(p.sandbox.Status.Conditions, v1alpha1.ConditionReady)
}

// sandboxFailed says that waiting is of no use. A Sandbox that is paused may be resumed.
func (p *execPass) sandboxFailed() bool {
	if p.sandbox == nil || p.elsewhere || p.sandbox.DeletionTimestamp != nil {
		return false
	}
	stalled := meta.FindStatusCondition(p.sandbox.Status.Conditions, v1alpha1.ConditionStalled)
	return stalled != nil && stalled.Status == conditionTrue && stalled.Reason != v1alpha1.ReasonRemotePaused
}

// sameSandbox says that the journal's identities still hold.
func (p *execPass) sameSandbox() bool {
	if p.sandbox == nil || p.sandbox.DeletionTimestamp != nil || p.isForeign(p.sandbox) {
		return false
	}
	is, was := &p.sandbox.Status, &p.exec.Status
	return string(p.sandbox.UID) == was.SandboxUID && is.SandboxID == was.SandboxID && is.Incarnation == was.Incarnation &&
		is.State != v1alpha1.SandboxGone && is.State != v1alpha1.SandboxStopped
}

// act is what does an action.
type act = func(*execPass, context.Context) (ctrl.Result, error)

// execActs are the actions that do something.
func execActs() map[execAction]act {
	return map[execAction]act{
		execRecord:        (*execPass).recordGeneration,
		execExpire:        (*execPass).expire,
		execLetGo:         (*execPass).letGo,
		execKill:          (*execPass).kill,
		execNeverStarted:  (*execPass).neverStarted,
		execGiveUp:        (*execPass).giveUp,
		execSandboxFailed: (*execPass).refuseSandbox,
		execWait:          (*execPass).wait,
		execStart:         (*execPass).start,
		execStartAgain:    (*execPass).startAgain,
		execPrevent:       (*execPass).prevent,
		execLook:          (*execPass).look,
		execCancel:        (*execPass).cancel,
		execSandboxLost:   (*execPass).sandboxLost,
		execDiscard:       (*execPass).discard,
		execBackOff:       (*execPass).backOff,
		execConflict:      (*execPass).nameTaken,
		execMake:          (*execPass).makeSandbox,
		execWaitForTurn:   (*execPass).waitForTurn,
		execTake:          (*execPass).take,
	}
}

func (p *execPass) do(ctx context.Context, action execAction) (ctrl.Result, error) {
	do, ok := execActs()[action]
	if !ok {
		return ctrl.Result{}, nil
	}
	return do(p, ctx)
}

// record writes the status where it changed.
func (p *execPass) record(ctx context.Context) error {
	if p.exec.Status.SandboxName == "" {
		// Whoever looks at a run that waits, or never starts, wants to know what for.
		p.exec.Status.SandboxName = sandboxNameOf(p.exec, attemptOf(p.exec))
	}
	p.exec.Status.ObservedGeneration = observeGeneration(p.exec.Status.Conditions, p.exec.Generation)
	was := &p.before.Status
	if err := writeStatus(ctx, p.client, &p.before, p.exec, !equality.Semantic.DeepEqual(was, &p.exec.Status)); err != nil {
		return err
	}
	countFinished(was, &p.exec.Status)
	tellFinished(was, p.exec, p.sandbox, p.clock.Now()) //nolint:contextcheck // its trace is the object's, not the pass's
	return nil
}

// recordGeneration notes that a finished run has seen a change of its spec: only its time to live can still matter.
func (p *execPass) recordGeneration(ctx context.Context) (ctrl.Result, error) {
	if err := p.record(ctx); err != nil {
		return ctrl.Result{}, err
	}
	return p.do(ctx, decideExec(p.facts()))
}

// runsIn maps a Sandbox to the runs in it that are not finished, and to the one that it was made for: a leader that was deposed
// may have made it when that was finished.
func (r *execReconciler) runsIn(ctx context.Context, sandbox client.Object) []reconcile.Request {
	var execs v1alpha1.SandboxExecList
	err := r.client.List(ctx, &execs, client.InNamespace(sandbox.GetNamespace()), client.MatchingFields{bySandbox: sandbox.GetName()})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the runs of a sandbox failed")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(execs.Items))
	for i := range execs.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&execs.Items[i])})
	}
	if owner := metav1.GetControllerOf(sandbox); owner != nil && owner.Kind == "SandboxExec" {
		key := types.NamespacedName{Namespace: sandbox.GetNamespace(), Name: owner.Name}
		if request := (reconcile.Request{NamespacedName: key}); !slices.Contains(requests, request) {
			requests = append(requests, request)
		}
	}
	return requests
}

// remoteChanged lets a Sandbox's event through when runs in it may start, or can't go on.
func remoteChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e updateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.Sandbox)
			after, okAfter := e.ObjectNew.(*v1alpha1.Sandbox)
			if !ok || !okAfter {
				return true
			}
			return before.Status.SandboxID != after.Status.SandboxID || before.Status.State != after.Status.State ||
				before.UID != after.UID || before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
				!equality.Semantic.DeepEqual(meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReady),
					meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady))
		},
	}
}

// doubts remembers since when the watching process of a run looks dead.
type doubts struct {
	mutex sync.Mutex
	since map[types.UID]time.Time
}

func newDoubts() *doubts { return &doubts{since: map[types.UID]time.Time{}} }

// confirmed says that this is not the first look that doubts, and that the first was long enough ago.
func (d *doubts) confirmed(uid types.UID, now time.Time, after time.Duration) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	since, ok := d.since[uid]
	if !ok {
		d.since[uid] = now
		return false
	}
	return now.Sub(since) >= after
}

func (d *doubts) clear(uid types.UID) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	delete(d.since, uid)
}

// doubtTime is how long after the first look that saw the watching process dead the second one is believed.
const doubtTime = time.Second
