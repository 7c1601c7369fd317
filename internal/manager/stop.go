// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
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
