// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"strings"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestOnlyWhatIsHarmlessInAURLIsAnID(t *testing.T) {
	for _, id := range []string{
		"i3kz0q7vm1r2", "sbx-32496ff5-d4a3-46b6-8a5c-cb2e76200f27-1", "3f55df4b-ea04-4fd3-9114-7190c110b5f2", "ns/pod/uid",
		"a.b~c:d@e=f+g", strings.Repeat("x", 253),
	} {
		if !backends.IsID(id) {
			t.Errorf("%q should be one", id)
		}
	}
	for _, id := range []string{
		"", "..", "../x",
		"a/../b", "a/./b", "a//b", "/a", "a/", "-rf", "a b", "a\n", "a?b", "a#b", "a%2fb", "a\\b", "\x1b[2J", "ü", "a\x00",
		strings.Repeat("x", 254),
	} {
		if backends.IsID(id) {
			t.Errorf("%.40q should be none", id)
		}
	}
}
