// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package all is the registry of every backend that is compiled in. Only the programs under cmd/ and tests import it.
package all

import (
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/daytona"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/e2b"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/kubernetes"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/local"
)

// Registry returns a registry of all backends, one line each.
func Registry() *backends.Registry {
	return backends.NewRegistry(
		daytona.Registration(),
		e2b.Registration(),
		kubernetes.Registration(),
		local.Registration(),
	)
}
