// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Doors builds the doors to providers and keeps them. It is safe for concurrent use.
type Doors struct {
	// Registry has the backends.
	Registry *backends.Registry
	// Secrets reads Secrets, live: they are never cached by an informer.
	Secrets client.Reader
	// Namespace is the operator's own, where the Secrets of cluster providers live.
	Namespace string

	mutex    sync.Mutex
	doors    map[types.UID]*Door
	accounts map[string]*account
}

// Open returns the door to the provider. It is built when it is first asked for, and again after the provider's spec has
// changed, after Forget, and after the provider refused its credentials. What must be mended is a *SetupError.
func (d *Doors) Open(ctx context.Context, p Provider) (*Door, error) {
	if door := d.kept(p); door != nil {
		return door, nil
	}
	return d.Reopen(ctx, p)
}

// OpenExisting returns the door for what is done with remotes that exist. Where the provider can't be opened any more (its
// Secret went first, as in a namespace that is deleted), the door that was last open serves on: a remote that can't be
// destroyed costs money.
func (d *Doors) OpenExisting(ctx context.Context, p Provider) (*Door, error) {
	door, err := d.Open(ctx, p)
	if _, ok := IsSetup(err); ok {
		if last := d.last(p); last != nil {
			return last, nil
		}
	}
	return door, err
}

// Reopen reads the provider's Secret again and builds the door anew where anything of it has changed.
func (d *Doors) Reopen(ctx context.Context, p Provider) (*Door, error) {
	registration, err := d.Registry.Lookup(p.Spec.Backend)
	if err != nil {
		return nil, setupErrorf(v1alpha1.ReasonUnknownBackend, "%v", err)
	}
	credentials, err := d.credentials(ctx, p, registration)
	if err != nil {
		if last := d.last(p); last != nil {
			last.refused.Store(true)
		}
		return nil, err
	}
	config := backends.Config{Credentials: credentials}
	if p.Spec.Parameters != nil {
		config.Parameters = p.Spec.Parameters.Raw
	}
	fingerprint := digest(registration.Name, credentials, config.Parameters)
	if door := d.kept(p); door != nil && door.fingerprint == fingerprint && !door.refused.Load() {
		return door, nil
	}
	backend, err := registration.New(ctx, config)
	if err != nil {
		return nil, refusedConfig(redact(err, secretValues(credentials)))
	}
	door := &Door{
		identity: p.Identity(), registration: registration, backend: backend, fingerprint: fingerprint,
		generation: p.Object.GetGeneration(), secrets: secretValues(credentials),
	}
	d.keep(p, door, digest(registration.Name, credentials, nil))
	return door, nil
}

// Forget drops the door to a provider that is gone.
func (d *Doors) Forget(uid types.UID) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	delete(d.doors, uid)
}

func (d *Doors) kept(p Provider) *Door {
	door := d.last(p)
	if door == nil || door.generation != p.Object.GetGeneration() || door.refused.Load() {
		return nil
	}
	return door
}

// last is the door that was last open, whatever became of the provider since.
func (d *Doors) last(p Provider) *Door {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.doors[p.Object.GetUID()]
}

// keep remembers the door, and joins it to its account: providers with the same backend and credentials share limits.
func (d *Doors) keep(p Provider, door *Door, accountKey string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.doors == nil {
		d.doors, d.accounts = map[types.UID]*Door{}, map[string]*account{}
	}
	if d.accounts[accountKey] == nil {
		d.accounts[accountKey] = newAccount(door.registration)
	}
	door.account = d.accounts[accountKey]
	d.doors[p.Object.GetUID()] = door
}

// refusedConfig tells a wrong configuration from a machine or provider that can't be used now.
func refusedConfig(err error) error {
	var e *backends.Error
	if errors.As(err, &e) && e.Code != backends.Invalid {
		return err
	}
	if e != nil {
		return setupErrorf(v1alpha1.ReasonInvalidParameters, "%s", e.Message)
	}
	return setupErrorf(v1alpha1.ReasonInvalidParameters, "%v", err)
}

func digest(backend string, credentials map[string][]byte, parameters []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", backend)
	for _, key := range slices.Sorted(maps.Keys(credentials)) {
		fmt.Fprintf(h, "%q%q", key, credentials[key])
	}
	fmt.Fprintf(h, "%q", parameters)
	return hex.EncodeToString(h.Sum(nil))
}

// secretValues are what must never be seen in an error. Values of a few bytes would blot out ordinary words.
func secretValues(credentials map[string][]byte) []string {
	var values []string
	for _, value := range credentials {
		// Keys that came from a file end with a newline, which no provider repeats.
		if trimmed := strings.TrimSpace(string(value)); len(trimmed) >= 6 {
			values = append(values, trimmed)
		}
	}
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	return values
}

// Timeouts of one call to a provider.
const (
	// callTimeout bounds calls that only ask, and small ones.
	callTimeout = 30 * time.Second
	// commandTimeout bounds one RunCommand; the commands of users run detached and are not bound by it.
	commandTimeout = 60 * time.Second
	// destroyTimeout bounds one Destroy.
	destroyTimeout = 60 * time.Second
)
