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
	"k8s.io/client-go/rest"
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
	// Writer writes the operator's copies of credentials; nil = there are none.
	Writer client.Writer
	// Namespace is the operator's own, where the Secrets of cluster providers live.
	Namespace string
	// Reach is what every provider may reach beside its backend's own hosts.
	Reach backends.Reach
	// Cluster is how the operator reaches its own cluster.
	Cluster *rest.Config

	// Workers is how many calls may be under way at once, over all accounts; 0 = any number.
	Workers int
	// Share is this instance's part of what accounts allow.
	Share Share
	// Follows says that another instance finds out whether changed credentials are of the same account.
	Follows bool

	mutex    sync.Mutex
	calls    pool
	doors    map[types.UID]*Door
	limits   map[types.UID]v1alpha1.ProviderLimits
	accounts map[string]*account
}

// defaultLease is how long a remote outlives the operator where nobody says otherwise.
const defaultLease = 24 * time.Hour

// Open returns the door to the provider. It is built when it is first asked for, and again after the provider's spec has
// changed, after Forget, and after the provider refused its credentials. What must be mended is a *SetupError.
func (d *Doors) Open(ctx context.Context, p Provider) (*Door, error) {
	if door := d.kept(p); door != nil {
		return door, nil
	}
	return d.Reopen(ctx, p)
}

// OpenExisting returns the door for what is done with remotes that exist. Where the provider can't be opened any more (its
// Secret went first, as in a namespace that is deleted), the door that was last open serves on, or one that is built with the
// operator's copy of the credentials: a remote that can't be destroyed costs money.
func (d *Doors) OpenExisting(ctx context.Context, p Provider) (*Door, error) {
	door, err := d.Open(ctx, p)
	if _, ok := IsSetup(err); !ok {
		return door, err
	}
	if last := d.last(p); last != nil {
		return last, nil
	}
	copied, copyErr := d.openCopy(ctx, p)
	if copyErr != nil || copied == nil {
		return nil, errors.Join(err, copyErr)
	}
	return copied, nil
}

// Reopen reads the provider's Secret again and builds the door anew where anything of it has changed.
func (d *Doors) Reopen(ctx context.Context, p Provider) (*Door, error) {
	registration, err := d.lookup(p)
	if err != nil {
		return nil, err
	}
	credentials, err := d.credentials(ctx, p, registration)
	if err != nil {
		if last := d.last(p); last != nil {
			last.refused.Store(true)
		}
		return nil, err
	}
	config := d.configOf(p, credentials)
	fingerprint := digest(registration, config)
	if door := d.kept(p); door != nil && door.fingerprint == fingerprint && !door.refused.Load() {
		return door, nil
	}
	before, err := d.accountBefore(ctx, p, registration)
	if err != nil {
		return nil, err
	}
	door, err := d.build(ctx, p, registration, config)
	if err != nil {
		return nil, err
	}
	d.keep(p, door, before)
	return door, nil
}

// lookup finds the backend, and refuses what it would not heed.
func (d *Doors) lookup(p Provider) (backends.Registration, error) {
	registration, err := d.Registry.Lookup(p.Spec.Backend)
	if err != nil {
		return registration, setupErrorf(v1alpha1.ReasonUnknownBackend, "%v", err)
	}
	if !registration.HasEndpoint && (p.Spec.Endpoint != "" || p.Spec.CABundle != "") {
		return registration, setupErrorf(v1alpha1.ReasonInvalidParameters,
			"backend %q has no endpoint: remove spec.endpoint and spec.caBundle", registration.Name)
	}
	return registration, nil
}

func (d *Doors) configOf(p Provider, credentials map[string][]byte) backends.Config {
	config := backends.Config{
		Credentials: credentials, Endpoint: p.Spec.Endpoint, CABundle: []byte(p.Spec.CABundle), Reach: d.Reach,
		Namespace: p.Object.GetNamespace(), Cluster: d.Cluster,
	}
	config.Reach.Trusted = p.Kind == v1alpha1.KindClusterSandboxProvider
	if p.Spec.Parameters != nil {
		config.Parameters = p.Spec.Parameters.Raw
	}
	return config
}

