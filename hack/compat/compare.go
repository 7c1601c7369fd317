// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

type (
	crd    = apiextensionsv1.CustomResourceDefinition
	schema = apiextensionsv1.JSONSchemaProps
)

// findings collects what breaks, a line each: "KIND VERSION PATH: WHAT".
type findings []string

func (f *findings) addf(where, format string, arguments ...any) {
	*f = append(*f, where+": "+fmt.Sprintf(format, arguments...))
}

// Compare says, a line each, what of the old CRDs is broken by the current ones.
func Compare(old, current []crd) []string {
	var found findings
	byName := map[string]*crd{}
	for i := range current {
		byName[current[i].Name] = &current[i]
	}
	for i := range old {
		now, there := byName[old[i].Name]
		if !there {
			found.addf(old[i].Name, "the kind is gone")
			continue
		}
		found.compareCRD(&old[i], now)
	}
	return found
}

func (f *findings) compareCRD(old, now *crd) {
	if old.Spec.Scope != now.Spec.Scope {
		f.addf(old.Name, "the scope changed from %s to %s", old.Spec.Scope, now.Spec.Scope)
	}
	if old.Spec.Names.Kind != now.Spec.Names.Kind {
		f.addf(old.Name, "the kind is called %s instead of %s", now.Spec.Names.Kind, old.Spec.Names.Kind)
	}
	for _, name := range old.Spec.Names.ShortNames {
		if !slices.Contains(now.Spec.Names.ShortNames, name) {
			f.addf(old.Name, "the short name %s is gone", name)
		}
	}
	for i := range old.Spec.Versions {
		f.compareVersion(old, now, &old.Spec.Versions[i])
	}
}

func (f *findings) compareVersion(old, now *crd, version *apiextensionsv1.CustomResourceDefinitionVersion) {
	where := old.Spec.Names.Kind + " " + version.Name
	at := slices.IndexFunc(now.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
		return v.Name == version.Name
	})
	switch {
	case at < 0:
		f.addf(where, "the version is gone")
		return
	case version.Served && !now.Spec.Versions[at].Served:
		f.addf(where, "the version is not served any more")
	case version.Subresources != nil && version.Subresources.Status != nil &&
		(now.Spec.Versions[at].Subresources == nil || now.Spec.Versions[at].Subresources.Status == nil):
		f.addf(where, "the subresource status is gone")
	}
	if version.Schema != nil && now.Spec.Versions[at].Schema != nil {
		f.compareSchema(where+" ", version.Schema.OpenAPIV3Schema, now.Spec.Versions[at].Schema.OpenAPIV3Schema)
	}
}

// compareSchema walks both schemas; a nil one takes everything.
func (f *findings) compareSchema(where string, old, now *schema) {
	if old == nil || now == nil {
		return
	}
	f.compareLimits(where, old, now)
	f.compareFields(where, old, now)
	if old.Items != nil && now.Items != nil {
		f.compareSchema(where+"[]", old.Items.Schema, now.Items.Schema)
	}
	if old.AdditionalProperties != nil && now.AdditionalProperties == nil && !isTrue(now.XPreserveUnknownFields) {
		f.addf(where, "it takes no keys of one's own any more")
	}
	if old.AdditionalProperties != nil && now.AdditionalProperties != nil {
		f.compareSchema(where+"{}", old.AdditionalProperties.Schema, now.AdditionalProperties.Schema)
	}
}

func (f *findings) compareFields(where string, old, now *schema) {
	for _, name := range slices.Sorted(maps.Keys(old.Properties)) {
		was := old.Properties[name]
		is, there := now.Properties[name]
		if !there {
			if !isTrue(now.XPreserveUnknownFields) {
				f.addf(where+"."+name, "the field is gone")
			}
			continue
		}
		f.compareSchema(where+"."+name, &was, &is)
	}
	for _, name := range now.Required {
		if property := now.Properties[name]; !slices.Contains(old.Required, name) && property.Default == nil {
			f.addf(where+"."+name, "the field is required now")
		}
	}
}
