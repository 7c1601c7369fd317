// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

// The labels of what belongs to a provider: ProviderLabels gives their values. Prometheus itself names the scraped pod's namespace
// "namespace", so nothing here is called that.
const (
	labelProviderNamespace = "provider_namespace"
	labelProvider          = "provider"
	labelBackend           = "backend"
	labelOperation         = "operation"
	labelKind              = "kind"
	labelReason            = "reason"
	labelState             = "state"
	labelSandboxNamespace  = "sandbox_namespace"
	labelOutcome           = "outcome"
)

// Calls to providers. The values of code are "OK", "FileError" or a backends.Code.
var (
	ProviderRequests = counter("provider_requests_total",
		"Calls to providers; code is OK, FileError or an error code.",
		labelBackend, labelProviderNamespace, labelProvider, labelOperation, "code")
	ProviderRequestSeconds = histogram("provider_request_duration_seconds",
		"How long calls to providers took.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		labelBackend, labelProviderNamespace, labelProvider, labelOperation)
	DeferredCalls = counter("provider_deferred_calls_total",
		"Calls that were not made yet: reason is busy (as many are under way as may be), limit (spec.limits), "+
			"asked (the provider asked for fewer) or breaker (it did not answer several in a row).",
		labelBackend, labelProviderNamespace, labelProvider, labelReason)
	DeferredSeconds = counter("provider_deferred_seconds_total",
		"Time for which those calls were put off, all of it added up.",
		labelBackend, labelProviderNamespace, labelProvider, labelReason)
)

// Providers and their accounts, read when somebody asks.
var (
	ProviderReady = observed("provider_ready", least,
		"1 where the provider's condition Ready is True, else 0.", labelBackend, labelProviderNamespace, labelProvider)
	AccountChanged = observed("provider_account_changed", most,
		"1 where the account may be another than it was (AccountChanged), so that nothing is made or destroyed there.",
		labelBackend, labelProviderNamespace, labelProvider)
	LastSync = observed("provider_last_sync_timestamp_seconds", least,
		"When the account was last listed and compared.", labelBackend, labelProviderNamespace, labelProvider)
	BreakerOpen = observed("provider_breaker_open", most,
		"1 while calls to the account are held back because it did not answer several in a row; one in ten seconds tries.",
		labelBackend, labelProviderNamespace, labelProvider)
	CallsInFlight = observed("provider_calls_in_flight", most,
		"Calls to the account that are under way. Providers that share an account show the same calls.",
		labelBackend, labelProviderNamespace, labelProvider)
	Remotes = observed("remotes", sum,
		"Remotes that Sandboxes have, as last listed.", labelProviderNamespace, labelProvider)
	Orphans = observed("orphans", sum,
		"Remotes of this installation that no Sandbox has any more.", labelProviderNamespace, labelProvider)
	AbandonedRemotes = observed("abandoned_remotes", sum,
		"Remotes that were given up and may still exist.", labelProviderNamespace, labelProvider)
	LeasesDue = observed("leases_due", sum,
		"Leases that should have been renewed at the last comparison, and were not.", labelProviderNamespace, labelProvider)
	LeaseRenewals = counter("lease_renewals_total",
		"Renewals of leases; code is OK, Busy or an error code.", labelBackend, labelProviderNamespace, labelProvider, "code")
	AbandonedTotal = counter("abandoned_remotes_total",
		"Sandboxes that were let go though their remote could not be destroyed.")
	Swept = counter("swept_remotes_total",
		"Orphans and surplus remotes that were destroyed.", labelBackend, labelReason)
)

// Sandboxes.
var (
	Sandboxes = observed("sandboxes", sum,
		"Sandboxes by what becomes of them: Pending (no remote yet), Stalled (waits for somebody to change something), Creating, Running, "+
			"Paused, Stopped, Gone or Deleting.",
		labelProviderNamespace, labelProvider, labelState)
	NamespaceSandboxes = observed("namespace_sandboxes", sum,
		"Sandboxes by the same states and by their own namespace: those with the most of them, and all others together as other.",
		labelSandboxNamespace, labelState)
	WaitingSandboxes = observed("waiting_sandboxes", sum,
		"Sandboxes that wait for a place within limits.maxSandboxes.", labelProviderNamespace, labelProvider)
	Places = observed("places", sum,
		"Places that limits.maxSandboxes allows this instance, where it was asked for since the start.",
		labelProviderNamespace, labelProvider)
	OldestPending = observed("oldest_pending_sandbox_seconds", most,
		"How long the Sandbox has been Pending that has been so longest; 0 = there is none.", labelProviderNamespace, labelProvider)
	OldestDeleting = observed("oldest_deleting_sandbox_seconds", most,
		"How long the deletion lasts that was asked for first; 0 = there is none.", labelProviderNamespace, labelProvider)
	SandboxSeconds = counter("sandbox_seconds_total",
		"Time that Sandboxes spent in state Running, all of it added up.", labelSandboxNamespace, labelBackend)
	SandboxesReady = counter("sandboxes_ready_total", "Times that a Sandbox became Ready.")
	ReadySeconds   = histogram("sandbox_ready_seconds",
		"Time from when a Sandbox was seen first until it was Ready first; where the operator was not there, from its creationTimestamp.",
		[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 900}, labelBackend)
)

// Runs.
var (
	Execs = observed("execs", sum,
		"SandboxExecs that are not finished: Waiting or Running.", labelState)
	ExecsFinished = counter("execs_finished_total", "SandboxExecs that ended.", labelOutcome)
	ExecSeconds   = histogram("exec_duration_seconds",
		"How long commands ran, from their start to their end. Those that never started are not in it.",
		[]float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400}, labelOutcome)
)

// The operator itself.
var (
	APIWrites = counter("api_writes_total",
		"Writes to the API server; verb is create, patch, patch_status, update or delete.", labelKind, "verb")
	OverheadSeconds = histogram("overhead_seconds",
		"Duration of passes that called a provider, without the time of those calls.",
		// An undisturbed pass makes two writes of a few milliseconds each.
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}, labelKind, "action")
	BuildInfo = gauge("build_info", "1, with what runs.", "version", "goversion")
)

// Reasons of DeferredCalls.
const (
	DeferredBusy    = "busy"
	DeferredLimit   = "limit"
	DeferredAsked   = "asked"
	DeferredBreaker = "breaker"
)

func init() {
	// What alerts ask for is there from the start.
	AbandonedTotal.WithLabelValues()
	SandboxesReady.WithLabelValues()
}
