// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// releasePoll is how often a provider that is being deleted sees whether a Sandbox still needs it.
const releasePoll = 2 * time.Second

// inUse says that a Sandbox has, or had, a remote of the provider.
func (p *providerPass) inUse() bool {
	return controllerutil.ContainsFinalizer(p.provider.Object, v1alpha1.InUseFinalizer)
}

// release lets a provider go that nobody needs any more. It says whether it is gone.
func (p *providerPass) release(ctx context.Context) (bool, error) {
	object := p.provider.Object
	if p.inUse() {
		used, err := p.used(ctx)
		if err != nil || used || p.waitsForAbandoned() {
			return false, err
		}
		if left := len(p.provider.Status.Abandoned); left > 0 {
			p.recorder.Eventf(object, nil, corev1.EventTypeWarning, "RemotesAbandoned", "Delete",
				"%d sandboxes may still exist at the provider: they could not be destroyed, and were given up with it", left)
		}
		if err := p.doors.RemoveCredentials(ctx, p.provider); err != nil {
			return false, err
		}
	}
	p.forget(object.GetNamespace(), object.GetName())
	return true, p.removeFinalizer(ctx, object, v1alpha1.InUseFinalizer)
}

// waitsForAbandoned says that remotes which were given up keep the provider: until they are gone, the deletion deadline is over,
// or somebody gives them up for good.
func (p *providerPass) waitsForAbandoned() bool {
	object := p.provider.Object
	return len(p.provider.Status.Abandoned) > 0 && object.GetAnnotations()[v1alpha1.AbandonAnnotation] != "true" &&
		p.clock.Since(object.GetDeletionTimestamp().Time) < p.options.DeletionDeadline
}

// used says that a Sandbox has, or may have, a remote of the provider. It is read live: a cache may not have seen the
// journal that was written last.
func (p *providerPass) used(ctx context.Context) (bool, error) {
	uid := string(p.provider.Object.GetUID())
	var sandboxes v1alpha1.SandboxList
	if err := p.live.List(ctx, &sandboxes, client.InNamespace(p.provider.Object.GetNamespace())); err != nil {
		return false, fmt.Errorf("listing sandboxes: %w", err)
	}
	for i := range sandboxes.Items {
		sandbox := &sandboxes.Items[i]
		if !controllerutil.ContainsFinalizer(sandbox, v1alpha1.SandboxFinalizer) {
			continue
		}
		bound := sandbox.Status.Provider != nil && sandbox.Status.Provider.UID == uid
		if j := readJournal(sandbox); bound || (j != nil && j.Provider.UID == uid) {
			return true, nil
		}
	}
	return false, nil
}
