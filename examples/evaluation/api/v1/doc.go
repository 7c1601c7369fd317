// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1 is the API of the example: the kind Evaluation.
//
// +kubebuilder:object:generate=true
// +groupName=evaluations.example.com
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "evaluations.example.com", Version: "v1"}

// AddToScheme adds the kinds of this package to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &Evaluation{}, &EvaluationList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
