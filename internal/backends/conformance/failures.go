// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func failureChecks() []Check {
	var checks []Check
	for _, code := range backends.Codes() {
		checks = append(checks, Check{
			Name: "reports a failure of the provider as " + string(code),
			Run:  func(t *T) { reportsFailure(t, code) },
		})
	}
	return append(checks, Check{"recovers when the trouble is over", recovers})
}

// provoke makes the backend fail with a code, calls everything that can fail, and returns the errors.
func (t *T) provoke(code backends.Code) map[string]error {
	if t.MakeError == nil {
		t.Skip("the backend can't be made to fail")
	}
	id := t.create(t.request()).ID
	undo, possible := t.MakeError(code, id)
	if !possible {
		t.Skip("the backend can't be made to fail with " + string(code))
	}
	defer undo()
	request := t.request()
	created, createErr := t.Backend.Create(t.ctx, request)
	if createErr == nil {
		t.Cleanup(func() { t.destroy(created.ID) })
	}
	_, getErr := t.Backend.Get(t.ctx, id)
	_, listErr := t.Backend.List(t.ctx, backends.Filter{Installation: t.installation})
	_, runErr := t.Backend.RunCommand(t.ctx, id, backends.Command{Argv: []string{"true"}})
	return map[string]error{
		"Create": createErr, "Get": getErr, "List": listErr, "RunCommand": runErr, "Destroy": t.Backend.Destroy(t.ctx, id),
	}
}

func reportsFailure(t *T, code backends.Code) {
	seen := false
	for what, err := range t.provoke(code) {
		if err == nil {
			continue
		}
		t.wantTyped(what, err)
		if !errors.Is(err, code) {
			continue // the trouble may well look different to another operation
		}
		seen = true
		if text := err.Error(); !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b") {
			t.Errorf("the message of %s is no readable text: %q", code, text)
		}
	}
	if !seen {
		t.Errorf("the backend was made to fail with %s, but no operation says so", code)
	}
}

// recovers makes sure that a backend remembers no failure: the limiter and the breaker are the caller's.
func recovers(t *T) {
	for _, code := range []backends.Code{backends.Unavailable, backends.RateLimited, backends.Unauthorized} {
		if t.MakeError == nil {
			break
		}
		undo, possible := t.MakeError(code, t.remote())
		if !possible {
			continue
		}
		_, _ = t.Backend.List(t.ctx, backends.Filter{})
		undo()
		if _, err := t.Backend.List(t.ctx, backends.Filter{}); err != nil {
			t.Errorf("after %s was over, List still fails: %v", code, err)
		}
		return
	}
	t.Skip("the backend can't be made to fail")
}
