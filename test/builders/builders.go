// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package builders makes objects of this API for tests, so that a test says only what it is about:
//
//	builders.MakeSandbox(namespace, "x").File("/workspace/a", "text").Obj()
//	builders.MakeExec(namespace, "y", "x").Command("cat", "/workspace/a").Obj()
//
// sandbox.go, exec.go and provider.go have a builder a kind, and values.go what specs have in common.
package builders
