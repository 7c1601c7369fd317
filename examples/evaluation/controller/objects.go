// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"

	evaluationsv1 "example.com/evaluation/api/v1"
)

func execName(evaluation *evaluationsv1.Evaluation, task evaluationsv1.Task, attempt int32) string {
	return fmt.Sprintf("%s-%s-%d", evaluation.Name, task.Name, attempt)
}

// sandboxOf returns the Sandbox of an Evaluation, empty where there is none. A Sandbox of that name which somebody else made is an
// error: tasks would run in it, and at the end it would be deleted.
func (r *Reconciler) sandboxOf(ctx context.Context, evaluation *evaluationsv1.Evaluation) (*v1alpha1.Sandbox, error) {
	sandbox := &v1alpha1.Sandbox{}
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(evaluation), sandbox)
	switch {
	case apierrors.IsNotFound(err):
		return &v1alpha1.Sandbox{}, nil
	case err != nil:
		return nil, err
	case !metav1.IsControlledBy(sandbox, evaluation):
		return nil, fmt.Errorf("the Sandbox %s exists, and is somebody else's", sandbox.Name)
	}
	return sandbox, nil
}

// ensureSandbox makes the Sandbox of an Evaluation where there is none.
func (r *Reconciler) ensureSandbox(ctx context.Context, evaluation *evaluationsv1.Evaluation) error {
	there, err := r.sandboxOf(ctx, evaluation)
	if err != nil || there.UID != "" {
		return err
	}
	sandbox := &v1alpha1.Sandbox{
		ObjectMeta: made(evaluation, evaluation.Name),
		// A sandbox that the provider loses is made anew, so that its tasks can be run again; and should this controller never come
		// back, it costs an hour at most.
		Spec: v1alpha1.SandboxSpec{Lifetime: &v1alpha1.SandboxLifetime{OnLoss: v1alpha1.OnLossRecreate, TimeoutSeconds: 3600}},
	}
	if evaluation.Spec.Image != "" {
		sandbox.Spec.Source = &v1alpha1.SandboxSource{Image: evaluation.Spec.Image}
	}
	// Create, and not apply: apply takes over what somebody else made of that name since the cache was asked.
	if err := r.Client.Create(ctx, sandbox); err != nil {
		return fmt.Errorf("creating the Sandbox: %w", err)
	}
	return nil
}

// makeExec makes one run of a task. Its name has the attempt, so that two passes which both find none make one.
func (r *Reconciler) makeExec(
	ctx context.Context, evaluation *evaluationsv1.Evaluation, task evaluationsv1.Task, attempt int32,
) error {
	return r.Client.Create(ctx, &v1alpha1.SandboxExec{
		ObjectMeta: made(evaluation, execName(evaluation, task, attempt)),
		Spec: v1alpha1.SandboxExecSpec{
			SandboxRef: &v1alpha1.LocalReference{Name: evaluation.Name}, Command: task.Command, TimeoutSeconds: task.TimeoutSeconds,
		},
	})
}

// discardSandbox deletes the Sandbox when it is of no use any more. The SandboxExecs stay, with their output, as long as the Evaluation.
func (r *Reconciler) discardSandbox(ctx context.Context, evaluation *evaluationsv1.Evaluation) error {
	var sandbox v1alpha1.Sandbox
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(evaluation), &sandbox)
	if err != nil || !metav1.IsControlledBy(&sandbox, evaluation) || sandbox.DeletionTimestamp != nil {
		return client.IgnoreNotFound(err)
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, &sandbox, client.Preconditions{UID: &sandbox.UID}))
}

// made is the metadata of what an Evaluation makes. By the owner reference, changes of the object wake the Evaluation, and its deletion
// takes the object along. It blocks the owner's deletion, for which a cluster with OwnerReferencesPermissionEnforcement wants the right
// to update evaluations/finalizers.
func made(evaluation *evaluationsv1.Evaluation, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: evaluation.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(evaluation, evaluationsv1.GroupVersion.WithKind("Evaluation")),
		},
	}
}
