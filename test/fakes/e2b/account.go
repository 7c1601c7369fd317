// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

// usualUser is whom E2B's templates run commands as, and usualPath where they find programs.
const (
	usualUser = "user"
	usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// account is a user of a sandbox.
type account struct {
	name     string
	uid, gid int
	home     string
}
