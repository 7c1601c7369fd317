// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Create implements backends.Backend. The pod is stored when the call returns; a node starts it later.
func (b *backend) Create(ctx context.Context, r backends.CreateRequest) (backends.Remote, error) {
	if err := b.checkRequest(r); err != nil {
		return backends.Remote{}, err
	}
	// What is wrong with the request is said before a policy is applied.
	if _, err := b.pod(r, "", time.Now()); err != nil {
		return backends.Remote{}, invalid(operationCreate, "%w", err)
	}
	policy, err := b.ensurePolicy(ctx, r.Network)
	if err != nil {
		return backends.Remote{}, err
	}
	pod, err := b.pod(r, policy, time.Now())
	if err != nil {
		return backends.Remote{}, invalid(operationCreate, "%w", err)
	}
	made, err := b.pods.Create(ctx, pod, metav1.CreateOptions{FieldManager: "sandbox-operator"})
	if err != nil {
		return backends.Remote{}, b.trouble(operationCreate, "pods", err, true)
	}
	return b.remote(made), nil
}

func (b *backend) checkRequest(r backends.CreateRequest) error {
	unsupported := func(format string, args ...any) error {
		return backends.Errorf(backends.Unsupported, Name, operationCreate, format, args...)
	}
	switch {
	case r.Source.Template != "" || r.Source.Snapshot != "":
		return unsupported("pods are made of images: use source.image")
	case len(r.Parameters) > 0:
		return unsupported("a Sandbox has no parameters of this backend")
	case r.Lifetime != 0 && b.options.FirstProcess == firstImage:
		return unsupported("there is no lease where the image's own first process runs: set leaseSeconds of the provider to 0, " +
			"and its parameter maxLifetimeSeconds where pods shall end by themselves")
	}
	for _, port := range r.Ports {
		if err := b.checkPort(operationCreate, port); err != nil {
			return err
		}
	}
	return checkLifetime(operationCreate, r.Lifetime)
}
