// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

func TestAPassUnderWayEndsBeforeTheManagerCutsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		took, err := passAtStop(ctx, stop, passGrace/2)
		if err != nil || took != passGrace/2 {
			t.Errorf("a pass of %v was ended after %v: %v", passGrace/2, took, err)
		}
	})
}

func TestAPassThatHangsIsCutSoonAfterTheManagersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		took, err := passAtStop(ctx, stop, time.Hour)
		if !errors.Is(err, context.Canceled) || took != passGrace {
			t.Errorf("a pass that hangs was ended after %v with %v, want %v and a cancelled context", took, err, passGrace)
		}
	})
}

// passAtStop stops the manager at the beginning of a pass that would take so long.
func passAtStop(ctx context.Context, stop func(), length time.Duration) (time.Duration, error) {
	began := time.Now()
	pass := reconcile.Func(func(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
		stop()
		select {
		case <-time.After(length):
			return ctrl.Result{}, ctx.Err()
		case <-ctx.Done():
			return ctrl.Result{}, ctx.Err()
		}
	})
	_, err := unhurried{pass}.Reconcile(ctx, ctrl.Request{})
	return time.Since(began), err
}

func TestDrainWaitsUntilAttachedCommandsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attached := newAttachedCalls()
		drain := &Drain{}
		drain.attached.Store(attached)
		exec := &v1alpha1.SandboxExec{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "run", UID: "1"}}
		attached.reserve()
		attached.run(exec, givenSecrets{}, func(ctx context.Context, call *attachedCall) {
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
				call.err = ctx.Err()
			}
		})
		if !attached.reserve() {
			t.Fatal("there is no room for a second call")
		}
		attached.release()
		drained := make(chan error, 1)
		go func() { drained <- drain.Wait(t.Context()) }()
		<-attached.events
		synctest.Wait()
		if call := attached.of(exec); call == nil || call.err != nil {
			t.Errorf("the command was cut: %+v", call)
		}
		if attached.reserve() {
			t.Error("another command would begin, and be waited for as well")
		}
		select {
		case err := <-drained:
			t.Errorf("the process would end before the command's end is recorded: %v", err)
		default:
		}
		attached.drop(types.NamespacedName{Namespace: "ns", Name: "run"})
		if err := <-drained; err != nil {
			t.Errorf("Wait: %v", err)
		}
	})
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attached := newAttachedCalls()
		drain := &Drain{}
		drain.attached.Store(attached)
		exec := &v1alpha1.SandboxExec{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "run", UID: "1"}}
		attached.reserve()
		attached.run(exec, givenSecrets{}, func(ctx context.Context, _ *attachedCall) { <-ctx.Done() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := drain.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("Wait ends after %v with %v, want a minute and the context's error", time.Since(began), err)
		}
		attached.drop(types.NamespacedName{Namespace: "ns", Name: "run"})
		<-attached.events
	})
}

func TestDrainWaitsForACommandThatIsAboutToBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attached := newAttachedCalls()
		attached.reserve()
		emptied := attached.drain()
		select {
		case <-emptied:
			t.Error("the command that is about to begin would be cut")
		default:
		}
		attached.release()
		<-emptied
	})
}

func TestDrainOfAManagerThatDoesNotLeadIsOver(t *testing.T) {
	drain := &Drain{}
	drain.attached.Store(newAttachedCalls())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := drain.Wait(ctx); err != nil {
		t.Errorf("Wait with nothing that runs: %v", err)
	}
	if err := (&Drain{}).Wait(ctx); err != nil {
		t.Errorf("Wait of a manager that was never set up: %v", err)
	}
}
