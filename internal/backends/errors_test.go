// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestErrorsAreFoundByTheirCodeAlone(t *testing.T) {
	for _, code := range backends.Codes() {
		err := fmt.Errorf("creating: %w", backends.Errorf(code, "fake", "create", "no"))
		for _, other := range backends.Codes() {
			if errors.Is(err, other) != (other == code) {
				t.Errorf("errors.Is(%s, %s) is wrong", code, other)
			}
		}
		if backends.CodeOf(err) != code {
			t.Errorf("CodeOf(%v) is %s, not %s", err, backends.CodeOf(err), code)
		}
	}
}

func TestTheCodeOfACauseDoesNotCount(t *testing.T) {
	cause := backends.Errorf(backends.NotFound, "fake", "get", "no such image")
	for _, err := range []error{
		backends.Errorf(backends.Unavailable, "fake", "create", "looking: %w", cause),
		backends.Errorf(backends.Unavailable, "fake", "create", "looking: %w", fmt.Errorf("deeper: %w", cause)),
	} {
		if errors.Is(err, backends.NotFound) || !errors.Is(err, backends.Unavailable) {
			t.Errorf("%v is taken for NotFound, which would be the proof that a remote is gone", err)
		}
	}
}

func TestErrorsKeepTheirCauseAndOtherErrorsAreAmbiguous(t *testing.T) {
	err := backends.Errorf(backends.Unavailable, "fake", "get", "reading: %w", io.ErrUnexpectedEOF)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if err.Error() != "fake get: reading: unexpected EOF" {
		t.Errorf("the text is %q", err.Error())
	}
	if code := backends.CodeOf(context.DeadlineExceeded); code != backends.Ambiguous {
		t.Errorf("an error without code is %s: what is not known to be without effect may have had one", code)
	}
	if code := backends.CodeOf(nil); code != "" {
		t.Errorf("no error has code %s", code)
	}
}

func TestRetryAfterIsFoundInTheChain(t *testing.T) {
	err := backends.Errorf(backends.RateLimited, "fake", "create", "slow down")
	err.RetryAfter = time.Minute
	if got := backends.RetryAfter(fmt.Errorf("creating: %w", err)); got != time.Minute {
		t.Errorf("the delay is %s", got)
	}
	if got := backends.RetryAfter(io.EOF); got != 0 {
		t.Errorf("the delay of another error is %s", got)
	}
}

func TestErrorTextsAreBoundedAndValid(t *testing.T) {
	for _, said := range []string{
		strings.Repeat("x", 10_000), strings.Repeat("世", 5_000), "\xff\xfe broken", strings.Repeat("\xff", 5_000),
	} {
		message := backends.Errorf(backends.Invalid, "fake", "create", "%s", said).Message
		if len(message) > 1024 || !utf8.ValidString(message) {
			t.Errorf("the message of %.10q has %d bytes, valid: %v", said, len(message), utf8.ValidString(message))
		}
	}
}

func TestBoundedLeavesNothingThatATerminalObeys(t *testing.T) {
	got := backends.Bounded("red\x1b[31m bell\x07 line\r\nnext\ttab \u202eback \u009bcsi\x00", 200)
	if want := "red�[31m bell� line\nnext\ttab �back �csi�"; got != want {
		t.Errorf("got %q, not %q", got, want)
	}
}

func TestBoundedCutsAtACharacter(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"short", 10, "short"}, {" trimmed \n", 10, "trimmed"}, {"0123456789", 10, "0123456789"},
		{"0123456789x", 10, "0123456…"}, {"世界世界世界", 10, "世界…"}, {"a\xffb", 10, "a�b"}, {"", 10, ""},
	} {
		if got := backends.Bounded(c.text, c.limit); got != c.want {
			t.Errorf("Bounded(%q, %d) is %q, not %q", c.text, c.limit, got, c.want)
		}
	}
}
