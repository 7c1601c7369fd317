// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// identity is whom a command runs as in the sandbox. The zero value is root.
type identity struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// accounts are the contents of a root filesystem's /etc/passwd and /etc/group.
type accounts struct{ passwd, group []byte }

// errUnknownUser is in the errors about users and groups that the accounts don't have.
var errUnknownUser = errors.New("unknown user")

// unknownUser is errUnknownUser in words for a user.
type unknownUser string

func (e unknownUser) Error() string        { return string(e) }
func (e unknownUser) Is(target error) bool { return target == errUnknownUser }

// findUser finds a user in the accounts of a root filesystem.
func findUser(files tree, spec string) (identity, error) {
	passwd, err := files.read("etc/passwd")
	if err != nil {
		return identity{}, err
	}
	group, err := files.read("etc/group")
	if err != nil {
		return identity{}, err
	}
	return accounts{passwd: passwd, group: group}.find(spec)
}

// numericIdentity understands "uid:gid", which needs no accounts.
func numericIdentity(spec string) (identity, bool) {
	user, group, both := strings.Cut(spec, ":")
	uid, uidErr := strconv.ParseUint(user, 10, 32)
	gid, gidErr := strconv.ParseUint(group, 10, 32)
	return identity{UID: uint32(uid), GID: uint32(gid)}, both && uidErr == nil && gidErr == nil
}

// find understands "user", "uid", "user:group" and the like, as container images do: a number need not be in the accounts, a
// name must.
func (a accounts) find(spec string) (identity, error) {
	if id, ok := numericIdentity(spec); ok {
		return id, nil
	}
	user, group, grouped := strings.Cut(spec, ":")
	id, name, err := a.user(user)
	if err != nil {
		return identity{}, err
	}
	if !grouped {
		id.Groups = a.groupsOf(name)
		return id, nil
	}
	id.GID, err = a.groupID(group)
	return id, err
}

// user returns the account's IDs and its name.
func (a accounts) user(user string) (identity, string, error) {
	number, err := strconv.ParseUint(user, 10, 32)
	isNumber := err == nil
	for fields := range colonFields(a.passwd, 4) {
		if fields[0] != user && (!isNumber || fields[2] != user) {
			continue
		}
		uid, uidErr := strconv.ParseUint(fields[2], 10, 32)
		gid, gidErr := strconv.ParseUint(fields[3], 10, 32)
		if uidErr == nil && gidErr == nil {
			return identity{UID: uint32(uid), GID: uint32(gid)}, fields[0], nil
		}
	}
	if isNumber {
		return identity{UID: uint32(number)}, "", nil
	}
	return identity{}, "", unknownUser(fmt.Sprintf(
		"there is no user %q in the sandbox's /etc/passwd; use a user that it has, or a number", user))
}

func (a accounts) groupID(group string) (uint32, error) {
	if number, err := strconv.ParseUint(group, 10, 32); err == nil {
		return uint32(number), nil
	}
	for fields := range colonFields(a.group, 3) {
		if number, err := strconv.ParseUint(fields[2], 10, 32); err == nil && fields[0] == group {
			return uint32(number), nil
		}
	}
	return 0, unknownUser(fmt.Sprintf(
		"there is no group %q in the sandbox's /etc/group; use a group that it has, or a number", group))
}

// groupsOf returns the supplementary groups of a user.
func (a accounts) groupsOf(user string) []uint32 {
	var groups []uint32
	if user == "" {
		return nil
	}
	for fields := range colonFields(a.group, 4) {
		number, err := strconv.ParseUint(fields[2], 10, 32)
		if err == nil && slices.Contains(strings.Split(fields[3], ","), user) {
			groups = append(groups, uint32(number))
		}
	}
	return groups
}

// colonFields yields the lines that have at least so many fields.
func colonFields(data []byte, atLeast int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			fields := strings.Split(lines.Text(), ":")
			if len(fields) >= atLeast && !yield(fields) {
				return
			}
		}
	}
}