func (d *Doors) build(
	ctx context.Context, p Provider, registration backends.Registration, config backends.Config,
) (*Door, error) {
	lease, err := leaseOf(p, registration)
	if err != nil {
		return nil, err
	}
	backend, err := registration.New(ctx, config)
	if err != nil {
		return nil, refusedConfig(redact(err, secretValues(config.Credentials)))
	}
	return &Door{
		identity: p.Identity(), namespace: p.Object.GetNamespace(), registration: registration, backend: backend,
		fingerprint: digest(registration, config), generation: p.Object.GetGeneration(),
		secrets: secretValues(config.Credentials), key: accountKey(registration, config),
		credentials: config.Credentials, endpoint: config.Endpoint, standing: &standing{since: time.Now()}, lease: lease,
	}, nil
}

// leaseOf is how long remotes of the provider shall live without being renewed.
func leaseOf(p Provider, registration backends.Registration) (time.Duration, error) {
	if !slices.Contains(registration.Capabilities, backends.CapabilityLifetime) {
		if p.Spec.LeaseSeconds != nil && *p.Spec.LeaseSeconds > 0 {
			return 0, setupErrorf(v1alpha1.ReasonUnsupported,
				"backend %q can't end sandboxes by itself: remove spec.leaseSeconds", registration.Name)
		}
		return 0, nil
	}
	least, most := registration.LeastLifetime, registration.MostLifetime
	if p.Spec.LeaseSeconds == nil {
		lease := max(defaultLease, least)
		if most > 0 {
			lease = min(lease, most)
		}
		return lease, nil
	}
	lease := time.Duration(*p.Spec.LeaseSeconds) * time.Second
	if lease > 0 && (lease < least || (most > 0 && lease > most)) {
		return 0, setupErrorf(v1alpha1.ReasonLifetimeOutOfBounds, "spec.leaseSeconds is %d; backend %q takes %s",
			*p.Spec.LeaseSeconds, registration.Name, LifetimeBounds(registration))
	}
	return lease, nil
}

// LifetimeBounds says which lifetimes a backend takes, in seconds.
func LifetimeBounds(r backends.Registration) string {
	least := max(int64(r.LeastLifetime.Seconds()), 1)
	if r.MostLifetime == 0 {
		return fmt.Sprintf("%d or more", least)
	}
	return fmt.Sprintf("%d to %d", least, int64(r.MostLifetime.Seconds()))
}

// ForgetName drops the doors to a provider of which nothing is left but its name, and returns the UIDs that it had: none where it was
// never opened, several where it was deleted and made again before anybody looked.
func (d *Doors) ForgetName(kind v1alpha1.ProviderKind, namespace, name string) []types.UID {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	var gone []types.UID
	for uid, door := range d.doors {
		if door.identity.Kind == kind && door.namespace == namespace && door.identity.Name == name {
			d.forget(uid)
			gone = append(gone, uid)
		}
	}
	return gone
}

// forget drops a door. The mutex is held.
func (d *Doors) forget(uid types.UID) {
	if door := d.doors[uid]; door != nil {
		delete(d.doors, uid)
		delete(d.limits, uid)
		d.limit(door.account)
	}
}

// Sibling is one of the providers that share an account.
type Sibling struct {
	v1alpha1.ProviderIdentity
	// Namespace of a SandboxProvider; empty for a ClusterSandboxProvider.
	Namespace string
}

// Siblings are the providers whose doors lead to the same account as this one, itself included.
func (d *Doors) Siblings(door *Door) []Sibling {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	var siblings []Sibling
	for _, other := range d.doors {
		if other.account == door.account {
			siblings = append(siblings, Sibling{other.identity, other.namespace})
		}
	}
	return siblings
}

