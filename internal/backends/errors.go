// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Code is the kind of an [*Error]. A Code is itself an error, so that callers write errors.Is(err, backends.NotFound).
type Code string

// Error implements error.
func (c Code) Error() string { return string(c) }

// The codes, and what each promises.
const (
	// NotFound: the remote certainly does not exist. Never used for a file in it (those errors are fs.ErrNotExist).
	NotFound Code = "NotFound"
	// AlreadyExists: another remote has this name; the call had no effect.
	AlreadyExists Code = "AlreadyExists"
	// Invalid: the request can never succeed as it stands (the user's spec); no effect, never retried.
	Invalid Code = "Invalid"
	// Unauthorized: the provider refused the credentials; no effect.
	Unauthorized Code = "Unauthorized"
	// QuotaExceeded: the account may not have more; no effect.
	QuotaExceeded Code = "QuotaExceeded"
	// RateLimited: too many calls; no effect. Error.RetryAfter has the delay that the provider asked for.
	RateLimited Code = "RateLimited"
	// NotRunning: the remote exists, but is paused, stopped or not started yet; no effect.
	NotRunning Code = "NotRunning"
	// Unsupported: this backend can't do that, now or ever; no effect.
	Unsupported Code = "Unsupported"
	// Unavailable: the provider did not answer as it should. Calls that have effects report it only when the effect
	// certainly did not happen; otherwise they report Ambiguous.
	Unavailable Code = "Unavailable"
	// Ambiguous: the effect may or may not have happened.
	Ambiguous Code = "Ambiguous"
)

// Codes lists every code, for tests and tables.
func Codes() []Code {
	return []Code{
		NotFound, AlreadyExists, Invalid, Unauthorized, QuotaExceeded, RateLimited, NotRunning, Unsupported, Unavailable,
		Ambiguous,
	}
}

// Error is what backends return. Its text is fit for a condition: bounded, without secrets or identifiers that change from
// call to call.
type Error struct {
	// Code is the kind.
	Code Code
	// Backend and Operation say who failed at what, such as "local" and "create".
	Backend, Operation string
	// Message is a sentence for the user, without Backend and Operation.
	Message string
	// RetryAfter is the delay that the provider asked for, with RateLimited and Unavailable; 0 = none.
	RetryAfter time.Duration
	// OfRequest says that what failed concerns this request alone, such as a registry that it names, or the remote that it
	// is about: other calls to the same account need not fail because of it.
	OfRequest bool
	// Err is the cause for errors.Is and logs; it is not part of the text.
	Err error
}

// maxErrorMessage bounds Error.Message in bytes.
const maxErrorMessage = 1024

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Backend, e.Operation, e.Message)
}

// Is makes errors.Is(err, NotFound) work.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Unwrap returns the cause, unless that is an *Error as well: errors.Is would find its code beside this one's, and take an
// Unavailable that was caused by somebody's NotFound for the proof that a remote is gone.
func (e *Error) Unwrap() error {
	if _, ok := errors.AsType[*Error](e.Err); ok {
		return nil
	}
	return e.Err
}

// Errorf makes an [*Error]. A %w in the format becomes its cause.
func Errorf(code Code, backend, operation, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{
		Code: code, Backend: backend, Operation: operation,
		Message: Bounded(err.Error(), maxErrorMessage), Err: errors.Unwrap(err),
	}
}

// CodeOf returns the code of the first [*Error] in the chain, or Ambiguous for any other error: what is not known to be
// without effect is treated as having had one. It returns "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Ambiguous
}

// RetryAfter returns the delay that the provider asked for, or 0.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// harmless replaces a character that does more than to be seen.
func harmless(r rune) rune {
	if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
		return '�'
	}
	return r
}

// Bounded returns s as valid UTF-8 of at most limit bytes, cut at a character, with an ellipsis where it was cut. Characters that a
// terminal obeys, or that turn text around, are replaced: people read this with kubectl.
func Bounded(s string, limit int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "�"))
	s = strings.Map(harmless, strings.ReplaceAll(s, "\r\n", "\n"))
	if len(s) <= limit {
		return s
	}
	const ellipsis = "…"
	cut := limit - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}
