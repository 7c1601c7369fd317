// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	apply "github.com/sandbox-operator/sandbox-operator/pkg/client/applyconfiguration/api/v1alpha1"

	evaluationsv1 "example.com/evaluation/api/v1"
)

// fieldOwner is who applies.
const fieldOwner = client.FieldOwner("evaluation-controller")

func execName(evaluation *evaluationsv1.Evaluation, task evaluationsv1.Task, attempt int32) string {
	return fmt.Sprintf("%s-%s-%d", evaluation.Name, task.Name, attempt)
}

// sandboxOf returns the Sandbox of an Evaluation, empty where there is none. A Sandbox of that name which somebody else made is an
// error: to apply would put our owner reference on it, tasks would run in it, and at the end it would be deleted.
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

// ensureSandbox applies the Sandbox of an Evaluation. Applied again, it changes nothing.
func (r *Reconciler) ensureSandbox(ctx context.Context, evaluation *evaluationsv1.Evaluation) error {
	if _, err := r.sandboxOf(ctx, evaluation); err != nil {
		return err
	}
	spec := apply.SandboxSpec().
		// A sandbox that the provider loses is made anew, so that its tasks can be run again; and should this controller never come
		// back, it costs an hour at most.
		WithLifetime(apply.SandboxLifetime().WithOnLoss(v1alpha1.OnLossRecreate).WithTimeoutSeconds(3600))
	if evaluation.Spec.Image != "" {
		spec.WithSource(apply.SandboxSource().WithImage(evaluation.Spec.Image))
	}
	sandbox := apply.Sandbox(evaluation.Name, evaluation.Namespace).WithOwnerReferences(ownedBy(evaluation)).WithSpec(spec)
	if err := r.Client.Apply(ctx, sandbox, fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("applying the Sandbox: %w", err)
	}
	return nil
}

// makeExec makes one run of a task. Its name has the attempt, so that two passes which both find none make one.
func (r *Reconciler) makeExec(
	ctx context.Context, evaluation *evaluationsv1.Evaluation, task evaluationsv1.Task, attempt int32,
) error {
	spec := apply.SandboxExecSpec().
		WithSandboxRef(apply.LocalReference().WithName(evaluation.Name)).
		WithCommand(task.Command...)
	if task.TimeoutSeconds != nil {
		spec.WithTimeoutSeconds(*task.TimeoutSeconds)
	}
	exec := apply.SandboxExec(execName(evaluation, task, attempt), evaluation.Namespace).
		WithOwnerReferences(ownedBy(evaluation)).WithSpec(spec)
	return r.Client.Apply(ctx, exec, fieldOwner, client.ForceOwnership)
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

// ownedBy is the owner reference by which changes of an object wake the Evaluation, and its deletion takes the object along.
// blockOwnerDeletion wants the right to update evaluations/finalizers, where the cluster has OwnerReferencesPermissionEnforcement.
func ownedBy(evaluation *evaluationsv1.Evaluation) *applymetav1.OwnerReferenceApplyConfiguration {
	return applymetav1.OwnerReference().
		WithAPIVersion(evaluationsv1.GroupVersion.String()).WithKind("Evaluation").
		WithName(evaluation.Name).WithUID(evaluation.UID).
		WithController(true).WithBlockOwnerDeletion(true)
}
