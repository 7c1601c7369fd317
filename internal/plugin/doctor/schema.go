// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"reflect"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// resources are those of the operator, with the types that this plugin knows of spec and status.
var resources = []struct {
	name         string
	spec, status any
}{
	{"sandboxes", v1alpha1.SandboxSpec{}, v1alpha1.SandboxStatus{}},
	{"sandboxexecs", v1alpha1.SandboxExecSpec{}, v1alpha1.SandboxExecStatus{}},
	{"sandboxproviders", v1alpha1.ProviderSpec{}, v1alpha1.ProviderStatus{}},
	{"clustersandboxproviders", v1alpha1.ClusterProviderSpec{}, v1alpha1.ProviderStatus{}},
}

// schemas looks whether the CRDs are there, and have what this plugin knows.
func (p *patient) schemas(ctx context.Context) []Finding {
	const check = "CRDs"
	var findings []Finding
	missing, unread := []string{}, false
	for _, resource := range resources {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		name := resource.name + "." + v1alpha1.GroupVersion.Group
		err := p.Get(ctx, types.NamespacedName{Name: name}, crd)
		switch {
		case apierrors.IsNotFound(err):
			missing = append(missing, name)
		case apierrors.IsForbidden(err):
			unread = true
		case err != nil:
			return []Finding{broken(check, err)}
		default:
			if difference := compare(crd, resource.spec, resource.status); difference != "" {
				findings = append(findings, warned(check, "install the CRDs and the plugin of one release (docs/install.md)",
					"%s", difference))
			}
		}
	}
	if unread {
		return append(p.served(), findings...)
	}
	if len(missing) > 0 {
		return []Finding{failed(check, "install the operator (docs/install.md), or choose another cluster with --context",
			"not installed: %s", strings.Join(missing, ", "))}
	}
	if len(findings) == 0 {
		findings = []Finding{fine(check, "all four are there, and as this plugin knows them")}
	}
	return findings
}

// served asks who may not read CRDs what the API server has.
func (p *patient) served() []Finding {
	const check = "CRDs"
	config, err := p.factory.ToRESTConfig()
	if err != nil {
		return []Finding{broken(check, err)}
	}
	asks, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return []Finding{broken(check, err)}
	}
	list, err := asks.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil || len(list.APIResources) == 0 {
		return []Finding{failed(check, "install the operator (docs/install.md), or choose another cluster with --context",
			"the cluster has no kinds of %s", v1alpha1.GroupVersion)}
	}
	return []Finding{fine(check, "%s is there; you may not read the CRDs, so that they were not compared", v1alpha1.GroupVersion)}
}

// compare says what a CRD and this plugin don't have in common; empty where that is nothing.
func compare(crd *apiextensionsv1.CustomResourceDefinition, spec, status any) string {
	i := slices.IndexFunc(crd.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
		return v.Name == v1alpha1.GroupVersion.Version && v.Served
	})
	if i < 0 || crd.Spec.Versions[i].Schema == nil {
		return crd.Name + " does not serve " + v1alpha1.GroupVersion.Version
	}
	root := crd.Spec.Versions[i].Schema.OpenAPIV3Schema
	var older, newer []string
	for name, known := range map[string][]string{"spec": fieldsOf(reflect.TypeOf(spec)), "status": fieldsOf(reflect.TypeOf(status))} {
		properties := root.Properties[name].Properties
		for _, field := range known {
			if _, there := properties[field]; !there {
				older = append(older, name+"."+field)
			}
		}
		for field := range properties {
			if !slices.Contains(known, field) {
				newer = append(newer, name+"."+field)
			}
		}
	}
	slices.Sort(older)
	slices.Sort(newer)
	switch {
	case len(older) > 0:
		return crd.Name + " is older than this plugin: it lacks " + strings.Join(older, ", ")
	case len(newer) > 0:
		return crd.Name + " is newer than this plugin, which does not know " + strings.Join(newer, ", ")
	}
	return ""
}

// fieldsOf are the JSON names of a struct's fields, those of embedded structs included.
func fieldsOf(t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" && field.Anonymous {
			names = append(names, fieldsOf(field.Type)...)
		} else if name != "" {
			names = append(names, name)
		}
	}
	return names
}
