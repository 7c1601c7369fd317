// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// longestQuote of a name that is none, in bytes.
const longestQuote = 64

// referenceError is a Secret, ConfigMap or key that a spec names and that does not exist (yet).
type referenceError struct{ message string }

func (e *referenceError) Error() string { return e.message }

// references reads, live, what a spec of one namespace refers to. It reads each object once, and remembers which values came
// from Secrets.
type references struct {
	reader    client.Reader
	namespace string

	secrets    map[string]map[string][]byte
	configMaps map[string]map[string][]byte
	// secretValues came from Secrets and may not be stored.
	secretValues []string
}

func (s *shared) references(namespace string) *references {
	return &references{
		reader: s.live, namespace: namespace,
		secrets: map[string]map[string][]byte{}, configMaps: map[string]map[string][]byte{},
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// env adds variables to an environment: envFrom first, in order, then env.
func (r *references) env(ctx context.Context, into map[string]string, from []v1alpha1.EnvFromSource, env []v1alpha1.EnvVar) error {
	for _, source := range from {
		values, err := r.all(ctx, source)
		if err != nil {
			return err
		}
		for key, value := range values {
			if name := source.Prefix + key; envName.MatchString(name) {
				into[name] = string(value)
			}
		}
	}
	for _, variable := range env {
		if variable.Value != nil {
			into[variable.Name] = *variable.Value
			continue
		}
		value, err := r.value(ctx, variable.ValueFrom)
		if err != nil {
			return fmt.Errorf("env %s: %w", variable.Name, err)
		}
		into[variable.Name] = string(value)
	}
	return nil
}

func (r *references) all(ctx context.Context, source v1alpha1.EnvFromSource) (map[string][]byte, error) {
	if source.ConfigMapRef != nil {
		return r.configMap(ctx, source.ConfigMapRef.Name, anyKey)
	}
	values, err := r.secret(ctx, source.SecretRef.Name, anyKey)
	for _, value := range values {
		r.secretValues = append(r.secretValues, string(value))
	}
	return values, err
}

// content returns the bytes of a file or of standard input.
func (r *references) content(ctx context.Context, content v1alpha1.Content) ([]byte, error) {
	if content.Content != nil {
		return []byte(*content.Content), nil
	}
	return r.value(ctx, content.ContentFrom)
}

func (r *references) value(ctx context.Context, source *v1alpha1.ValueSource) ([]byte, error) {
	if ref := source.ConfigMapKeyRef; ref != nil {
		values, err := r.configMap(ctx, ref.Name, ref.Key)
		if err != nil {
			return nil, err
		}
		return r.key("ConfigMap", values, *ref)
	}
	values, err := r.secret(ctx, source.SecretKeyRef.Name, source.SecretKeyRef.Key)
	if err != nil {
		return nil, err
	}
	value, err := r.key("Secret", values, *source.SecretKeyRef)
	if err == nil {
		r.secretValues = append(r.secretValues, string(value))
	}
	return value, err
}

func (r *references) key(kind string, values map[string][]byte, ref v1alpha1.KeyReference) ([]byte, error) {
	value, ok := values[ref.Key]
	if !ok {
		return nil, &referenceError{fmt.Sprintf("%s %q in namespace %q has no key %q; put it there with: kubectl patch %s %s -n %s "+
			"--type merge -p '{\"%s\":{\"%s\":\"...\"}}'", kind, ref.Name, r.namespace, ref.Key,
			strings.ToLower(kind), ref.Name, r.namespace, dataField[kind], ref.Key)}
	}
	return value, nil
}

// anyKey stands in a command line for a key that the user chooses.
const anyKey = "KEY"

// dataField is where kubectl patch puts text.
var dataField = map[string]string{"Secret": "stringData", "ConfigMap": "data"}

func (r *references) secret(ctx context.Context, name, key string) (map[string][]byte, error) {
	if values, ok := r.secrets[name]; ok {
		return values, nil
	}
	var secret corev1.Secret
	if err := r.get(ctx, "Secret", name, key, &secret); err != nil {
		return nil, err
	}
	r.secrets[name] = secret.Data
	return secret.Data, nil
}

func (r *references) configMap(ctx context.Context, name, key string) (map[string][]byte, error) {
	if values, ok := r.configMaps[name]; ok {
		return values, nil
	}
	var configMap corev1.ConfigMap
	if err := r.get(ctx, "ConfigMap", name, key, &configMap); err != nil {
		return nil, err
	}
	values := map[string][]byte{}
	for key, value := range configMap.Data {
		values[key] = []byte(value)
	}
	maps.Copy(values, configMap.BinaryData)
	r.configMaps[name] = values
	return values, nil
}

func (r *references) get(ctx context.Context, kind, name, key string, object client.Object) error {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return &referenceError{fmt.Sprintf("no %s can have the name %q: %s", kind, backends.Bounded(name, longestQuote), problems[0])}
	}
	err := r.reader.Get(ctx, types.NamespacedName{Namespace: r.namespace, Name: name}, object)
	if apierrors.IsNotFound(err) {
		command := map[string]string{"Secret": "secret generic", "ConfigMap": "configmap"}[kind]
		return &referenceError{fmt.Sprintf("%s %q does not exist in namespace %q; make it with: kubectl create %s %s -n %s "+
			"--from-literal=%s=...", kind, name, r.namespace, command, name, r.namespace, key)}
	}
	if err != nil {
		return fmt.Errorf("reading %s %q: %w", kind, name, err)
	}
	return nil
}

// secretSources are references among which Secrets may be.
type secretSources struct {
	all    []v1alpha1.EnvFromSource
	values []*v1alpha1.ValueSource
}

// valuesOf returns the values of those sources that are Secrets. What does not exist is left out.
func (r *references) valuesOf(ctx context.Context, sources secretSources) ([]string, error) {
	var errs []error
	for _, source := range sources.all {
		if source.SecretRef != nil {
			_, err := r.all(ctx, source)
			errs = append(errs, err)
		}
	}
	for _, source := range sources.values {
		if source != nil && source.SecretKeyRef != nil {
			_, err := r.value(ctx, source)
			errs = append(errs, err)
		}
	}
	errs = slices.DeleteFunc(errs, func(err error) bool {
		_, missing := errors.AsType[*referenceError](err)
		return err == nil || missing
	})
	return r.secretValues, errors.Join(errs...)
}

// fileSources are the references of spec.files.
func fileSources(sandbox *v1alpha1.Sandbox) []*v1alpha1.ValueSource {
	var sources []*v1alpha1.ValueSource
	for i := range sandbox.Spec.Files {
		sources = append(sources, sandbox.Spec.Files[i].ContentFrom)
	}
	return sources
}

// plainEnv are the variables that may be part of a create call: literal values only.
func plainEnv(env []v1alpha1.EnvVar) map[string]string {
	plain := map[string]string{}
	for _, variable := range env {
		if variable.Value != nil {
			plain[variable.Name] = *variable.Value
		}
	}
	return plain
}

// secretsDigest tells one set of Secrets' values from another; "" = no value came from a Secret.
func secretsDigest(values []string) string {
	if len(values) == 0 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(values))
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(sorted), "\x00")))
	return hex.EncodeToString(sum[:])
}
