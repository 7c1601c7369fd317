// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command floor is a bare controller that makes the writes of the protocols and nothing else: for a Sandbox a patch of the metadata
// with a lock, then one of the status, and for a SandboxExec two patches of the status. In the place of a provider it waits, for as
// long as it is told. Nothing that keeps the protocols can be faster on the same machine, so it is what the manager is measured against.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// workers are as many as facts of the field were measured with.
const workers = 128

const journal = "floor.sandboxes.run/journal"

// sandboxes is the reconciler of Sandboxes.
type sandboxes struct {
	client.Client

	// delay is how long to make a sandbox takes, and to destroy it.
	delay time.Duration
}

// provider takes its time.
func (r sandboxes) provider(ctx context.Context) error {
	if r.delay == 0 {
		return nil
	}
	select {
	case <-time.After(r.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reconcile makes a Sandbox Ready, or lets it go.
func (r sandboxes) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var sandbox v1alpha1.Sandbox
	if err := r.Get(ctx, request.NamespacedName, &sandbox); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := sandbox.DeepCopy()
	locked := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if sandbox.DeletionTimestamp != nil {
		if err := r.provider(ctx); err != nil {
			return ctrl.Result{}, err
		}
		controllerutil.RemoveFinalizer(&sandbox, v1alpha1.SandboxFinalizer)
		return ctrl.Result{}, client.IgnoreNotFound(r.Patch(ctx, &sandbox, locked))
	}
	if sandbox.Annotations[journal] != "" {
		return ctrl.Result{}, nil
	}
	controllerutil.AddFinalizer(&sandbox, v1alpha1.SandboxFinalizer)
	metav1.SetMetaDataAnnotation(&sandbox.ObjectMeta, journal, "1")
	if err := r.Patch(ctx, &sandbox, locked); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.provider(ctx); err != nil {
		return ctrl.Result{}, err
	}
	before = sandbox.DeepCopy()
	sandbox.Status.SandboxID, sandbox.Status.Incarnation, sandbox.Status.State = sandbox.Name, 1, v1alpha1.SandboxRunning
	meta.SetStatusCondition(&sandbox.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, Message: "The sandbox runs",
	})
	return ctrl.Result{}, r.Status().Patch(ctx, &sandbox, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// execs is the reconciler of SandboxExecs.
type execs struct{ client.Client }

// Reconcile finishes a run.
func (r execs) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var exec v1alpha1.SandboxExec
	if err := r.Get(ctx, request.NamespacedName, &exec); err != nil || exec.Status.StartTime != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := exec.DeepCopy()
	exec.Status.StartTime, exec.Status.Attempt, exec.Status.Incarnation = new(metav1.Now()), 1, 1
	exec.Status.SandboxID, exec.Status.SandboxUID = exec.Name, string(exec.UID)
	locked := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Status().Patch(ctx, &exec, locked); err != nil {
		return ctrl.Result{}, err
	}
	before = exec.DeepCopy()
	exec.Status.Outcome, exec.Status.ExitCode, exec.Status.CompletionTime = v1alpha1.OutcomeSucceeded, new(int32(0)), new(metav1.Now())
	return ctrl.Result{}, r.Status().Patch(ctx, &exec, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

func main() {
	delay := flag.Duration("delay", 0, "how long to make a sandbox takes, and to destroy it")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(*delay); err != nil {
		ctrl.Log.Error(err, "The floor ends with an error")
		os.Exit(1)
	}
}

func run(delay time.Duration) error {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS = -1
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}},
	})
	if err != nil {
		return err
	}
	options := controller.Options{MaxConcurrentReconciles: workers}
	err = errors.Join(
		ctrl.NewControllerManagedBy(mgr).For(&v1alpha1.Sandbox{}).WithOptions(options).Complete(sandboxes{mgr.GetClient(), delay}),
		ctrl.NewControllerManagedBy(mgr).For(&v1alpha1.SandboxExec{}).WithOptions(options).Complete(execs{mgr.GetClient()}))
	if err != nil {
		return err
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}
