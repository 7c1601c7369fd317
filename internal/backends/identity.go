// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"regexp"
	"slices"
	"strings"
)

// sandboxID is what a remote's ID may consist of: what is itself in a URL, a command line, a log and a terminal.
var sandboxID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~:@/=+-]{0,252}$`)

// IsID says whether a provider may call a remote so. IDs become parts of URLs and of object statuses: one that leads to another path, or
// that the API server would refuse, is never taken from a provider, nor from a user who wants to adopt.
func IsID(id string) bool {
	return sandboxID.MatchString(id) && !slices.ContainsFunc(strings.Split(id, "/"), func(part string) bool {
		return part == "" || part == "." || part == ".."
	})
}
