// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package archive turns a local directory into a tar archive and back, for the plugin's cp.
//
// pack.go writes archives that GNU tar, BusyBox and bsdtar can all read. unpack.go reads what a sandbox sent, which may be
// hostile: nothing is ever written outside of the target, no device is made, and no link leads out of it.
package archive

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// ErrTooLarge says that an archive holds more than the limit allows, whatever size the archive itself has.
var ErrTooLarge = errors.New("more than may be copied at once")

// localName is an archive's name as a path below the target; "." is the target itself.
func localName(name string) (string, error) {
	cleaned := filepath.FromSlash(path.Clean(strings.TrimSuffix(name, "/")))
	if strings.ContainsRune(name, 0) || !filepath.IsLocal(cleaned) {
		return "", fmt.Errorf("the name %q leads out of the target", name)
	}
	return cleaned, nil
}

// staysInside says whether a link at name, a path below the target, leads to something that is below the target, too. It takes
// ".." at the beginning only: behind a name that is a link itself, ".." is not what it seems.
func staysInside(name, destination string) bool {
	if destination == "" || strings.HasPrefix(destination, "/") || filepath.IsAbs(destination) {
		return false
	}
	depth, down := strings.Count(filepath.ToSlash(name), "/"), false
	for element := range strings.SplitSeq(filepath.ToSlash(destination), "/") {
		switch element {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return false
			}
		default:
			down = true
		}
	}
	return true
}
