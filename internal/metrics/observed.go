// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Gauge is a gauge whose values are read when somebody asks for them.
type Gauge struct {
	description *prometheus.Desc
	// join makes one value of two with the same labels, as those of two providers for which there is no room.
	join func(a, b float64) float64
}

func sum(a, b float64) float64   { return a + b }
func most(a, b float64) float64  { return max(a, b) }
func least(a, b float64) float64 { return min(a, b) }

func observed(name string, join func(a, b float64) float64, help string, labels ...string) *Gauge {
	return &Gauge{description: prometheus.NewDesc(define(name, typeGauge, help, labels), help, labels, nil), join: join}
}

// Source tells its values, each by a call of say.
type Source func(say func(gauge *Gauge, value float64, labels ...string))

// sources are all that are asked. Several managers of one process, as tests have them, are one to Prometheus.
type sources struct {
	mutex sync.Mutex
	next  int
	all   map[int]Source
}

var asked = &sources{all: map[int]Source{}}

func init() { metrics.Registry.MustRegister(asked) }

// Ask has a source asked from now on, until the function that it returns is called.
func Ask(source Source) (end func()) {
	asked.mutex.Lock()
	defer asked.mutex.Unlock()
	asked.next++
	id := asked.next
	asked.all[id] = source
	return func() {
		asked.mutex.Lock()
		defer asked.mutex.Unlock()
		delete(asked.all, id)
	}
}

// Describe implements prometheus.Collector. What is described depends on what there is.
func (*sources) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *sources) Collect(into chan<- prometheus.Metric) {
	type series struct {
		gauge  *Gauge
		labels string
	}
	values := map[series]float64{}
	say := func(gauge *Gauge, value float64, labels ...string) {
		key := series{gauge, strings.Join(labels, "\xff")}
		if before, ok := values[key]; ok {
			value = gauge.join(before, value)
		}
		values[key] = value
	}
	s.mutex.Lock()
	for _, source := range s.all {
		source(say)
	}
	s.mutex.Unlock()
	for key, value := range values {
		labels := strings.Split(key.labels, "\xff")
		into <- prometheus.MustNewConstMetric(key.gauge.description, prometheus.GaugeValue, value, labels...)
	}
}

// Largest returns the names with the highest counts, as many as there may be; the others are to be called Other.
func Largest(counts map[string]int) map[string]bool {
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) })
	namespaces.mutex.Lock()
	limit := namespaces.limit
	namespaces.mutex.Unlock()
	kept := map[string]bool{}
	for _, name := range names[:min(limit, len(names))] {
		kept[name] = true
	}
	return kept
}
