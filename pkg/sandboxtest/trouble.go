// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxtest

import (
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
)

// Operation is a call of the operator to the provider.
type Operation string

// The operations that can be troubled.
const (
	Create  Operation = memory.OperationCreate
	Get     Operation = memory.OperationGet
	List    Operation = memory.OperationList
	Destroy Operation = memory.OperationDestroy
	Run     Operation = memory.OperationRunCommand
	Pause   Operation = memory.OperationPause
	Resume  Operation = memory.OperationResume
)

// Failure is how a provider fails. docs/troubleshooting.md says what the operator makes of each.
type Failure string

// The failures.
const (
	// Invalid: the provider does not take the request, now or ever. The Sandbox is Stalled.
	Invalid = Failure(backends.Invalid)
	// Unsupported: the provider can't do that. The Sandbox is Stalled.
	Unsupported = Failure(backends.Unsupported)
	// QuotaExceeded: the account is full. The Sandbox waits, and tries again.
	QuotaExceeded = Failure(backends.QuotaExceeded)
	// Unauthorized: the credentials are wrong. The Sandbox waits, and tries again.
	Unauthorized = Failure(backends.Unauthorized)
	// RateLimited: too many calls. The Sandbox waits.
	RateLimited = Failure(backends.RateLimited)
	// Unavailable: no answer, and certainly no effect. After some in a row no Sandbox of the provider is worked on for a while.
	Unavailable = Failure(backends.Unavailable)
	// Ambiguous: no answer, and maybe an effect. Use it with AfterEffect as well.
	Ambiguous = Failure(backends.Ambiguous)
)

// Trouble is what a provider does to calls.
type Trouble struct {
	// Operation that it strikes; empty = any.
	Operation Operation
	// Namespace and Sandbox narrow it to Sandboxes of a namespace, or of a name; empty = all.
	Namespace, Sandbox string
	// Failure is how the call ends; empty = well, after Delay.
	Failure Failure
	// Message is what the provider says of the failure.
	Message string
	// Delay is how long the call takes.
	Delay time.Duration
	// AfterEffect has the call do its work before it fails.
	AfterEffect bool
	// Times is how often it strikes; 0 = until it is removed.
	Times int
}

// Trouble makes trouble from now on, until the function that it returns is called.
func (o *Operator) Trouble(trouble Trouble) (remove func()) {
	fault := memory.Fault{
		Operation: string(trouble.Operation), Times: trouble.Times, After: trouble.AfterEffect, Delay: trouble.Delay,
		If: func(call memory.Call) bool { return o.concerns(trouble, call) },
	}
	if trouble.Failure != "" {
		message := trouble.Message
		if message == "" {
			message = "the test wants " + string(trouble.Failure)
		}
		fault.Err = backends.Errorf(backends.Code(trouble.Failure), Backend, string(trouble.Operation), "%s", message)
	}
	return o.provider.Inject(fault)
}

// concerns says whether the call is one about a Sandbox that the trouble names.
func (o *Operator) concerns(trouble Trouble, call memory.Call) bool {
	if trouble.Namespace == "" && trouble.Sandbox == "" {
		return true
	}
	var mark backends.Mark
	if call.Request != nil {
		mark = call.Request.Mark
	} else if request, ok := o.provider.Request(call.ID); ok {
		mark = request.Mark
	}
	return (trouble.Namespace == "" || mark.Namespace == trouble.Namespace) && (trouble.Sandbox == "" || mark.Name == trouble.Sandbox)
}
