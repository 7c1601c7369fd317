// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/internal/controller"
)

// untilDrained ends later than the context that says that the process was asked to end: when no command runs any more that would
// die with it, or after so long.
func untilDrained(asked context.Context, drain *controller.Drain, atMost time.Duration) context.Context {
	ending, end := context.WithCancel(context.WithoutCancel(asked))
	context.AfterFunc(asked, func() {
		defer end()
		waiting, cancel := context.WithTimeout(context.WithoutCancel(asked), atMost)
		defer cancel()
		if err := drain.Wait(waiting); err != nil {
			ctrl.Log.Info("Commands that run within a call of the operator are cut", "drainTimeout", atMost.String())
		}
	})
	return ending
}

// endAtOnce has the process end as soon as it is asked to, until the function that it returns is called: before it has begun there is
// nothing to wait for, but the answer of an API server that may never give one. The function says whether it was not asked so far.
func endAtOnce(asked context.Context) (begin func() bool) {
	return context.AfterFunc(asked, func() {
		ctrl.Log.Info("Asked to end before it had begun")
		os.Exit(0)
	})
}

// unlessCut is the error with which a manager ended, or nil where the process was asked to end before it worked on anything: then it
// mostly says no more than that caches could not be filled.
func unlessCut(asked context.Context, mgr ctrl.Manager, err error) error {
	if err == nil || asked.Err() == nil {
		return err
	}
	select {
	case <-mgr.Elected():
		return err
	default:
		ctrl.Log.Error(err, "Asked to end before it had begun")
		return nil
	}
}
