// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-sandbox is the plugin of kubectl: in a folder of PATH, it works as kubectl sandbox.
package main

import (
	"os"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(plugin.Main(version)) }
