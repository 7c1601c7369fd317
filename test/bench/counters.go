// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// counts are how often something was done, by what it was.
type counts map[string]float64

// minus is what was done since the earlier counts.
func (c counts) minus(earlier counts) counts {
	since := counts{}
	for name, n := range c {
		if more := n - earlier[name]; more > 0 {
			since[name] = more
		}
	}
	return since
}

// each divides by the number of objects. What is done once in a while, whatever the number, is left out.
func (c counts) each(objects int) counts {
	per := counts{}
	for name, n := range c {
		if share := n / float64(objects); share >= 0.005 {
			per[name] = share
		}
	}
	return per
}

func (c counts) sum() float64 {
	total := 0.0
	for _, n := range c {
		total += n
	}
	return total
}

// requests counts what the API server was asked by anybody, by verb and resource: writes, and reads of single objects. Leases of
// leader election are none of them.
func (s *Stage) requests(ctx context.Context) (writes, reads counts, err error) {
	text, err := s.clientset.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	if writes, err = countRequests(text, "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"); err != nil {
		return nil, nil, err
	}
	reads, err = countRequests(text, "GET")
	return writes, reads, err
}

func countRequests(text []byte, verbs ...string) (counts, error) {
	return count(text, "apiserver_request_total", func(labels map[string]string) string {
		resource := labels["resource"]
		ours := labels["group"] == "sandboxes.run" || resource == "events" || resource == "secrets" || resource == "configmaps"
		if !ours || !slices.Contains(verbs, labels["verb"]) {
			return ""
		}
		if labels["subresource"] != "" {
			resource += "/" + labels["subresource"]
		}
		return labels["verb"] + " " + resource
	})
}

// calls counts the manager's calls to providers, by operation.
func (p *process) calls(ctx context.Context) (counts, error) {
	if p.metrics == "" {
		return counts{}, nil
	}
	text, err := p.scrape(ctx)
	if err != nil {
		return nil, err
	}
	return count(text, "sandbox_operator_provider_requests_total", func(labels map[string]string) string {
		return labels["operation"]
	})
}

// comparing is for how many seconds the manager has compared accounts with its Sandboxes, lists included.
func (p *process) comparing(ctx context.Context) (float64, error) {
	text, err := p.scrape(ctx)
	if err != nil {
		return 0, err
	}
	seconds, err := count(text, "controller_runtime_reconcile_time_seconds", func(labels map[string]string) string {
		if name := labels["controller"]; name == "clustersandboxprovider" || name == "sandboxprovider" {
			return name
		}
		return ""
	})
	return seconds.sum(), err
}

// awaitMetrics waits until the manager serves its metrics.
func (p *process) awaitMetrics(ctx context.Context) error {
	for began := time.Now(); p.metrics != ""; {
		_, err := p.scrape(ctx)
		if err == nil {
			return nil
		}
		if time.Since(began) > stuck {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// scrape reads the manager's metrics.
func (p *process) scrape(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.metrics+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading the manager's metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

// count sums the counters of a metric, or what its histograms have summed up, by the name that the function gives them; an empty one
// leaves one out.
func count(text []byte, metric string, name func(labels map[string]string) string) (counts, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	all := counts{}
	for _, m := range families[metric].GetMetric() {
		if key := name(labelsOf(m)); key != "" {
			all[key] += m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return all, nil
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, pair := range m.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}
