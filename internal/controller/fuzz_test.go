// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// However a stream with a Secret's value in it is cut, no part of the value that could be told from chance is left.
func FuzzRedaction(f *testing.F) {
	f.Add("hunter22", "password: ", " ok", 3)
	f.Add("aaaa", "aa", "aaaaaaaa", 2)
	f.Add("redacted]", "[", "", 1)
	f.Add("längs", "\xff\xfe", "\n", 4)
	f.Fuzz(func(t *testing.T, secret, before, after string, cut int) {
		r := newRedaction([]string{secret})
		if len(r.needles) == 0 || bytes.Contains([]byte(redacted), r.needles[0]) {
			return
		}
		value := r.needles[0]
		all := []byte(before + string(value) + after)
		// The text around it may make up the value, or parts of it, with the mark of what was taken out.
		if got := r.whole(all); bytes.Contains(got, value) && !bytes.Contains(value, []byte("[")) && !bytes.Contains(value, []byte("]")) {
			t.Errorf("%q is left in %q", value, got)
		}
		at := len(before) + min(max(cut, 0), len(value))
		for name, part := range map[string][]byte{"head": r.head(bytes.Clone(all[:at])), "tail": r.tail(bytes.Clone(all[at:]))} {
			if len(part) > len(all)+len(all)/shortestSecret*len(redacted)+2*len(redacted) {
				t.Errorf("the %s grew to %d bytes", name, len(part))
			}
		}
		head := r.head(bytes.Clone(all[:at]))
		if n := at - len(before); n >= shortestSecret && bytes.HasSuffix(head, value[:n]) && !bytes.HasSuffix([]byte(redacted), value[:n]) {
			t.Errorf("%q of %q is left at the end of %q", value[:n], value, head)
		}
		tail := r.tail(bytes.Clone(all[at:]))
		rest := value[at-len(before):]
		if len(rest) >= shortestSecret && bytes.HasPrefix(tail, rest) && !bytes.HasPrefix([]byte(redacted), rest) {
			t.Errorf("%q of %q is left at the beginning of %q", rest, value, tail)
		}
	})
}

// What is kept of a text that was cut through a character is text again, and lacks no more than that character.
func FuzzTrimming(f *testing.F) {
	f.Add([]byte("grüße"), 3)
	f.Add([]byte("\xf0\x9f\x98\x80"), 2)
	f.Add([]byte("\xff\xfe\x80\x80\x80\x80"), 1)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		cut = min(max(cut, 0), len(text))
		head, tail := trimEnd(text[:cut]), trimStart(text[cut:])
		if len(head) < cut-utf8.UTFMax || len(tail) < len(text)-cut-utf8.UTFMax {
			t.Errorf("of %q, %q and %q are left", text, head, tail)
		}
		if utf8.Valid(text) && (!utf8.Valid(head) || !utf8.Valid(tail)) {
			t.Errorf("%q and %q are no text", head, tail)
		}
		if !utf8.ValidString(asText(text)) {
			t.Errorf("%q is no text", asText(text))
		}
	})
}
