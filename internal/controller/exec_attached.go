// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// mostAttached bounds the calls that last as long as their command, over all accounts.
const mostAttached = 64

// attachedCalls are the runs that last as long as one call: code of a provider's own interpreter, and commands in sandboxes
// that have no shell. They end with this process, which is why a run whose journal says that it is attached, and which is
// not here, has an outcome that nobody knows.
type attachedCalls struct {
	mutex sync.Mutex
	calls map[types.NamespacedName]*attachedCall
	// reserved is how many will begin in a moment.
	reserved int
	events   chan event.GenericEvent
	group    sync.WaitGroup
	// stopped is closed with the manager's end: nobody receives events any more.
	stopped chan struct{}
	// emptied is closed when the last call is dropped; nil = nobody waits for it.
	emptied   chan struct{}
	isEmptied bool
}

// attachedCall is one of them. What follows done may be read once that is closed.
type attachedCall struct {
	uid     types.UID
	cancel  context.CancelFunc
	done    chan struct{}
	end     *execution.End
	rich    []backends.RichResult
	err     error
	secrets givenSecrets
}

func newAttachedCalls() *attachedCalls {
	return &attachedCalls{
		calls: map[types.NamespacedName]*attachedCall{}, events: make(chan event.GenericEvent, mostAttached), stopped: make(chan struct{}),
	}
}

// Start waits for the end of the manager, and then ends all calls. It implements manager.Runnable.
func (a *attachedCalls) Start(ctx context.Context) error {
	<-ctx.Done()
	a.mutex.Lock()
	close(a.stopped)
	for _, call := range a.calls {
		call.cancel()
	}
	a.mutex.Unlock()
	a.group.Wait()
	return nil
}

func (a *attachedCalls) source() source.Source {
	return source.Channel(a.events, &handler.EnqueueRequestForObject{})
}

// reserve says that another call may begin; none may once the manager is to end. It ends with run or release.
func (a *attachedCalls) reserve() bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.emptied != nil || len(a.calls)+a.reserved >= mostAttached {
		return false
	}
	a.reserved++
	return true
}

// release gives back what reserve gave.
func (a *attachedCalls) release() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.reserved--
	a.closeIfEmpty()
}

// drain lets no further call begin, and returns what is closed when those there are have ended and stand in the status.
func (a *attachedCalls) drain() <-chan struct{} {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.emptied == nil {
		a.emptied = make(chan struct{})
		a.closeIfEmpty()
	}
	return a.emptied
}

func (a *attachedCalls) closeIfEmpty() {
	if a.emptied != nil && !a.isEmptied && len(a.calls)+a.reserved == 0 {
		a.isEmptied = true
		close(a.emptied)
	}
}

// run makes the reserved call in a goroutine of its own, and wakes the run when it is over.
func (a *attachedCalls) run(exec *v1alpha1.SandboxExec, secrets givenSecrets, do func(context.Context, *attachedCall)) {
	key := types.NamespacedName{Namespace: exec.Namespace, Name: exec.Name}
	ctx, cancel := context.WithCancel(context.Background())
	call := &attachedCall{uid: exec.UID, cancel: cancel, done: make(chan struct{}), secrets: secrets}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	select {
	case <-a.stopped:
		cancel()
	default:
	}
	a.reserved--
	a.calls[key] = call
	a.group.Go(func() {
		defer cancel()
		do(ctx, call)
		close(call.done)
		select {
		case a.events <- event.GenericEvent{Object: exec}:
		case <-a.stopped:
		}
	})
}

// of returns the call of a run, or nil.
func (a *attachedCalls) of(exec *v1alpha1.SandboxExec) *attachedCall {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	call := a.calls[types.NamespacedName{Namespace: exec.Namespace, Name: exec.Name}]
	if call == nil || call.uid != exec.UID {
		return nil
	}
	return call
}

// drop ends the call of that name, if there is one, and forgets it.
func (a *attachedCalls) drop(key types.NamespacedName) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if call := a.calls[key]; call != nil {
		call.cancel()
		delete(a.calls, key)
		a.closeIfEmpty()
	}
}

// isNative says that the provider's own interpreter runs the code.
func isNative(exec *v1alpha1.SandboxExec) bool {
	return exec.Spec.Code != nil && exec.Spec.Code.Engine == v1alpha1.EngineNative
}

