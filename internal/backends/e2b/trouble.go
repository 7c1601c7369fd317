// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// errTransition is the cause of an error of a sandbox that is in another state than the request needs, or on its way to one.
var errTransition = errors.New("the sandbox is in another state")

// refused says what an answer of the control plane means that is no success.
func (b *backend) refused(r request, answer web.Answer) error {
	var said errorBody
	_ = json.Unmarshal(answer.Body, &said)
	words := stable(said.Message)
	if words == "" {
		words = fmt.Sprintf("E2B answers %d", answer.Status)
	}
	fail := func(code backends.Code, format string, args ...any) *backends.Error {
		return backends.Errorf(code, Name, r.operation, format, args...)
	}
	creates := r.operation == operationCreate && r.effect
	switch answer.Status {
	case http.StatusUnauthorized:
		return fail(backends.Unauthorized, "E2B refuses the API key (%s): put one that is valid into the Secret's key %s", words, keyName)
	case http.StatusForbidden:
		return fail(backends.Unauthorized, "E2B forbids it to this team: %s", words)
	case http.StatusNotFound:
		if creates {
			return fail(backends.Invalid, "E2B has no such template for this team: %s", words)
		}
		return fail(backends.NotFound, "there is no such sandbox")
	case http.StatusBadRequest:
		return fail(backends.Invalid, "E2B refuses the request: %s%s", words, planAdvice(said.Message))
	case http.StatusConflict:
		return transition(r.operation, words)
	case http.StatusTooManyRequests:
		return tooMany(fail, answer, words)
	case http.StatusServiceUnavailable:
		// These say that no place was found, so that nothing was made.
		if said.ErrorCode == "sandbox_capacity_unavailable" || said.ErrorCode == "sandbox_no_compatible_node" {
			e := fail(backends.Unavailable, "E2B has no room at the moment: %s", words)
			e.RetryAfter = web.RetryAfter(answer.Header, time.Now())
			return e
		}
	}
	if r.effect {
		return fail(backends.Ambiguous, "E2B fails, and does not say whether it was done: %s", words)
	}
	return fail(backends.Unavailable, "E2B fails: %s", words)
}

// transition is a refusal for the state that a sandbox is in. It says nothing about other sandboxes.
func transition(operation, words string) error {
	code := backends.Unavailable
	if operation == operationLifetime {
		// A paused sandbox has no end that could be set.
		code = backends.NotRunning
	}
	e := backends.Errorf(code, Name, operation, "the sandbox is in another state: %s", words)
	e.OfRequest, e.Err = true, errTransition
	return e
}

// tooMany tells the team's quota of sandboxes from the limit on calls: only the latter says when to come again.
func tooMany(fail func(backends.Code, string, ...any) *backends.Error, answer web.Answer, words string) error {
	delay := web.RetryAfter(answer.Header, time.Now())
	if delay == 0 && strings.Contains(strings.ToLower(words), "maximum number") {
		return fail(backends.QuotaExceeded, "the team may not have more sandboxes: %s", words)
	}
	e := fail(backends.RateLimited, "E2B takes no more calls for now")
	e.RetryAfter = delay
	return e
}

// planAdvice goes with the refusal of a timeout: plans differ in what they allow, and no call tells it.
func planAdvice(message string) string {
	if !strings.Contains(strings.ToLower(message), "timeout") {
		return ""
	}
	return " (set the provider's parameter maxLifetimeSeconds to what the team's plan allows)"
}

// changing are the parts of messages that differ from call to call: IDs of requests, sandboxes and builds.
var changing = regexp.MustCompile(`\b(i[a-z0-9]{20}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{24,})\b`)

// stable leaves out of a message what changes from call to call: each change would be a write to the API server.
func stable(message string) string {
	return backends.Bounded(changing.ReplaceAllString(message, "…"), 300)
}
