// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// locked is the difference from before, which the API server takes only where nobody has written in between: a pass on a
// stale copy, or by a leader that was deposed, fails before it has an effect.
func locked(before client.Object) client.Patch {
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}

// lockedStatus and lockedMetadata are locked for objects of which only the one part was changed: only that is compared, which takes a
// fraction of the time.
func lockedStatus(before, after client.Object) (client.Patch, error) {
	status, err := difference(statusOf(before), statusOf(after))
	return lockedParts(before, map[string]json.RawMessage{}, map[string]any{"status": status}, err)
}

func lockedMetadata(before, after client.Object) (client.Patch, error) {
	metadata := map[string]json.RawMessage{}
	changed, err := difference(changeableOf(before), changeableOf(after))
	if err == nil {
		err = json.Unmarshal(changed, &metadata)
	}
	return lockedParts(before, metadata, map[string]any{}, err)
}

func lockedParts(before client.Object, metadata map[string]json.RawMessage, parts map[string]any, err error) (client.Patch, error) {
	if err != nil {
		return nil, err
	}
	metadata["resourceVersion"] = fmt.Appendf(nil, "%q", before.GetResourceVersion())
	parts["metadata"] = metadata
	data, err := json.Marshal(parts)
	return client.RawPatch(types.MergePatchType, data), err
}

// difference is the merge patch that makes the one the other.
func difference(before, after any) (json.RawMessage, error) {
	old, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	changed, err := json.Marshal(after)
	if err != nil {
		return nil, err
	}
	return jsonpatch.CreateMergePatch(old, changed)
}

// changeable is what passes change of the metadata.
type changeable struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Finalizers  []string          `json:"finalizers,omitempty"`
}

func changeableOf(o client.Object) changeable {
	return changeable{o.GetLabels(), o.GetAnnotations(), o.GetFinalizers()}
}

// statusOf is the status of an object of a kind whose status passes write.
func statusOf(object client.Object) any {
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		return &o.Status
	case *v1alpha1.SandboxExec:
		return &o.Status
	default:
		return nil
	}
}

// writeStatus writes the status of a pass's copy where it changed, and makes it what the pass read.
func writeStatus[T interface {
	client.Object
	DeepCopy() T
}](ctx context.Context, c client.Client, before *T, after T, changed bool) error {
	if !changed {
		return nil
	}
	patch, err := lockedStatus(*before, after)
	if err == nil {
		err = c.Status().Patch(ctx, after, patch)
	}
	if err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	*before = after.DeepCopy()
	return nil
}

// patchMetadata changes labels, annotations or finalizers of a copy and writes the difference. Where the API server says that it did not,
// the copy is as it was; where it is not known, the change may come through.
func (s *shared) patchMetadata(ctx context.Context, object client.Object, change func(client.Object)) error {
	before, _ := object.DeepCopyObject().(client.Object)
	change(object)
	patch, err := lockedMetadata(before, object)
	if err == nil {
		err = s.client.Patch(ctx, object, patch)
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		object.SetLabels(before.GetLabels())
		object.SetAnnotations(before.GetAnnotations())
		object.SetFinalizers(before.GetFinalizers())
	}
	if err != nil {
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
