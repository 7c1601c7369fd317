// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"context"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// record notes a command that was started.
func (o *Operator) record(command Command) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.history = append(o.history, command)
}

// Commands returns the commands that were started and that match, in the order of their start. A command that was started twice, by a
// retry, stands there twice.
func (o *Operator) Commands(match Match) []Command {
	o.mutex.Lock()
	started := slices.Clone(o.history)
	o.mutex.Unlock()
	return slices.DeleteFunc(started, func(command Command) bool { return !match(&command) })
}

// execOf is the name of the SandboxExec of which a run of this name is; empty where it is gone.
func (o *Operator) execOf(ctx context.Context, namespace, run string) string {
	var execs v1alpha1.SandboxExecList
	if err := o.manager.GetCache().List(ctx, &execs, client.InNamespace(namespace)); err != nil {
		return ""
	}
	for _, exec := range execs.Items {
		// A retry is recorded before it starts, and may not be in the cache yet: the attempt says nothing.
		if strings.HasPrefix(run, string(exec.UID)+"-") {
			return exec.Name
		}
	}
	return ""
}
