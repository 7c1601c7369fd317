// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package local

import (
	"runtime"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func openBackend(settings, options) (backends.Backend, error) {
	return nil, backends.Errorf(backends.Unsupported, Name, "configure",
		"gVisor runs on Linux only, and this operator runs on %s; run it on a Linux machine, or use another backend", runtime.GOOS)
}
