// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command floor is a bare controller of Sandboxes that makes the two writes of the create protocol and nothing else: a patch of the
// metadata with a lock, then one of the status. Nothing that keeps the protocol can be faster on the same machine, so it is what the
// manager is measured against.
package main

import (
	"context"
	"os"

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

type reconciler struct{ client.Client }

// Reconcile implements reconcile.Reconciler.
func (r reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var sandbox v1alpha1.Sandbox
	if err := r.Get(ctx, request.NamespacedName, &sandbox); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := sandbox.DeepCopy()
	locked := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if sandbox.DeletionTimestamp != nil {
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
	before = sandbox.DeepCopy()
	sandbox.Status.SandboxID, sandbox.Status.Incarnation = sandbox.Name, 1
	meta.SetStatusCondition(&sandbox.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, Message: "The sandbox runs",
	})
	return ctrl.Result{}, r.Status().Patch(ctx, &sandbox, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

func main() {
	ctrl.SetLogger(zap.New())
	if err := run(); err != nil {
		ctrl.Log.Error(err, "The floor ends with an error")
		os.Exit(1)
	}
}

func run() error {
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
	err = ctrl.NewControllerManagedBy(mgr).Named("floor").For(&v1alpha1.Sandbox{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).Complete(reconciler{mgr.GetClient()})
	if err != nil {
		return err
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}
