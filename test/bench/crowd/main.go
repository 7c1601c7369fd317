// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command crowd is the operator's program with the backends of the chaos suite: its provider is another process, which remembers its
// sandboxes when the manager is started anew.
package main

import (
	"github.com/sandbox-operator/sandbox-operator/internal/manager"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
)

func main() { manager.Main(backend.Registry(), "bench") }
