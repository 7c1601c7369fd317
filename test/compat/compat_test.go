// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package compat_test proves our fakes of providers with the providers' own SDKs for JavaScript: what an SDK can do with a fake,
// the fake may claim. Each provider has a folder here with a package.json that pins its SDK and scripts for node's test runner,
// and a test that starts the fake and runs them. This file has what those tests share.
package compat_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// scripts of one provider.
type scripts struct {
	// dir is the folder.
	dir string
	// env leads the SDK to the fake.
	env []string
}

// needNode fails where the scripts can't run: a fake that nobody proved is none.
func needNode(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("installs packages from npm")
	}
	if os.Geteuid() != 0 {
		t.Skip("the fakes run commands as root only")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: install Node.js 20.18 or newer with npm (Debian: apt-get install nodejs npm)", program)
		}
	}
}

// run installs what the folder's lock file says, where that has changed, and runs the scripts.
func (s scripts) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	s.install(ctx, t)
	tests, err := filepath.Glob(filepath.Join(s.dir, "*.test.mjs"))
	if err != nil || len(tests) == 0 {
		t.Fatalf("no scripts in %s (%v)", s.dir, err)
	}
	// A script that hangs shall say which test it is in.
	arguments := []string{"--test", "--test-reporter=tap", "--test-timeout=60000"}
	for _, test := range tests {
		arguments = append(arguments, filepath.Base(test))
	}
	output, err := s.command(ctx, "node", arguments...).CombinedOutput()
	if err != nil || !bytes.Contains(output, []byte("\n# fail 0\n")) || bytes.Contains(output, []byte("\n# pass 0\n")) {
		t.Errorf("the SDK's scripts fail (%v):\n%s", err, output)
	}
}

func (s scripts) install(ctx context.Context, t *testing.T) {
	t.Helper()
	wanted, err := os.ReadFile(filepath.Join(s.dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	stamp := filepath.Join(s.dir, "node_modules", ".installed")
	if installed, err := os.ReadFile(stamp); err == nil && bytes.Equal(installed, wanted) {
		return
	}
	if output, err := s.command(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts").CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, output)
	}
	if err := os.WriteFile(stamp, wanted, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s scripts) command(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = s.dir
	command.Env = append(os.Environ(), s.env...)
	return command
}
