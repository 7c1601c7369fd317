// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"errors"
	"fmt"
	"net/http"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// addProbes has /healthz say that the process answers, and /readyz that it could work at once: the CRDs are there, may be read,
// and the cache has what there is. A replica that waits for its turn as leader fills its cache by the question, and so takes over
// without reading everything first.
func addProbes(mgr ctrl.Manager, s *settings) error {
	kinds := []client.Object{&v1alpha1.Sandbox{}, &v1alpha1.SandboxExec{}, &v1alpha1.SandboxProvider{}}
	if len(s.watched) == 0 {
		kinds = append(kinds, &v1alpha1.ClusterSandboxProvider{})
	}
	return errors.Join(mgr.AddHealthzCheck("healthz", healthz.Ping), mgr.AddReadyzCheck("readyz", haveSeen(mgr.GetCache(), kinds)))
}

func haveSeen(informers cache.Informers, kinds []client.Object) healthz.Checker {
	return func(request *http.Request) error {
		for _, kind := range kinds {
			informer, err := informers.GetInformer(request.Context(), kind, cache.BlockUntilSynced(false))
			if err != nil {
				return fmt.Errorf("%T can't be watched: %w", kind, err)
			}
			if !informer.HasSynced() {
				return fmt.Errorf("%T: the cache does not have all objects yet", kind)
			}
		}
		return nil
	}
}
