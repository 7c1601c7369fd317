// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the kinds of the API group sandboxes.run: Sandbox, SandboxExec, SandboxProvider and
// ClusterSandboxProvider, with their conditions, reasons, labels, annotations and finalizers. It imports nothing else of
// this module, so that other controllers can use it alone.
//
// +kubebuilder:object:generate=true
// +groupName=sandboxes.run
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of the kinds in this package.
	GroupVersion = schema.GroupVersion{Group: "sandboxes.run", Version: "v1alpha1"}

	// SchemeBuilder registers the kinds of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Sandbox{}, &SandboxList{},
		&SandboxExec{}, &SandboxExecList{},
		&SandboxProvider{}, &SandboxProviderList{},
		&ClusterSandboxProvider{}, &ClusterSandboxProviderList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
