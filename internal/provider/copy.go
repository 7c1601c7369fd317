// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// A namespace is deleted in any order: its Secret may go before its sandboxes, and the operator may restart in between. So the
// credentials of a provider that has remotes are copied to a Secret in the operator's own namespace, which serves for nothing
// but what is done with remotes that exist, and goes with the provider.

// The operator's copies of credentials: in its own namespace, to destroy sandboxes when a provider's Secret went first.
// +kubebuilder:rbac:groups="",namespace=system,resources=secrets,verbs=get;create;patch;delete

const (
	// copyPrefix and the provider's UID are the name of the copy.
	copyPrefix = "provider-"
	// endpointAnnotation on the copy has the endpoint that the credentials are for.
	endpointAnnotation = "sandboxes.run/endpoint"
	// ofAnnotation on the copy tells people whose it is.
	ofAnnotation = "sandboxes.run/provider"
)

// SaveCredentials makes the operator's copy of the credentials what the door was built with. It is called before the first
// remote is made, and again when rotated credentials were seen to be of the same account. A crowd that calls it at once does it once.
func (d *Doors) SaveCredentials(ctx context.Context, p Provider, door *Door) error {
	if d.Writer == nil || len(door.credentials) == 0 || door.copied.Load() {
		return nil
	}
	_, err, _ := door.together.Do("copy", func() (any, error) {
		if door.copied.Load() {
			return nil, nil
		}
		return nil, d.saveCredentials(ctx, p, door)
	})
	return err
}

func (d *Doors) saveCredentials(ctx context.Context, p Provider, door *Door) error {
	existing, err := d.readCopy(ctx, p)
	if err != nil {
		return err
	}
	if existing == nil {
		err := d.Writer.Create(ctx, d.newCopy(p, door), client.DisableReadYourWritesConsistency)
		if apierrors.IsAlreadyExists(err) {
			// Another pass made it just now; the next one sees whether it is the same.
			return nil
		}
		if err != nil {
			return fmt.Errorf("copying the credentials to namespace %q: %w", d.Namespace, err)
		}
	} else if accountKey(door.registration, d.configOfCopy(p, existing)) != door.account.key {
		if d.Follows {
			// These are the credentials of before a change, or of after one that is not proven yet.
			door.Distrust()
			return door.ErrChanged()
		}
		changed := existing.DeepCopy()
		changed.Data, changed.Annotations = door.credentials, d.newCopy(p, door).Annotations
		patch := client.MergeFromWithOptions(existing, client.MergeFromWithOptimisticLock{})
		if err := d.Writer.Patch(ctx, changed, patch, client.DisableReadYourWritesConsistency); err != nil {
			return fmt.Errorf("copying the credentials to namespace %q: %w", d.Namespace, err)
		}
	}
	door.copied.Store(true)
	return nil
}

// IsCopied says that the door leads to the account of the operator's copy, or that there is no copy. As a copy is only changed for
// an account that was seen to have what it should, this is how an instance that lists no account knows which one was seen.
func (d *Doors) IsCopied(ctx context.Context, p Provider, door *Door) (bool, error) {
	if len(door.registration.Setup.Keys) == 0 {
		return true, nil
	}
	existing, err := d.readCopy(ctx, p)
	if err != nil || existing == nil {
		return err == nil, err
	}
	return accountKey(door.registration, d.configOfCopy(p, existing)) == door.account.key, nil
}

// RemoveCredentials removes the operator's copy of a provider's credentials.
func (d *Doors) RemoveCredentials(ctx context.Context, p Provider) error {
	if d.Writer == nil {
		return nil
	}
	existing, err := d.readCopy(ctx, p)
	if err != nil || existing == nil {
		return err
	}
	err = d.Writer.Delete(ctx, existing, client.Preconditions{UID: &existing.UID}, client.DisableReadYourWritesConsistency)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the copy of the credentials: %w", err)
	}
	return nil
}

func (d *Doors) newCopy(p Provider, door *Door) *corev1.Secret {
	of := string(p.Kind) + " " + p.Object.GetName()
	if namespace := p.Object.GetNamespace(); namespace != "" {
		of += " in namespace " + namespace
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: copyPrefix + string(p.Object.GetUID()),
			Labels: map[string]string{
				v1alpha1.ProviderUIDLabel: string(p.Object.GetUID()), "app.kubernetes.io/managed-by": "sandbox-operator",
			},
			Annotations: map[string]string{endpointAnnotation: door.endpoint, ofAnnotation: of},
		},
		Data: door.credentials,
	}
}

// readCopy returns the operator's copy, or nil. A Secret of its name that is not the operator's is an error.
func (d *Doors) readCopy(ctx context.Context, p Provider) (*corev1.Secret, error) {
	if d.Writer == nil {
		return nil, nil
	}
	uid := string(p.Object.GetUID())
	var secret corev1.Secret
	err := d.Secrets.Get(ctx, types.NamespacedName{Namespace: d.Namespace, Name: copyPrefix + uid}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the copy of the credentials: %w", err)
	case secret.Labels[v1alpha1.ProviderUIDLabel] != uid:
		return nil, setupErrorf(v1alpha1.ReasonInvalid, "Secret %q in namespace %q is not the operator's: remove it",
			secret.Name, d.Namespace)
	}
	return &secret, nil
}

// configOfCopy is the provider's configuration with the credentials of the copy, and the endpoint that they are for.
func (d *Doors) configOfCopy(p Provider, secret *corev1.Secret) backends.Config {
	config := d.configOf(p, secret.Data)
	config.Endpoint = secret.Annotations[endpointAnnotation]
	return config
}

// openCopy builds a door with the operator's copy of the credentials, or returns nil where there is none. It is kept as
// refused, so that it serves only until the provider can be opened.
func (d *Doors) openCopy(ctx context.Context, p Provider) (*Door, error) {
	registration, err := d.lookup(p)
	if err != nil {
		return nil, err
	}
	if len(registration.Setup.Keys) == 0 {
		return nil, nil
	}
	secret, err := d.readCopy(ctx, p)
	if err != nil || secret == nil {
		return nil, err
	}
	door, err := d.build(ctx, p, registration, d.configOfCopy(p, secret))
	if err != nil {
		return nil, err
	}
	door.refused.Store(true)
	door.copied.Store(true)
	d.keep(p, door, "")
	return door, nil
}
