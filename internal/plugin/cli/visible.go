// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"unicode"
)

// Visible shows what a sandbox or a provider says in one line, without what would steer a terminal.
func Visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, text)
}
