// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller has an Evaluation's tasks run in a sandbox of its own, with sandbox-operator, and judges them.
//
// evaluation.go is the reconciler, objects.go makes what it owns, and verdict.go says what an outcome means.
package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"

	evaluationsv1 "example.com/evaluation/api/v1"
)

// The rights that it needs, beside those for its own kind.
// +kubebuilder:rbac:groups=evaluations.example.com,resources=evaluations,verbs=get;list;watch
// +kubebuilder:rbac:groups=evaluations.example.com,resources=evaluations/status,verbs=patch
// +kubebuilder:rbac:groups=evaluations.example.com,resources=evaluations/finalizers,verbs=update
// +kubebuilder:rbac:groups=sandboxes.run,resources=sandboxes;sandboxexecs,verbs=get;list;watch;create;delete

// Reconciler brings Evaluations to their end.
type Reconciler struct {
	Client client.Client
}

// SetupWithManager watches Evaluations and what they own: the end of a run wakes its Evaluation, so nothing is polled.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		For(&evaluationsv1.Evaluation{}).
		Owns(&v1alpha1.Sandbox{}).
		Owns(&v1alpha1.SandboxExec{}).
		Complete(r)
}

// Reconcile makes what is missing, judges what has ended, and destroys the sandbox when all has.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	err := r.pass(ctx, request)
	if apierrors.IsAlreadyExists(err) {
		// The cache has not told yet of what was made. Whose that is, the next pass sees.
		return ctrl.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	return ctrl.Result{}, err
}

func (r *Reconciler) pass(ctx context.Context, request ctrl.Request) error {
	evaluation := &evaluationsv1.Evaluation{}
	if err := r.Client.Get(ctx, request.NamespacedName, evaluation); err != nil {
		return client.IgnoreNotFound(err)
	}
	// What it owns is deleted with it by Kubernetes, and the operator destroys what that had: there is no finalizer here.
	if evaluation.DeletionTimestamp != nil || meta.IsStatusConditionTrue(evaluation.Status.Conditions, evaluationsv1.ConditionFinished) {
		return r.discardSandbox(ctx, evaluation)
	}
	if err := r.ensureSandbox(ctx, evaluation); err != nil {
		return err
	}
	before := evaluation.DeepCopy()
	for _, task := range evaluation.Spec.Tasks {
		status, err := r.runTask(ctx, evaluation, task)
		if err != nil {
			return fmt.Errorf("running the task %s: %w", task.Name, err)
		}
		setTask(&evaluation.Status, status)
	}
	meta.SetStatusCondition(&evaluation.Status.Conditions, finished(evaluation))
	if equality.Semantic.DeepEqual(before.Status, evaluation.Status) {
		return nil
	}
	return r.Client.Status().Patch(ctx, evaluation, client.MergeFrom(before))
}

// runTask makes the run of a task, if it is not there, and says what is known of it. A run whose sandbox was lost is followed by
// another, under another name: a SandboxExec runs once, whatever happens.
func (r *Reconciler) runTask(
	ctx context.Context, evaluation *evaluationsv1.Evaluation, task evaluationsv1.Task,
) (evaluationsv1.TaskStatus, error) {
	for attempt := int32(1); ; attempt++ {
		var exec v1alpha1.SandboxExec
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: evaluation.Namespace, Name: execName(evaluation, task, attempt)}, &exec)
		if apierrors.IsNotFound(err) {
			return evaluationsv1.TaskStatus{Name: task.Name, Verdict: evaluationsv1.Pending, Attempt: attempt},
				r.makeExec(ctx, evaluation, task, attempt)
		}
		if err != nil {
			return evaluationsv1.TaskStatus{}, err
		}
		if !metav1.IsControlledBy(&exec, evaluation) {
			return evaluationsv1.TaskStatus{}, fmt.Errorf("the SandboxExec %s exists, and is somebody else's", exec.Name)
		}
		if exec.Status.Outcome != v1alpha1.OutcomeSandboxLost || attempt > evaluation.Spec.RepeatLost {
			return judge(task, attempt, &exec), nil
		}
		sandbox, err := r.sandboxOf(ctx, evaluation)
		if err != nil {
			return evaluationsv1.TaskStatus{}, err
		}
		if !isMadeAnew(sandbox, &exec) {
			return judgeLost(task, attempt, &exec, sandbox), nil
		}
	}
}

// isMadeAnew says that the Sandbox has another sandbox than the one that was lost under a run. Before that, the next run would be lost
// as well. Incarnations are counted within one object: where the object itself was deleted and made anew, they begin at 1 again.
func isMadeAnew(sandbox *v1alpha1.Sandbox, lost *v1alpha1.SandboxExec) bool {
	if string(sandbox.UID) != lost.Status.SandboxUID {
		return sandbox.Status.SandboxID != ""
	}
	return sandbox.Status.Incarnation > lost.Status.Incarnation
}

func setTask(status *evaluationsv1.EvaluationStatus, task evaluationsv1.TaskStatus) {
	for i := range status.Tasks {
		if status.Tasks[i].Name == task.Name {
			status.Tasks[i] = task
			return
		}
	}
	status.Tasks = append(status.Tasks, task)
}
