// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

var namespaceKind = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}

// SetupError is what a user or administrator must mend before a provider can be used. Its text says how.
type SetupError struct {
	// Reason is that of the condition.
	Reason string
	// Message is the text.
	Message string
}

// Error implements error.
func (e *SetupError) Error() string { return e.Message }

// IsSetup returns the SetupError in err's chain, if there is one.
func IsSetup(err error) (*SetupError, bool) {
	var setup *SetupError
	ok := errors.As(err, &setup)
	return setup, ok
}

func setupErrorf(reason, format string, args ...any) *SetupError {
	return &SetupError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// credentials reads the provider's Secret, live, and checks that it has what the backend needs.
func (d *Doors) credentials(ctx context.Context, p Provider, registration backends.Registration) (map[string][]byte, error) {
	namespace := p.Object.GetNamespace()
	if p.Kind == v1alpha1.KindClusterSandboxProvider {
		namespace = d.Namespace
	}
	if p.Spec.Credentials == nil {
		if !needsCredentials(registration) {
			return nil, nil
		}
		return nil, setupErrorf(v1alpha1.ReasonCredentialsMissing,
			"backend %q needs a Secret: set spec.credentials.secretRef.name, and make it with: %s",
			registration.Name, howToCreate(registration, namespace, "NAME"))
	}
	if len(registration.Setup.Keys) == 0 {
		return nil, setupErrorf(v1alpha1.ReasonInvalidParameters,
			"backend %q needs no credentials: remove spec.credentials", registration.Name)
	}
	name := p.Spec.Credentials.SecretRef.Name
	var secret corev1.Secret
	err := d.Secrets.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, setupErrorf(v1alpha1.ReasonCredentialsMissing, "Secret %q does not exist in namespace %q; make it with: %s",
			name, namespace, howToCreate(registration, namespace, name))
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %q in namespace %q: %w", name, namespace, err)
	}
	for _, key := range registration.Setup.Keys {
		if !key.Optional && len(secret.Data[key.Name]) == 0 {
			return nil, setupErrorf(v1alpha1.ReasonCredentialsMissing,
				"Secret %q in namespace %q has no key %q (%s); put it there with: kubectl patch secret %s -n %s "+
					"-p '{\"stringData\":{\"%s\":\"...\"}}'%s",
				name, namespace, key.Name, key.Description, name, namespace, key.Name, whereToGet(registration))
		}
	}
	return secret.Data, nil
}

func needsCredentials(registration backends.Registration) bool {
	for _, key := range registration.Setup.Keys {
		if !key.Optional {
			return true
		}
	}
	return false
}

// howToCreate is the line that makes the Secret.
func howToCreate(registration backends.Registration, namespace, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kubectl create secret generic %s -n %s", name, namespace)
	for _, key := range registration.Setup.Keys {
		if !key.Optional {
			fmt.Fprintf(&b, " --from-literal=%s=...", key.Name)
		}
	}
	return b.String() + whereToGet(registration)
}

func whereToGet(registration backends.Registration) string {
	if registration.Setup.Where == "" {
		return ""
	}
	return " (" + registration.Setup.Where + ")"
}
