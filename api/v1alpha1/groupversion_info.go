// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the API group and version of the kinds in this package.
	GroupVersion = schema.GroupVersion{Group: "sandboxes.run", Version: "v1alpha1"}

	// SchemeGroupVersion is GroupVersion, by the name that generated clients know.
	SchemeGroupVersion = GroupVersion

	// SchemeBuilder registers the kinds of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

// Resource returns the group and resource, such as sandboxes.sandboxes.run for "sandboxes".
func Resource(resource string) schema.GroupResource {
	return GroupVersion.WithResource(resource).GroupResource()
}

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
