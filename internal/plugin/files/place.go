// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"path"
	"regexp"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// place is where a file is: on this machine, or in a sandbox.
type place struct {
	// sandbox is its name; empty = this machine.
	sandbox string
	path    string
}

var inSandbox = regexp.MustCompile(`(?s)^([a-z0-9][-a-z0-9.]*):(.*)$`)

// parsePlace reads SANDBOX:PATH; what has no colon behind the name of a sandbox is a path on this machine.
func parsePlace(text string) place {
	if found := inSandbox.FindStringSubmatch(text); found != nil {
		return place{found[1], found[2]}
	}
	return place{path: text}
}

// remote reads what must be in a sandbox; the path may be left out where bare says so.
func remote(text string, bare bool) (place, error) {
	p := parsePlace(text)
	if p.sandbox == "" && bare && !strings.ContainsRune(text, '/') {
		return place{sandbox: text}, nil
	}
	if p.sandbox == "" {
		return p, cli.Fail("write SANDBOX:PATH, such as box:/workspace/data.csv", "%q names no sandbox", text)
	}
	return p, nil
}

// remotes reads paths of one sandbox.
func remotes(texts []string) (sandbox string, paths []string, err error) {
	for _, text := range texts {
		p, err := remote(text, false)
		if err != nil {
			return "", nil, err
		}
		if sandbox != "" && p.sandbox != sandbox {
			return "", nil, cli.Fail("do one after the other", "%q and %q are two sandboxes", sandbox, p.sandbox)
		}
		if p.path == "" {
			return "", nil, cli.Fail("write SANDBOX:PATH, such as box:/workspace/data.csv", "%q has no path", text)
		}
		sandbox, paths = p.sandbox, append(paths, escaped(p.path))
	}
	return sandbox, paths, nil
}

// base is the name that a copy of this has in a directory; empty where it is the directory's content that is copied.
func (p place) base() string {
	switch name := path.Base(p.path); name {
	case ".", "..", "/":
		return ""
	default:
		return name
	}
}