// isAttached says that the journal has the run in one call.
func isAttached(exec *v1alpha1.SandboxExec) bool {
	started := meta.FindStatusCondition(exec.Status.Conditions, v1alpha1.ConditionStarted)
	return started != nil && started.Status == conditionTrue && started.Reason == v1alpha1.ReasonAttached
}

// startWithin writes the journal of a run that lasts as long as one call, and makes the call.
func (p *execPass) startWithin(ctx context.Context, door *provider.Door, program execution.Program, refs *references) (ctrl.Result, error) {
	if !p.attached.reserve() {
		return ctrl.Result{RequeueAfter: jittered(provider.BusyDelay)}, nil
	}
	secrets, err := p.recordAttached(ctx, refs)
	if err != nil {
		p.attached.release()
		return ctrl.Result{}, err
	}
	remote, run := door.Remote(p.exec.Status.SandboxID).Attached(), p.run(door)
	//nolint:contextcheck // the call outlives this pass; the manager's end ends it
	p.attached.run(p.exec.DeepCopy(), secrets, func(ctx context.Context, call *attachedCall) {
		call.end, call.rich, call.err = execution.Attach(execution.WithName(ctx, run.Name), remote, program, run.Stdout, run.Stderr)
	})
	return ctrl.Result{}, nil
}

// recordAttached writes the journal of such a run, and returns the Secrets that it is given.
func (p *execPass) recordAttached(ctx context.Context, refs *references) (givenSecrets, error) {
	secrets, err := p.secrets(ctx, refs)
	if err != nil {
		return givenSecrets{}, err
	}
	p.setEnd(v1alpha1.ConditionStarted, v1alpha1.ReasonAttached, "The command runs within a call of the operator")
	p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonRunning, "The command was started")
	return secrets, p.record(ctx)
}

// take records the end of the call within which the command ran.
func (p *execPass) take(ctx context.Context) (ctrl.Result, error) {
	call := p.attached.of(p.exec)
	if call == nil {
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonOperatorRestarted,
			message: "The operator ended while the command ran within a call of it, so that its end can't be known"})
	}
	cancelled := p.exec.Spec.DesiredState == v1alpha1.ExecCancelled
	select {
	case <-call.done:
	default:
		if cancelled || !p.facts().sameSandbox {
			call.cancel()
		}
		return ctrl.Result{}, nil
	}
	result, err := p.endOfCall(ctx, call, cancelled)
	if err == nil && (p.exec.Status.Outcome != "" || p.exec.Status.StartTime == nil) {
		p.attached.drop(types.NamespacedName{Namespace: p.exec.Namespace, Name: p.exec.Name})
	}
	return result, err
}

func (p *execPass) endOfCall(ctx context.Context, call *attachedCall, cancelled bool) (ctrl.Result, error) {
	switch {
	case call.err == nil:
		door, err := p.doorTo(ctx, p.exec.Status.Provider)
		if err != nil {
			return retryLater(err)
		}
		p.remote = door.Remote(p.exec.Status.SandboxID)
		e := endingOf(call.end, p.timeout())
		e.redaction, e.rich = call.secrets.redaction(), call.rich
		return p.endWithOutputs(ctx, nil, e)
	case errors.Is(call.err, execution.ErrNotStarted):
		e := ending{outcome: v1alpha1.OutcomeStartFailed, reason: string(backends.CodeOf(call.err)),
			message: "The command was not run: " + call.err.Error(), redaction: call.secrets.redaction()}
		return p.endUnstarted(ctx, e)
	case cancelled:
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonCancelRequested,
			message: "The call within which the command ran was ended; without a shell in the sandbox nothing can be killed " +
				"there, so that it may go on until the sandbox ends"})
	case !p.facts().sameSandbox:
		return p.sandboxLost(ctx)
	default:
		return p.endUnstarted(ctx, ending{outcome: v1alpha1.OutcomeUnknown, reason: v1alpha1.ReasonCallFailed,
			message:   fmt.Sprintf("The call within which the command ran failed, so that its end can't be known: %v", call.err),
			redaction: call.secrets.redaction()})
	}
}
