// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"slices"
	"strings"
)

// redacted stands where a Secret's value stood.
const redacted = "[redacted]"

// shortestSecret is the length in bytes below which a value is too common a word to be blotted out.
const shortestSecret = 4

// redaction takes values of Secrets out of what is stored.
type redaction struct {
	// needles are the values, the longest first, so that one which contains another goes as a whole.
	needles [][]byte
}

func newRedaction(values []string) redaction {
	var needles [][]byte
	for _, value := range values {
		if trimmed := strings.TrimSpace(value); len(trimmed) >= shortestSecret {
			needles = append(needles, []byte(trimmed))
		}
	}
	slices.SortFunc(needles, func(a, b []byte) int { return len(b) - len(a) })
	return redaction{needles: slices.CompactFunc(needles, bytes.Equal)}
}

// whole redacts a stream of which nothing is missing.
func (r redaction) whole(text []byte) []byte {
	for _, needle := range r.needles {
		text = bytes.ReplaceAll(text, needle, []byte(redacted))
	}
	return text
}

// head redacts the beginning of a longer stream: a value that the cut goes through is taken out too.
func (r redaction) head(text []byte) []byte {
	for _, needle := range r.needles {
		for n := min(len(needle)-1, len(text)); n >= shortestSecret; n-- {
			if bytes.HasSuffix(text, needle[:n]) {
				return append(r.whole(text[:len(text)-n:len(text)-n]), redacted...)
			}
		}
	}
	return r.whole(text)
}

// tail redacts the end of a longer stream.
func (r redaction) tail(text []byte) []byte {
	for _, needle := range r.needles {
		for n := min(len(needle)-1, len(text)); n >= shortestSecret; n-- {
			if bytes.HasPrefix(text, needle[len(needle)-n:]) {
				return append([]byte(redacted), r.whole(text[n:])...)
			}
		}
	}
	return r.whole(text)
}

// text redacts a message.
func (r redaction) text(message string) string {
	return string(r.whole([]byte(message)))
}
