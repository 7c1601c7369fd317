// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Users make as many namespaces and providers as they like, and each value of a label costs memory here and in Prometheus. So
// only so many have a value of their own, and the others are counted together.

// Other is the value of labels of all for which there was no room.
const Other = "other"

// DefaultLimit is how many providers, and how many namespaces, have values of their own.
const DefaultLimit = 100

// bound gives out values to who comes first, until they forget them.
type bound[K comparable] struct {
	mutex sync.Mutex
	limit int
	taken map[K]struct{}
}

func newBound[K comparable]() *bound[K] {
	return &bound[K]{limit: DefaultLimit, taken: map[K]struct{}{}}
}

// has says whether the key has a value of its own.
func (b *bound[K]) has(key K) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	_, ok := b.taken[key]
	return ok
}

// take says whether the key has a value of its own, and gives it one where there is room.
func (b *bound[K]) take(key K) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if _, ok := b.taken[key]; ok {
		return true
	}
	if len(b.taken) >= b.limit {
		return false
	}
	b.taken[key] = struct{}{}
	return true
}

func (b *bound[K]) forget(key K) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.taken, key)
}

func (b *bound[K]) setLimit(limit int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.limit = limit
}

// Provider is a provider by namespace (empty = of the cluster) and name.
type Provider struct{ Namespace, Name string }

var (
	providers  = newBound[Provider]()
	namespaces = newBound[string]()
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
func NoteProvider(p Provider) { providers.take(p) }

// Labels are the values of provider_namespace and provider, with others before and after them. Where the provider has none of its
// own, both are Other.
func (p Provider) Labels(before []string, after ...string) []string {
	namespace, name := p.labels()
	return append(append(append([]string{}, before...), namespace, name), after...)
}

// NamespaceLabel is the value of sandbox_namespace of a counter.
func NamespaceLabel(namespace string) string {
	if namespaces.take(namespace) {
		return namespace
	}
	return Other
}

// ForgetNamespace drops what was counted for a namespace, and makes room for another. Prometheus keeps what it has scraped.
func ForgetNamespace(namespace string) {
	namespaces.forget(namespace)
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
