// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager is the operator's program with the backends of the chaos suite, and, where it is told so, a view of one namespace:
// so many can work on one API server, each with a provider of its own.
package main

import (
	"flag"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/sandbox-operator/sandbox-operator/internal/controller"
	"github.com/sandbox-operator/sandbox-operator/internal/manager"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
)

func main() {
	namespace := flag.String("chaos-namespace", "", "the namespace that is seen, beside the operator's own; empty = all")
	manager.Main(backend.Registry(), "chaos", manager.Variation{
		Manager: func(options *ctrl.Options) {
			if *namespace == "" {
				return
			}
			options.Cache.DefaultNamespaces = map[string]cache.Config{*namespace: {}, flag.Lookup("namespace").Value.String(): {}}
		},
		// What is lost is made again without waiting for a provider that may be mistaken: the suite's tells when it is.
		Controller: func(options *controller.Options) {
			options.LossDelay, options.RecreateDelay = 200*time.Millisecond, 200*time.Millisecond
		},
	})
}
