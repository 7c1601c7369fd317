// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Users make as many namespaces and providers as they like, and each value of a label costs memory here and in Prometheus. So
// only so many have a value of their own, and the others are counted together.

// Other is the value of labels of all for which there was no room.
const Other = "other"

// DefaultLimit is how many providers, and how many namespaces, have values of their own.
const DefaultLimit = 100

// quietPeriod is how long a key keeps its value at least when it is used no more, so that whoever scrapes has seen the end.
const quietPeriod = time.Hour

// bound gives out values to who comes first, until they forget them. Who comes when there are none left is given that of the key which
// has not been used for longest.
type bound[K comparable] struct {
	mutex sync.Mutex
	limit int
	// quiet is since when each key that has a value is not used; zero = it is.
	quiet map[K]time.Time
	// forgotten is called for a key that had to make room.
	forgotten func(K)
}

func newBound[K comparable](limit int, forgotten func(K)) *bound[K] {
	return &bound[K]{limit: limit, quiet: map[K]time.Time{}, forgotten: forgotten}
}

// has says whether the key has a value of its own.
func (b *bound[K]) has(key K) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	_, ok := b.quiet[key]
	return ok
}

// take says whether the key, which is used, has a value of its own, and gives it one where there is room.
func (b *bound[K]) take(key K, now time.Time) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if _, ok := b.quiet[key]; !ok && len(b.quiet) >= b.limit && !b.makeRoom(now) {
		return false
	}
	b.quiet[key] = time.Time{}
	return true
}

// makeRoom forgets the key that has been quiet for longest, if there is one that has been so for long enough. The mutex is held.
func (b *bound[K]) makeRoom(now time.Time) bool {
	var longest K
	found := false
	for key, since := range b.quiet {
		if since.IsZero() || now.Sub(since) < quietPeriod {
			continue
		}
		if !found || since.Before(b.quiet[longest]) {
			longest, found = key, true
		}
	}
	if found {
		delete(b.quiet, longest)
		b.forgotten(longest)
	}
	return found
}

// leave notes that a key is used no more.
func (b *bound[K]) leave(key K, now time.Time) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if _, ok := b.quiet[key]; ok {
		b.quiet[key] = now
	}
}

func (b *bound[K]) forget(key K) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.quiet, key)
}

func (b *bound[K]) setLimit(limit int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.limit = limit
}

// Provider is a provider by namespace (empty = of the cluster) and name.
type Provider struct{ Namespace, Name string }

// Providers are used until they are deleted, and namespaces while they have Sandboxes: pipelines make one for each of their runs.
var (
	providers  = newBound(DefaultLimit, func(Provider) {})
	namespaces = newBound(DefaultLimit, forgetNamespace)
)

// SetLimit says how many providers, and how many namespaces, have values of their own.
func SetLimit(limit int) {
	providers.setLimit(limit)
	namespaces.setLimit(limit)
}

// labels are the values of provider_namespace and provider.
func (p Provider) labels() (namespace, name string) {
	if p == (Provider{}) || providers.has(p) {
		return p.Namespace, p.Name
	}
	return Other, Other
}

// NoteProvider gives a provider that exists values of its own, where there is room. Only who looks after providers calls it, and
// ForgetProvider when the object is gone: Sandboxes name providers that never were, and would leave no room for those that are.
func NoteProvider(p Provider) { providers.take(p, time.Now()) }

// Labels are the values of provider_namespace and provider, with others before and after them. Where the provider has none of its
// own, both are Other.
func (p Provider) Labels(before []string, after ...string) []string {
	namespace, name := p.labels()
	return append(append(append([]string{}, before...), namespace, name), after...)
}

// NamespaceLabel is the value of sandbox_namespace of a counter, for a namespace that has Sandboxes.
func NamespaceLabel(namespace string, now time.Time) string {
	if namespace != Other && namespaces.take(namespace, now) {
		return namespace
	}
	return Other
}

// LeaveNamespace notes that a namespace has no Sandboxes any more: from an hour later on, it makes room for one that has.
func LeaveNamespace(namespace string, now time.Time) { namespaces.leave(namespace, now) }

func forgetNamespace(namespace string) {
	SandboxSeconds.DeletePartialMatch(prometheus.Labels{labelSandboxNamespace: namespace})
}

// ForgetProvider drops what was counted for a provider that is gone, and makes room for another.
func ForgetProvider(p Provider) {
	providers.forget(p)
	gone := prometheus.Labels{labelProviderNamespace: p.Namespace, labelProvider: p.Name}
	for _, counted := range []*prometheus.MetricVec{
		ProviderRequests.MetricVec, ProviderRequestSeconds.MetricVec, DeferredCalls.MetricVec, DeferredSeconds.MetricVec,
		LeaseRenewals.MetricVec,
	} {
		counted.DeletePartialMatch(gone)
	}
}
