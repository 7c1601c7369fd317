// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// locked is the difference from before, which the API server takes only where nobody has written in between: a pass on a
// stale copy, or by a leader that was deposed, fails before it has an effect.
func locked(before client.Object) client.Patch {
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}

// writeStatus writes the status of a pass's copy where it changed, and makes it what the pass read.
func writeStatus[T interface {
	client.Object
	DeepCopy() T
}](ctx context.Context, c client.Client, before *T, after T, changed bool) error {
	if !changed {
		return nil
	}
	if err := c.Status().Patch(ctx, after, locked(*before)); err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	*before = after.DeepCopy()
	return nil
}

// patchMetadata changes labels, annotations or finalizers of a copy and writes the difference.
func (s *shared) patchMetadata(ctx context.Context, object client.Object, change func(client.Object)) error {
	before, _ := object.DeepCopyObject().(client.Object)
	change(object)
	if err := s.client.Patch(ctx, object, locked(before)); err != nil {
		return fmt.Errorf("writing metadata: %w", err)
	}
	return nil
}

// removeFinalizer lets the object go. One that is gone already is no error.
func (s *shared) removeFinalizer(ctx context.Context, object client.Object, finalizer string) error {
	if !controllerutil.ContainsFinalizer(object, finalizer) {
		return nil
	}
	err := s.patchMetadata(ctx, object, func(o client.Object) { controllerutil.RemoveFinalizer(o, finalizer) })
	return client.IgnoreNotFound(err)
}

// addFinalizer keeps the object.
func (s *shared) addFinalizer(ctx context.Context, object client.Object, finalizer string) error {
	if controllerutil.ContainsFinalizer(object, finalizer) {
		return nil
	}
	return s.patchMetadata(ctx, object, func(o client.Object) { controllerutil.AddFinalizer(o, finalizer) })
}

// tooLarge says that the API server will never take this object, as it is too large or not valid.
func tooLarge(err error) bool {
	return apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}
