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

var providers = newBound[Provider]()

// quietPeriod is how long a namespace keeps its value at least when its last Sandbox is gone, so that whoever scrapes has seen the end.
const quietPeriod = time.Hour

// namespaceValues are those of sandbox_namespace. Pipelines make a namespace for each of their runs, so who has none is given the value of
// the one that has been without Sandboxes for longest.
type namespaceValues struct {
	mutex sync.Mutex
	limit int
	// quiet is since when each that has a value has no Sandbox; zero = it has one.
	quiet map[string]time.Time
}

var namespaces = &namespaceValues{limit: DefaultLimit, quiet: map[string]time.Time{}}

// take says whether the namespace has a value of its own, and gives it one where there is room. It calls forget for one that made room.
func (n *namespaceValues) take(namespace string, now time.Time, forget func(string)) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if _, ok := n.quiet[namespace]; !ok && len(n.quiet) >= n.limit {
		longest := n.longestQuiet(now)
		if longest == "" {
			return false
		}
		delete(n.quiet, longest)
		forget(longest)
	}
	n.quiet[namespace] = time.Time{}
	return true
}

// longestQuiet is the namespace that may make room; empty = none. The mutex is held.
func (n *namespaceValues) longestQuiet(now time.Time) (longest string) {
	for namespace, since := range n.quiet {
		if since.IsZero() || now.Sub(since) < quietPeriod {
			continue
		}
		if longest == "" || since.Before(n.quiet[longest]) {
			longest = namespace
		}
	}
	return longest
}

// leave notes that the last Sandbox of a namespace is gone.
func (n *namespaceValues) leave(namespace string, now time.Time) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if _, ok := n.quiet[namespace]; ok {
		n.quiet[namespace] = now
	}
}

func (n *namespaceValues) setLimit(limit int) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.limit = limit
}

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

// NamespaceLabel is the value of sandbox_namespace of a counter, for a namespace that has Sandboxes.
func NamespaceLabel(namespace string, now time.Time) string {
	if namespace != Other && namespaces.take(namespace, now, forgetNamespace) {
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
