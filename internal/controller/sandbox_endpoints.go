// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// The Secret with the tokens of a Sandbox's endpoints is made with them, and follows them; one that is not the operator's is left alone.
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;patch

// isReachable says that each of the ports has its endpoint.
func isReachable(sandbox *v1alpha1.Sandbox) bool {
	if len(sandbox.Spec.Ports) != len(sandbox.Status.Endpoints) {
		return false
	}
	for i := range sandbox.Spec.Ports {
		if sandbox.Spec.Ports[i].Name != sandbox.Status.Endpoints[i].Name {
			return false
		}
	}
	return true
}

// resignAt is when another signed URL must take the place of one that ends; zero = never.
func resignAt(sandbox *v1alpha1.Sandbox) time.Time {
	var first time.Time
	for i := range sandbox.Status.Endpoints {
		end := timeOf(sandbox.Status.Endpoints[i].ExpiresAt)
		if at := end.Add(-backends.SignedURLRenewal); !end.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// reach makes the ports reachable, and says in the status how. What a request must bring along goes to a Secret.
func (p *sandboxPass) reach(ctx context.Context, door *provider.Door) error {
	var endpoints []v1alpha1.SandboxEndpoint
	secrets := map[string][]byte{}
	for _, port := range p.sandbox.Spec.Ports {
		found, err := door.Endpoint(ctx, p.sandbox.Status.SandboxID, portOf(port))
		if err != nil {
			return fmt.Errorf("port %s: %w", port.Name, err)
		}
		if !showable(found.URL) {
			return specErrorf(v1alpha1.ReasonEndpointFailed, "port %s: the provider gave a URL that can't be shown", port.Name)
		}
		endpoint := v1alpha1.SandboxEndpoint{Name: port.Name, URL: found.URL}
		for header, value := range found.Headers {
			secrets[port.Name+"."+header] = []byte(value)
			endpoint.SecretRef = &v1alpha1.LocalReference{Name: endpointSecretName(p.sandbox.Name)}
		}
		if found.SignedURL != "" {
			secrets[port.Name+".url"] = []byte(found.SignedURL)
			endpoint.SecretRef = &v1alpha1.LocalReference{Name: endpointSecretName(p.sandbox.Name)}
			endpoint.ExpiresAt = timeOrNil(found.Expires)
		}
		endpoints = append(endpoints, endpoint)
	}
	if len(secrets) > 0 {
		if err := p.writeEndpointSecret(ctx, secrets); err != nil {
			return err
		}
	}
	p.sandbox.Status.Endpoints = endpoints
	return nil
}

// showable says that a URL fits into the status and holds no credentials.
func showable(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Host != "" && parsed.User == nil && len(text) <= 2048
}

// endpointSecretName is the name of the Secret with what requests to a Sandbox's ports must bring along.
func endpointSecretName(sandbox string) string {
	const suffix, most = "-endpoints", 253
	if len(sandbox)+len(suffix) <= most {
		return sandbox + suffix
	}
	sum := sha256.Sum256([]byte(sandbox))
	return sandbox[:most-len(suffix)-17] + "-" + hex.EncodeToString(sum[:8]) + suffix
}

// writeEndpointSecret writes the Secret. One of its name that is not the Sandbox's own is never overwritten.
func (p *sandboxPass) writeEndpointSecret(ctx context.Context, data map[string][]byte) error {
	key := types.NamespacedName{Namespace: p.sandbox.Namespace, Name: endpointSecretName(p.sandbox.Name)}
	var existing corev1.Secret
	err := p.live.Get(ctx, key, &existing)
	if apierrors.IsNotFound(err) {
		return p.createEndpointSecret(ctx, key, data)
	}
	if err != nil {
		return fmt.Errorf("reading Secret %q: %w", key.Name, err)
	}
	if !metav1.IsControlledBy(&existing, p.sandbox) {
		return specErrorf(v1alpha1.ReasonEndpointFailed, "Secret %q is not this Sandbox's, and is not overwritten: remove it, "+
			"then create this Sandbox again", key.Name)
	}
	if maps.EqualFunc(existing.Data, data, bytes.Equal) {
		return nil
	}
	changed := existing.DeepCopy()
	changed.Data = data
	if err := p.client.Patch(ctx, changed, locked(&existing), client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("writing Secret %q: %w", key.Name, err)
	}
	return nil
}

func (p *sandboxPass) createEndpointSecret(ctx context.Context, key types.NamespacedName, data map[string][]byte) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: data}
	if err := controllerutil.SetControllerReference(p.sandbox, secret, p.client.Scheme()); err != nil {
		return fmt.Errorf("owning Secret %q: %w", key.Name, err)
	}
	if err := p.client.Create(ctx, secret, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("creating Secret %q: %w", key.Name, err)
	}
	return nil
}
