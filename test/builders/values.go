// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package builders

import (
	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// Text is inline content.
func Text(content string) v1alpha1.Content {
	return v1alpha1.Content{Content: &content}
}

// From is content from a Secret or ConfigMap.
func From(source *v1alpha1.ValueSource) v1alpha1.Content {
	return v1alpha1.Content{ContentFrom: source}
}

// SecretKey names a key of a Secret.
func SecretKey(name, key string) *v1alpha1.ValueSource {
	return &v1alpha1.ValueSource{SecretKeyRef: &v1alpha1.KeyReference{Name: name, Key: key}}
}

// ConfigMapKey names a key of a ConfigMap.
func ConfigMapKey(name, key string) *v1alpha1.ValueSource {
	return &v1alpha1.ValueSource{ConfigMapKeyRef: &v1alpha1.KeyReference{Name: name, Key: key}}
}

func plainVariable(name, value string) v1alpha1.EnvVar {
	return v1alpha1.EnvVar{Name: name, Value: &value}
}

// AllOfSecret takes all keys of a Secret as variables.
func AllOfSecret(name, prefix string) v1alpha1.EnvFromSource {
	return v1alpha1.EnvFromSource{Prefix: prefix, SecretRef: &v1alpha1.LocalReference{Name: name}}
}

// AllOfConfigMap takes all keys of a ConfigMap as variables.
func AllOfConfigMap(name, prefix string) v1alpha1.EnvFromSource {
	return v1alpha1.EnvFromSource{Prefix: prefix, ConfigMapRef: &v1alpha1.LocalReference{Name: name}}
}
