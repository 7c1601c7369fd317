// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics has every metric of the operator: its name, what it means and its labels (definitions.go), how many values of labels
// there may be (bound.go), and the values that are read when somebody asks for them (observed.go). docs/metrics.md lists them; a
// test compares the two. Other packages count; none but this one registers.
package metrics

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// prefix of every name.
const prefix = "sandbox_operator_"

// Types of metrics, as Prometheus calls them.
const (
	typeCounter   = "counter"
	typeGauge     = "gauge"
	typeHistogram = "histogram"
)

// Definition is one metric as the reference has it.
type Definition struct {
	// Name as Prometheus sees it. A histogram has _bucket, _sum and _count behind it.
	Name string
	// Type is counter, gauge or histogram.
	Type string
	// Labels in the order in which values are given.
	Labels []string
	// Help is one sentence.
	Help string
}

// Unit is what a value counts: seconds, a Unix time in seconds, or pieces.
func (d Definition) Unit() string {
	name := strings.TrimSuffix(d.Name, "_total")
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"):
		return "Unix time in seconds"
	case strings.HasSuffix(name, "_seconds"):
		return "seconds"
	default:
		return "1"
	}
}

var all []Definition

// All are the definitions, by name.
func All() []Definition {
	return slices.SortedFunc(slices.Values(all), func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
}

func define(name, kind, help string, labels []string) string {
	all = append(all, Definition{Name: prefix + name, Type: kind, Labels: labels, Help: help})
	return prefix + name
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	options := prometheus.CounterOpts{Name: define(name, typeCounter, help, labels), Help: help}
	return registered(prometheus.NewCounterVec(options, labels))
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	options := prometheus.GaugeOpts{Name: define(name, typeGauge, help, labels), Help: help}
	return registered(prometheus.NewGaugeVec(options, labels))
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	options := prometheus.HistogramOpts{Name: define(name, typeHistogram, help, labels), Help: help, Buckets: buckets}
	return registered(prometheus.NewHistogramVec(options, labels))
}

func registered[C prometheus.Collector](collector C) C {
	metrics.Registry.MustRegister(collector)
	return collector
}

// Table is the reference of all metrics, as docs/metrics.md has it.
func Table() string {
	var b strings.Builder
	b.WriteString("| metric | type | unit | labels | |\n|---|---|---|---|---|\n")
	for _, d := range All() {
		labels := make([]string, len(d.Labels))
		for i, label := range d.Labels {
			labels[i] = "`" + label + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.Name, d.Type, d.Unit(), strings.Join(labels, ", "), d.Help)
	}
	return b.String()
}
