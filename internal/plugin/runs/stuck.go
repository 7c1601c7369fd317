// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// remedy is what to do about a reason, and what is wrong where the condition's own message says too much.
type remedy struct {
	next, problem string
}

// remedies are those for what neither a run nor a Sandbox gets over by itself, by the reason in its Ready condition. Messages of
// the operator that say themselves what to do need none.
var remedies = map[string]remedy{
	v1alpha1.ReasonNoDefaultProvider: {
		problem: "no provider is named, and none is the default",
		next:    "name one with --provider, or make one the default: kubectl annotate csbxp NAME sandboxes.run/is-default-provider=true",
	},
	v1alpha1.ReasonSeveralDefaultProviders: {
		problem: "no provider is named, and more than one says that it is the default",
		next:    "name one with --provider, or leave one: kubectl annotate csbxp NAME sandboxes.run/is-default-provider-",
	},
	v1alpha1.ReasonProviderNotFound:    {next: "kubectl get csbxp,sbxp lists those that do"},
	v1alpha1.ReasonNamespaceNotAllowed: {next: "choose another provider with --provider, or another namespace with -n"},
	v1alpha1.ReasonUnknownBackend:      {},
	v1alpha1.ReasonCredentialsMissing:  {},
	v1alpha1.ReasonInvalidParameters:   {next: "kubectl edit csbxp NAME mends the provider"},
	v1alpha1.ReasonUnauthorized:        {next: "renew the key in the provider's Secret"},
	v1alpha1.ReasonReferenceNotFound:   {next: "create it in this namespace"},
	v1alpha1.ReasonUnsupported:         {next: "leave that out, or choose another provider with --provider"},
	v1alpha1.ReasonInvalid:             {},
}

// inMessage finds the reason of the Sandbox in what its run says of it.
var inMessage = regexp.MustCompile(`^Sandbox "[^"]*" is not Ready \((\w+)\): (.*)$`)

// stuckOn says what a run waits for that does not come by itself; nil where it waits for nothing, or for what comes.
func stuckOn(exec *v1alpha1.SandboxExec) *cli.Failure {
	ready := meta.FindStatusCondition(exec.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status == metav1.ConditionTrue {
		return nil
	}
	reason, message := ready.Reason, ready.Message
	if found := inMessage.FindStringSubmatch(message); found != nil {
		reason, message = found[1], found[2]
	}
	return StuckOn(reason, message)
}

// StuckOn says what to do about the reason and message of a Ready condition that is not True; nil where it comes by itself.
func StuckOn(reason, message string) *cli.Failure {
	remedy, ok := remedies[reason]
	if !ok {
		return nil
	}
	if remedy.problem != "" {
		message = remedy.problem
	}
	return cli.Fail(remedy.next, "%s", message)
}

// waits are the reasons of a run that has not started.
var waits = []string{
	v1alpha1.ReasonWaitingForSandbox, v1alpha1.ReasonWaitingForTurn, v1alpha1.ReasonWaitingForRetry, v1alpha1.ReasonOtherShard,
	v1alpha1.ReasonReferenceNotFound, v1alpha1.ReasonUnavailable, v1alpha1.ReasonRateLimited, v1alpha1.ReasonQuotaExceeded,
}

// waitsFor is the sentence that says what a run waits for; empty = for nothing.
func waitsFor(exec *v1alpha1.SandboxExec) string {
	ready := meta.FindStatusCondition(exec.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || !slices.Contains(waits, ready.Reason) {
		return ""
	}
	return ready.Message
}
