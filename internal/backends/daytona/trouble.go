// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

func notFound(operation string) *backends.Error {
	return backends.Errorf(backends.NotFound, Name, operation, "the sandbox does not exist")
}

// aboutOne says that a failure concerns one sandbox, and not the account.
func aboutOne(e *backends.Error) *backends.Error {
	e.OfRequest = true
	return e
}

// messageOf is what an answer says is wrong: the control API, the proxy and the toolbox all have it in the same place. A body of another
// kind, such as a gateway's page, says nothing.
func messageOf(answer web.Answer) string {
	var said struct {
		Message json.RawMessage `json:"message"`
	}
	if json.Unmarshal(answer.Body, &said) != nil {
		return ""
	}
	var text string
	if json.Unmarshal(said.Message, &text) == nil {
		return plain(text)
	}
	// The validation of the control API gives a list.
	var lines []string
	if json.Unmarshal(said.Message, &lines) == nil {
		return plain(strings.Join(lines, "; "))
	}
	return ""
}

// plain makes readable text of what somebody else wrote.
func plain(text string) string {
	return backends.Bounded(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text), 512)
}

// isRouteMissing says that the server is too old to know the path at all.
func isRouteMissing(answer web.Answer) bool {
	return answer.Status == http.StatusNotFound && strings.HasPrefix(messageOf(answer), "Cannot ")
}

// trouble says what an answer of the control API means that is no success.
func trouble(operation string, answer web.Answer, effect bool) error {
	fail := func(code backends.Code, format string, args ...any) *backends.Error {
		return backends.Errorf(code, Name, operation, format, args...)
	}
	message := messageOf(answer)
	said := message
	if said == "" {
		said = "the provider answered " + statusText(answer.Status)
	}
	switch answer.Status {
	case http.StatusBadRequest:
		return badRequest(operation, said)
	case http.StatusUnauthorized:
		return fail(backends.Unauthorized, "the API key was refused: make a new one and put it into the Secret's key %s", keyAPIKey)
	case http.StatusForbidden:
		return forbidden(operation, said)
	case http.StatusNotFound:
		return absent(operation, answer, said)
	case http.StatusConflict:
		return conflict(operation, said)
	case http.StatusUnprocessableEntity:
		return fail(backends.Unsupported, "%s", said)
	case http.StatusTooManyRequests:
		limited := fail(backends.RateLimited, "the provider has had too many calls of this organization")
		limited.RetryAfter = retryAfter(answer.Header)
		return limited
	}
	if answer.Status >= 300 && answer.Status < 400 {
		return fail(backends.Unavailable, "the provider answered with a redirect (%d): check spec.endpoint", answer.Status)
	}
	return unclear(operation, answer, said, effect)
}

// unclear is an answer that says nothing certain.
func unclear(operation string, answer web.Answer, said string, effect bool) *backends.Error {
	code := backends.Unavailable
	if effect {
		code = backends.Ambiguous
	}
	e := backends.Errorf(code, Name, operation, "%s", said)
	if !effect {
		e.RetryAfter = retryAfter(answer.Header)
	}
	return e
}

// throttlers are the counters of the server, each with headers of its own name.
var throttlers = []string{"sandbox-create", "sandbox-lifecycle", "authenticated", "failed-auth", "anonymous"}

func retryAfter(header http.Header) time.Duration {
	var names []string
	for _, throttler := range throttlers {
		names = append(names, "Retry-After-"+throttler)
	}
	return web.RetryAfter(header, time.Now(), names...)
}

// errFailedToStart is the cause where a sandbox was made, and is in error.
var errFailedToStart = errors.New("the sandbox failed to start")

// badRequest tells apart what the server calls a bad request: most of it is none of the user's.
func badRequest(operation, said string) error {
	lower := strings.ToLower(said)
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(lower, word) {
				return true
			}
		}
		return false
	}
	switch {
	case has("failed to start", "failed to build"):
		// The row was made before: the sandbox is there, in error, and keeps its name and quota.
		failed := aboutOne(backends.Errorf(backends.Ambiguous, Name, operation, "%s", said))
		failed.Err = errFailedToStart
		return failed
	case has("per sandbox"):
		return backends.Errorf(backends.Invalid, Name, operation, "%s; ask for less", said)
	case has("limit exceeded", "quota"):
		return aboutOne(backends.Errorf(backends.QuotaExceeded, Name, operation, "%s", said))
	case has("no available runner", "no runners available"):
		return aboutOne(backends.Errorf(backends.Unavailable, Name, operation,
			"the provider has no capacity for this sandbox now: %s", said))
	case operation == operationCreate:
		return backends.Errorf(backends.Invalid, Name, operation, "%s", said)
	case has("valid state", "errored", "is not started", "in error state"):
		return aboutOne(backends.Errorf(backends.NotRunning, Name, operation, "%s", said))
	}
	return aboutOne(backends.Errorf(backends.Unavailable, Name, operation, "%s", said))
}

// forbidden tells what the spec asks for from what the account may do.
func forbidden(operation, said string) error {
	lower := strings.ToLower(said)
	if operation == operationCreate && strings.Contains(lower, "region") {
		return backends.Errorf(backends.Invalid, Name, operation, "%s; change the parameter target", said)
	}
	return backends.Errorf(backends.Unauthorized, Name, operation,
		"the provider refused this: %s; check the API key's permissions and the organization's standing", said)
}

// absent tells a sandbox that is not there from something else that a request names, and from an address that is no Daytona.
func absent(operation string, answer web.Answer, said string) error {
	switch {
	case operation == operationCreate:
		return backends.Errorf(backends.Invalid, Name, operation, "%s", said)
	case messageOf(answer) == "" || isRouteMissing(answer) || operation == operationList:
		return backends.Errorf(backends.Unavailable, Name, operation, "%s: check spec.endpoint, which must be the API of Daytona", said)
	}
	return notFound(operation)
}

// conflict tells a name that is taken from a sandbox that is busy.
func conflict(operation, said string) error {
	if operation == operationCreate && strings.Contains(strings.ToLower(said), "exist") {
		return backends.Errorf(backends.AlreadyExists, Name, operation, "a sandbox of this name exists")
	}
	return aboutOne(backends.Errorf(backends.Unavailable, Name, operation, "the sandbox is busy: %s", said))
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "with an unknown status"
}
