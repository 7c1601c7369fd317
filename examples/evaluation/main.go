// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command evaluation runs the controller of the example against the cluster of the current kubeconfig, in which sandbox-operator is
// installed.
package main

import (
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"

	evaluationsv1 "example.com/evaluation/api/v1"
	"example.com/evaluation/controller"
)

func main() {
	ctrl.SetLogger(zap.New())
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(evaluationsv1.AddToScheme(scheme))
	manager, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{Scheme: scheme})
	if err == nil {
		err = (&controller.Reconciler{Client: manager.GetClient()}).SetupWithManager(manager)
	}
	if err == nil {
		err = manager.Start(ctrl.SetupSignalHandler())
	}
	if err != nil {
		ctrl.Log.Error(err, "The controller ends with an error")
		os.Exit(1)
	}
}
