// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// connect is the cluster with all kinds that the checks read: more than other commands need.
func connect(f *cli.Factory) (client.WithWatch, string, error) {
	namespace, err := f.CurrentNamespace()
	if err != nil {
		return nil, "", err
	}
	config, err := f.ToRESTConfig()
	if err != nil {
		return nil, "", err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme, coordinationv1.AddToScheme, authorizationv1.AddToScheme,
		apiextensionsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, "", err
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper()})
	return c, namespace, err
}

// mapper knows the resources of the kinds that are read.
func mapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for gvk, plural := range map[schema.GroupVersionKind]string{
		v1alpha1.GroupVersion.WithKind("Sandbox"):           "sandboxes",
		v1alpha1.GroupVersion.WithKind("SandboxExec"):       "sandboxexecs",
		v1alpha1.GroupVersion.WithKind("SandboxProvider"):   "sandboxproviders",
		corev1.SchemeGroupVersion.WithKind("Secret"):        "secrets",
		corev1.SchemeGroupVersion.WithKind("ConfigMap"):     "configmaps",
		corev1.SchemeGroupVersion.WithKind("ResourceQuota"): "resourcequotas",
		appsv1.SchemeGroupVersion.WithKind("Deployment"):    "deployments",
		coordinationv1.SchemeGroupVersion.WithKind("Lease"): "leases",
	} {
		mapper.AddSpecific(gvk, gvk.GroupVersion().WithResource(plural), gvk.GroupVersion().WithResource(plural), meta.RESTScopeNamespace)
	}
	for gvk, plural := range map[schema.GroupVersionKind]string{
		v1alpha1.GroupVersion.WithKind("ClusterSandboxProvider"):                "clustersandboxproviders",
		authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"):  "selfsubjectaccessreviews",
		apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"): "customresourcedefinitions",
	} {
		mapper.AddSpecific(gvk, gvk.GroupVersion().WithResource(plural), gvk.GroupVersion().WithResource(plural), meta.RESTScopeRoot)
	}
	return mapper
}

// oldest is the oldest minor version of Kubernetes 1 that the operator works with (docs/install.md).
const oldest = 33

// cluster asks who is there; without an answer nothing else can be asked.
func (p *patient) cluster() ([]Finding, bool) {
	const check = "cluster"
	config, err := p.factory.ToRESTConfig()
	if err != nil {
		return []Finding{broken(check, err)}, false
	}
	asks, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return []Finding{broken(check, err)}, false
	}
	version, err := asks.ServerVersion()
	if err != nil {
		return []Finding{broken(check, err)}, false
	}
	minor, err := strconv.Atoi(strings.TrimRight(version.Minor, "+"))
	if err == nil && version.Major == "1" && minor < oldest {
		return []Finding{failed(check, "upgrade the cluster", "%s runs Kubernetes %s; the operator wants 1.%d or newer",
			config.Host, version.GitVersion, oldest)}, true
	}
	return []Finding{fine(check, "%s runs Kubernetes %s; namespace %s", config.Host, version.GitVersion, p.namespace)}, true
}
