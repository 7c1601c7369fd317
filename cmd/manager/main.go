// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager is the operator, with all backends.
package main

import (
	"github.com/sandbox-operator/sandbox-operator/internal/backends/all"
	"github.com/sandbox-operator/sandbox-operator/internal/manager"
)

// version is set by the linker.
var version = "dev"

func main() { manager.Main(all.Registry(), version) }
