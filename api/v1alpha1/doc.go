// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the kinds of the API group sandboxes.run: Sandbox, SandboxExec, SandboxProvider and
// ClusterSandboxProvider, with their conditions, reasons, labels, annotations and finalizers. It imports nothing else of
// this module, so that other controllers can use it alone.
//
// +k8s:openapi-gen=true
// +kubebuilder:object:generate=true
// +groupName=sandboxes.run
// +groupGoName=Sandboxes
package v1alpha1
