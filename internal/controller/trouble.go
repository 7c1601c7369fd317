// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// operationCreate is the operation of errors of creations.
const operationCreate = "create"

const conditionTrue = metav1.ConditionTrue

// trouble is what an error means for an object: what stands in its conditions, and whether it is tried again.
type trouble struct {
	reason, message string
	// final says that trying again is of no use until somebody changes something.
	final bool
}

// specError is what the user must change in the spec: nothing is tried until then.
type specError struct{ reason, message string }

func (e *specError) Error() string { return e.message }

func specErrorf(reason, format string, args ...any) *specError {
	return &specError{reason: reason, message: fmt.Sprintf(format, args...)}
}

// troubleOf makes an error into a trouble; ok is false for errors of the API server and of this program, which stand in no
// condition.
func troubleOf(err error) (t trouble, ok bool) {
	var reference *referenceError
	var path *fs.PathError
	var spec *specError
	switch setup, isSetup := provider.IsSetup(err); {
	case isSetup:
		return trouble{reason: setup.Reason, message: setup.Message}, true
	case errors.As(err, &spec):
		return trouble{reason: spec.reason, message: spec.message, final: true}, true
	case errors.As(err, &reference):
		return trouble{reason: v1alpha1.ReasonReferenceNotFound, message: err.Error()}, true
	case errors.As(err, &path):
		return trouble{reason: v1alpha1.ReasonFileFailed, message: err.Error()}, true
	}
	var e *backends.Error
	if !errors.As(err, &e) {
		return trouble{}, false
	}
	t = trouble{reason: string(e.Code), message: err.Error()}
	switch e.Code {
	case backends.Invalid, backends.Unsupported:
		t.final = true
	case backends.Ambiguous, backends.AlreadyExists:
		t.reason = v1alpha1.ReasonUnavailable
		if e.Operation == operationCreate {
			t.reason = v1alpha1.ReasonSearching
		}
	case backends.NotFound:
		t.reason = v1alpha1.ReasonRemoteGone
	case backends.NotRunning:
		t.reason = v1alpha1.ReasonUnavailable
	}
	return t, true
}

// certainlyNoEffect says that a create call that failed so has made nothing.
func certainlyNoEffect(err error) bool {
	if errors.Is(err, provider.ErrBusy) {
		return true
	}
	switch backends.CodeOf(err) {
	case backends.Ambiguous, backends.AlreadyExists:
		return false
	default:
		return true
	}
}

// retryLater has the object come again: after the delay that the provider asked for, soon where an account was busy, on the
// setup poll where somebody must mend something, and with growing delays otherwise.
func retryLater(err error) (ctrl.Result, error) {
	if errors.Is(err, provider.ErrBusy) {
		return ctrl.Result{RequeueAfter: jittered(provider.BusyDelay)}, nil
	}
	if delay := backends.RetryAfter(err); delay > 0 {
		return ctrl.Result{RequeueAfter: jittered(delay)}, nil
	}
	if asRetry(err) == nil {
		return ctrl.Result{RequeueAfter: jittered(setupPoll)}, nil
	}
	return ctrl.Result{}, err
}

// insist repeats, for a while, what no later pass would do, because the object that it is done for is gone.
func insist(ctx context.Context, do func() error) error {
	backoff := wait.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 10 * time.Second}
	var last error
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(context.Context) (bool, error) {
		last = do()
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(last, err)
	}
	return nil
}

// asRetry is nil for errors that wait for somebody, and that growing delays don't help.
func asRetry(err error) error {
	var reference *referenceError
	if _, ok := provider.IsSetup(err); ok || errors.As(err, &reference) {
		return nil
	}
	return err
}

// isPassing says that an error is over soon by itself, so that it is waited for without a word.
func isPassing(err error) bool {
	return errors.Is(err, provider.ErrBusy) || errors.Is(err, provider.ErrListing)
}

// jittered adds up to half, so that what waits together does not come back together.
func jittered(d time.Duration) time.Duration {
	return d + rand.N(d/2+1) //nolint:gosec // a delay is no secret
}

// blocked records why the Sandbox is not Ready, and has it tried again where that is of use.
func (p *sandboxPass) blocked(ctx context.Context, err error) (ctrl.Result, error) {
	if isPassing(err) {
		return retryLater(err)
	}
	if noPlace, ok := errors.AsType[*placeError](err); ok {
		p.setProgress(v1alpha1.ConditionReconciling, v1alpha1.ReasonLimitReached, noPlace.Error())
		return ctrl.Result{RequeueAfter: jittered(placePoll)}, p.record(ctx)
	}
	t, ok := troubleOf(err)
	if !ok {
		return ctrl.Result{}, err
	}
	progress := v1alpha1.ConditionReconciling
	if t.final {
		progress = v1alpha1.ConditionStalled
	}
	p.setProgress(progress, t.reason, t.message)
	if recordErr := p.record(ctx); recordErr != nil || t.final {
		return ctrl.Result{}, recordErr
	}
	return retryLater(err)
}
