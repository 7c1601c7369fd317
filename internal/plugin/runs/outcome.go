// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Outcome is the exit code of a run that ended, with what to say beside it; nil where it succeeded. The exit code of a command
// that failed by itself says all.
func Outcome(exec *v1alpha1.SandboxExec) error {
	status := &exec.Status
	message := fmt.Sprintf("the run ended as %s", status.Outcome)
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Message != "" {
		message = ready.Message
	}
	switch {
	case status.Outcome == v1alpha1.OutcomeSucceeded:
		return nil
	case status.Outcome == v1alpha1.OutcomeFailed && status.ExitCode != nil && *status.ExitCode != 0:
		return cli.Exit(int(*status.ExitCode))
	case status.Outcome == v1alpha1.OutcomeTimedOut:
		return &cli.Failure{Problem: message, Next: "--timeout allows more", Code: cli.CodeTimedOut}
	case status.Outcome == v1alpha1.OutcomeCancelled:
		return &cli.Failure{Problem: "cancelled: " + message, Code: cli.CodeCancelled}
	}
	failure := &cli.Failure{Problem: message, Code: cli.CodeFault}
	if found := inMessage.FindStringSubmatch(message); found != nil {
		failure.Next = remedies[found[1]].next
	} else if status.Reason == v1alpha1.ReasonInterpreterMissing {
		failure.Next = "choose an --image or --template that has it, or another --language"
	}
	return failure
}