// HasAccount says whether a provider leads to the account.
func (d *Doors) HasAccount(key string) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.accounts[key] != nil
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

// keep remembers the door, and joins it to its account: providers with the same backend, endpoint and credentials share
// limits. What is known of the account's standing stays known while it is the same account; before is the account that the
// provider had in an earlier process, or empty.
func (d *Doors) keep(p Provider, door *Door, before string) {
	key := door.key
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.doors == nil {
		d.calls.size = d.Workers
		d.doors, d.accounts, d.limits = map[types.UID]*Door{}, map[string]*account{}, map[types.UID]v1alpha1.ProviderLimits{}
	}
	if d.accounts[key] == nil {
		d.accounts[key] = newAccount(key, door.registration, &d.calls, d.Share)
	}
	door.account = d.accounts[key]
	uid := p.Object.GetUID()
	last := d.doors[uid]
	switch {
	case last != nil && last.account == door.account:
		door.standing = last.standing
		door.copied.Store(last.copied.Load())
	case before != "" && before != key:
		door.Distrust()
	}
	d.doors[uid] = door
	d.limits[uid] = v1alpha1.ProviderLimits{}
	if p.Spec.Limits != nil {
		d.limits[uid] = *p.Spec.Limits
	}
	d.limit(door.account)
	if last != nil && last.account != door.account {
		d.limit(last.account)
	}
}

// accountBefore is the account that the provider had when it was last open: in this process, or else, as the operator's copy
// of its credentials says, in an earlier one.
func (d *Doors) accountBefore(ctx context.Context, p Provider, registration backends.Registration) (string, error) {
	if last := d.last(p); last != nil {
		return last.account.key, nil
	}
	if len(registration.Setup.Keys) == 0 {
		return "", nil
	}
	secret, err := d.readCopy(ctx, p)
	if err != nil || secret == nil {
		return "", err
	}
	return accountKey(registration, d.configOfCopy(p, secret)), nil
}

// limit has an account keep its share of the strictest limits of its providers. The mutex is held.
func (d *Doors) limit(a *account) {
	var all []v1alpha1.ProviderLimits
	for uid, door := range d.doors {
		if door.account == a {
			all = append(all, d.limits[uid])
		}
	}
	if len(all) == 0 {
		delete(d.accounts, a.key)
	}
	limits := strictest(all)
	a.limiter.configure(limits, d.Share)
	a.places.configure(d.Share.ofCalls(int(limits.MaxConcurrentCalls)))
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

// digest tells one configuration from another.
func digest(registration backends.Registration, config backends.Config) string {
	return digestOf(append(accountParts(registration, config), string(config.Parameters), string(config.CABundle)))
}

// accountKey tells one account from another.
func accountKey(registration backends.Registration, config backends.Config) string {
	return digestOf(accountParts(registration, config))
}

func accountParts(registration backends.Registration, config backends.Config) []string {
	parts := []string{registration.Name, config.Endpoint}
	if registration.Scope != nil {
		parts = append(parts, "scope", registration.Scope(config))
	}
	for _, key := range slices.Sorted(maps.Keys(config.Credentials)) {
		parts = append(parts, key, string(config.Credentials[key]))
	}
	return parts
}

func digestOf(parts []string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%q", part)
	}
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
	// listTimeout bounds one List, which reads all pages: a hundred of them where an account has ten thousand sandboxes.
	listTimeout = 2 * time.Minute
	// commandTimeout bounds one RunCommand; the commands of users run detached and are not bound by it.
	commandTimeout = 60 * time.Second
	// pauseTimeout bounds one Pause or Resume, which may write all memory to a disk.
	pauseTimeout = 2 * time.Minute
	// destroyTimeout bounds one Destroy.
	destroyTimeout = 60 * time.Second
)
