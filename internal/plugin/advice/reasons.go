// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package advice

import "github.com/sandbox-operator/sandbox-operator/api/v1alpha1"

// steps are what to do about each reason, and about each outcome of a run. {object} and {provider} are what kubectl calls what the
// reason was found on and its provider, {name} and {namespace} the object's.
var steps = map[string]string{
	// Any kind.
	v1alpha1.ReasonReady:               "nothing: it is as declared",
	v1alpha1.ReasonProviderNotFound:    "create the provider, or name another: kubectl sandbox providers -n {namespace} lists them",
	v1alpha1.ReasonNoDefaultProvider:   "make one the default: kubectl annotate {provider} " + v1alpha1.DefaultProviderAnnotation + "=true",
	v1alpha1.ReasonNamespaceNotAllowed: "label the namespace as the message wants, or use another provider: kubectl sandbox providers",
	v1alpha1.ReasonSeveralDefaultProviders: "leave one: kubectl annotate {provider} " + v1alpha1.DefaultProviderAnnotation +
		"- for all others",
	v1alpha1.ReasonUnknownBackend:     "the message has the known ones; start the manager with --backends, or create a provider of another",
	v1alpha1.ReasonCredentialsMissing: "run the kubectl create secret line of the message",
	v1alpha1.ReasonInvalidParameters:  "kubectl edit {provider}: the message names the parameters that there are",
	v1alpha1.ReasonUnauthorized:       "renew the key at the provider, and put it into the Secret; it is read again by itself",
	v1alpha1.ReasonUnavailable:        "nothing yet: it is tried again; if it lasts, see the message, and the provider's own status page",
	v1alpha1.ReasonRateLimited:        "nothing: the operator waits as long as the provider asked for",
	v1alpha1.ReasonQuotaExceeded:      "delete sandboxes (kubectl get sbx -A), or raise the quota at the provider; it is tried again",
	v1alpha1.ReasonUnsupported:        "kubectl delete {object}, and create it again without what the message names",
	v1alpha1.ReasonInvalid:            "kubectl delete {object}, and create it again as the message asks",
	v1alpha1.ReasonReferenceNotFound:  "create what the message names in namespace {namespace}; it goes on within half a minute",

	// Providers.
	v1alpha1.ReasonInUse: "delete its sandboxes: kubectl get sbx -A -o wide shows them",
	v1alpha1.ReasonAccountChanged: "put the right key into the Secret; or, if they are really gone: kubectl annotate {provider} " +
		v1alpha1.AcceptLossesAnnotation + "=true",

	// Sandboxes.
	v1alpha1.ReasonCreating: "wait: kubectl wait --for=condition=Ready sbx/{name} -n {namespace}",
	v1alpha1.ReasonOtherInstallation: "kubectl delete {object}, and create it again; where the other cluster is gone for good, start the " +
		"manager with its --installation-id",
	v1alpha1.ReasonWritingFiles:  "wait: its files are being written",
	v1alpha1.ReasonFilesWritten:  "nothing: all files are there",
	v1alpha1.ReasonFileFailed:    "kubectl delete {object}, and create it again with another path",
	v1alpha1.ReasonRemoteGone:    "kubectl delete {object}, and create it again; lifetime.onLoss: Recreate does that by itself",
	v1alpha1.ReasonRemoteStopped: "kubectl delete {object}, and create it again, perhaps with more resources.memory",
	v1alpha1.ReasonRemotePaused:  "resume it at the provider, or: kubectl sandbox pause {name} -n {namespace}, and then resume",
	v1alpha1.ReasonPaused:        "kubectl sandbox resume {name} -n {namespace} resumes it",
	v1alpha1.ReasonIdle:          "nothing: the next run resumes it",
	v1alpha1.ReasonPausing:       "wait: it is being paused",
	v1alpha1.ReasonResuming:      "wait: it is being resumed",
	v1alpha1.ReasonExpired:       "kubectl delete {object}, and create it again with a longer lifetime.timeoutSeconds",
	v1alpha1.ReasonIdleTimeout:   "kubectl delete {object}, and create it again; lifetime.onIdle: Pause keeps it",
	v1alpha1.ReasonRecreating:    "wait: another is being made in its place",
	v1alpha1.ReasonLifetimeOutOfBounds: "kubectl edit {object}: set lifetime.timeoutSeconds (of a " +
		"provider, leaseSeconds) within the bounds " +
		"of the message",
	v1alpha1.ReasonLimitReached: "wait for its turn, delete others (kubectl get sbx -A), or " +
		"raise limits.maxSandboxes: kubectl edit {provider}",
	v1alpha1.ReasonAdoptionForbidden: "an administrator can allow it: kubectl edit {provider}, adoption: Allowed",
	v1alpha1.ReasonAdoptionFailed:    "kubectl delete {object}, and create another with the right sandboxID",
	v1alpha1.ReasonEndpointFailed:    "see the message; kubectl edit {object} changes spec.ports",
	v1alpha1.ReasonParametersChanged: "kubectl edit {object}: set spec.parameters back; or create another",
	v1alpha1.ReasonSearching:         "wait: what an earlier attempt may have made is looked for",
	v1alpha1.ReasonDestroying:        "wait: the provider was asked to destroy it",
	v1alpha1.ReasonDestroyFailed: "mend what the message names; or give the remote up: kubectl annotate {object} " +
		v1alpha1.AbandonAnnotation + "=true (it may still cost money)",

	// Runs.
	v1alpha1.ReasonNeverStarted:          "nothing: it never ran, and never will; the reason of Ready says why",
	v1alpha1.ReasonWaitingForSandbox:     "see its sandbox: kubectl sandbox describe, with the name in the message",
	v1alpha1.ReasonOtherShard:            "set the label " + v1alpha1.ShardLabel + " as the message says",
	v1alpha1.ReasonStarting:              "wait: from here on it may have run",
	v1alpha1.ReasonRunning:               "wait; kubectl sandbox logs -f {name} -n {namespace} shows its output",
	v1alpha1.ReasonStartDeadlineExceeded: "mend what the message names, and create another run",
	v1alpha1.ReasonInterpreterMissing:    "use a sandbox whose image or template has that program",
	v1alpha1.ReasonWorkingDirMissing:     "make the directory first: kubectl sandbox mkdir -p SANDBOX:DIRECTORY",
	v1alpha1.ReasonSpoolUnavailable:      "use an image that has sh, or more resources.disk",
	v1alpha1.ReasonRunnerLost:            "look in the sandbox at what it did; perhaps it needs more memory",
	v1alpha1.ReasonFenceGone:             "look in the sandbox at what it did; don't remove the operator's own files there",
	v1alpha1.ReasonSandboxDeleted:        "create a Sandbox, and run it again where running it twice does no harm",
	v1alpha1.ReasonSandboxFailed: "see its sandbox: kubectl sandbox describe, with the name in " +
		"the message; then create another run",
	v1alpha1.ReasonExited:          "see what it printed: kubectl sandbox logs {name} -n {namespace}",
	v1alpha1.ReasonTimeoutExceeded: "run it again with a longer timeoutSeconds (0 is no limit)",
	v1alpha1.ReasonCancelRequested: "nothing: it was cancelled",
	v1alpha1.ReasonOutputDropped:   "keep less of its output: spec.streams; or have the command write a file",
	v1alpha1.ReasonWaitingForTurn: "wait; or cancel the runs before it: kubectl get sbxe -n " +
		"{namespace} --sort-by=.metadata.creationTimestamp",
	v1alpha1.ReasonWaitingForRetry:   "wait until the next attempt; or: kubectl delete {object}",
	v1alpha1.ReasonAttached:          "wait; it does not survive a restart of the operator",
	v1alpha1.ReasonOperatorRestarted: "look in the sandbox at what it did; run it again where running it twice does no harm",
	v1alpha1.ReasonCallFailed:        "look in the sandbox at what it did; run it again where running it twice does no harm",
	v1alpha1.ReasonInputFailed:       "see the message: another path, more disk, or another user; then create another run",
	v1alpha1.ReasonOutputMissing:     "see status.outputs for why; presence: Optional makes it no failure",
	v1alpha1.ReasonNameConflict:      "delete that object, or name another in spec; then create the run again",

	// Outcomes.
	string(v1alpha1.OutcomeSucceeded):   "nothing: it succeeded",
	string(v1alpha1.OutcomeFailed):      "see what it printed: kubectl sandbox logs {name} -n {namespace}",
	string(v1alpha1.OutcomeTimedOut):    "run it again with a longer timeoutSeconds (0 is no limit)",
	string(v1alpha1.OutcomeCancelled):   "nothing: it was cancelled",
	string(v1alpha1.OutcomeSandboxLost): "create a Sandbox, and run it again where running it twice does no harm",
	string(v1alpha1.OutcomeStartFailed): "it never ran: mend what the message names, and create another run",
	string(v1alpha1.OutcomeUnknown):     "it may have run: look in the sandbox at what it did before you run it again",
}
