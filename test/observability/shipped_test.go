// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observability_test proves what is shipped to watch the operator with. shipped_test.go looks at the files alone: that they are
// what the Prometheus Operator takes, that each alert has a runbook and fires when it should, and that they ask for metrics which exist.
// live_test.go runs Prometheus against a live manager and asks it every question of the dashboard and the alerts.
package observability_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
)

const root = "../.."

func read(tb testing.TB, name ...string) []byte {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{root}, name...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

func decode(tb testing.TB, name string, into any) {
	tb.Helper()
	if err := yaml.UnmarshalStrict(read(tb, "config", "prometheus", name), into); err != nil {
		tb.Fatalf("%s: the Prometheus Operator would not take it: %v", name, err)
	}
}

// alerts are those that are shipped.
func alerts(tb testing.TB) []monitoringv1.Rule {
	tb.Helper()
	var shipped monitoringv1.PrometheusRule
	decode(tb, "prometheus_rule.yaml", &shipped)
	var found []monitoringv1.Rule
	for _, group := range shipped.Spec.Groups {
		found = append(found, group.Rules...)
	}
	if len(found) < 10 {
		tb.Fatalf("only %d alerts are found", len(found))
	}
	return found
}

// panel is one of the dashboard.
type panel struct {
	Type, Title string
	Targets     []struct{ Expr string }
}

func panels(tb testing.TB) []panel {
	tb.Helper()
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal(read(tb, "config", "prometheus", "dashboard.json"), &dashboard); err != nil {
		tb.Fatal(err)
	}
	if len(dashboard.Panels) < 20 {
		tb.Fatalf("only %d panels are found", len(dashboard.Panels))
	}
	return dashboard.Panels
}

func TestTheServiceMonitorIsOne(t *testing.T) {
	var monitor monitoringv1.ServiceMonitor
	decode(t, "service_monitor.yaml", &monitor)
	if !slices.Contains(monitor.Spec.TargetLabels, "app.kubernetes.io/name") {
		t.Error("the alert SandboxOperatorInstanceDown would find no target")
	}
	for _, folder := range []string{"manager", "shards/a"} {
		var service struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct{ Ports []struct{ Name string } }
		}
		if err := yaml.Unmarshal(read(t, "config", folder, "metrics_service.yaml"), &service); err != nil {
			t.Fatal(err)
		}
		labels := map[string]string{"app.kubernetes.io/name": "sandbox-operator"} // kustomize gives it to every object
		maps.Copy(labels, service.Metadata.Labels)
		for key, value := range monitor.Spec.Selector.MatchLabels {
			if labels[key] != value {
				t.Errorf("the Service of config/%s has not the label %s=%s", folder, key, value)
			}
		}
		if len(monitor.Spec.Endpoints) != 1 || monitor.Spec.Endpoints[0].Port != service.Spec.Ports[0].Name {
			t.Errorf("the port %s of config/%s should be scraped", service.Spec.Ports[0].Name, folder)
		}
	}
}

func TestEachAlertHasARunbook(t *testing.T) {
	page := string(read(t, "docs", "alerts.md"))
	const base = "https://github.com/sandbox-operator/sandbox-operator/blob/main/docs/alerts.md#"
	var headings []string
	for _, alert := range alerts(t) {
		headings = append(headings, alert.Alert)
		if got := alert.Annotations["runbook_url"]; got != base+strings.ToLower(alert.Alert) {
			t.Errorf("the runbook of %s is %s", alert.Alert, got)
		}
		if !slices.Contains([]string{"critical", "warning"}, alert.Labels["severity"]) {
			t.Errorf("the severity of %s is %q", alert.Alert, alert.Labels["severity"])
		}
		if alert.Annotations["summary"] == "" || alert.Annotations["description"] == "" {
			t.Errorf("%s does not say what is the matter", alert.Alert)
		}
		_, rest, found := strings.Cut(page, "\n## "+alert.Alert+"\n")
		runbook, _, _ := strings.Cut(rest, "\n## ")
		if !found {
			t.Errorf("docs/alerts.md has no heading %s", alert.Alert)
		}
		for _, part := range []string{"**Meaning.**", "**Impact.**", "**Look at**", "**Type**"} {
			if !strings.Contains(runbook, part) {
				t.Errorf("the runbook of %s has no %s", alert.Alert, part)
			}
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^## (\S+)$`).FindAllStringSubmatch(page, -1) {
		if !slices.Contains(headings, heading[1]) {
			t.Errorf("docs/alerts.md has a runbook for %s, which is no alert", heading[1])
		}
	}
}

// reasons are how events are made: by the recorder itself, and by what destroys remotes that are nobody's.
var reasons = regexp.MustCompile(`(?s)(?:EventType(?:Normal|Warning), |destroyAll\(ctx, )(?:"(\w+)"|v1alpha1\.Reason(\w+))`)

func TestEachEventIsInTheTable(t *testing.T) {
	_, rest, found := strings.Cut(string(read(t, "docs", "observability.md")), "\n## Events\n")
	table, _, _ := strings.Cut(rest, "\n## ")
	if !found {
		t.Fatal("docs/observability.md has no events")
	}
	sources, err := filepath.Glob(filepath.Join(root, "internal", "controller", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, source := range sources {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range reasons.FindAllStringSubmatch(string(content), -1) {
			seen[match[1]+match[2]] = true
		}
	}
	if len(seen) < 8 {
		t.Errorf("only %d events are found", len(seen))
	}
	for reason := range seen {
		if !strings.Contains(table, "`"+reason+"`") {
			t.Errorf("the table of events has no %s", reason)
		}
	}
}

var name = regexp.MustCompile(`\b[a-z][a-z0-9]*_[a-z0-9_]+\b`)

func TestAlertsAndDashboardAskForMetricsThatExist(t *testing.T) {
	exist := map[string]bool{}
	for _, d := range metrics.All() {
		exist[d.Name], exist[d.Name+"_bucket"] = true, d.Type == "histogram"
	}
	// Of controller-runtime, of the process; the live test sees that they are there. The rest are labels and functions.
	for _, other := range []string{
		"leader_election_master_status", "controller_runtime_reconcile_errors_total", "workqueue_depth", "process_cpu_seconds_total",
		"process_resident_memory_bytes", "histogram_quantile", "provider_namespace", "sandbox_namespace", "app_kubernetes_io_name",
	} {
		exist[other] = true
	}
	asked := map[string]string{}
	for _, alert := range alerts(t) {
		asked["alert "+alert.Alert] = alert.Expr.String()
	}
	for _, panel := range panels(t) {
		for _, target := range panel.Targets {
			asked["panel "+panel.Title] += target.Expr + "\n"
		}
	}
	for where, query := range asked {
		query = strings.ReplaceAll(query, "$__rate_interval", "5m")
		for _, found := range name.FindAllString(query, -1) {
			if !exist[found] {
				t.Errorf("%s asks for %s, which does not exist", where, found)
			}
		}
	}
}

// program finds one of Prometheus, or skips.
func program(tb testing.TB, called string) string {
	tb.Helper()
	path, err := exec.LookPath(called)
	if err != nil {
		tb.Skipf("%s is not here: install Debian's package prometheus (.ci/run shows how, without its service)", called)
	}
	return path
}

// promtool runs it on the rules as Prometheus reads them, in a folder with them as rules.yaml.
func promtool(ctx context.Context, tb testing.TB, folder string, arguments ...string) {
	tb.Helper()
	var shipped struct {
		Spec struct {
			Groups any `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(read(tb, "config", "prometheus", "prometheus_rule.yaml"), &shipped); err != nil {
		tb.Fatal(err)
	}
	content, err := yaml.Marshal(shipped.Spec)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "rules.yaml"), content, 0o600); err != nil {
		tb.Fatal(err)
	}
	command := exec.CommandContext(ctx, program(tb, "promtool"), arguments...)
	command.Dir = folder
	if said, err := command.CombinedOutput(); err != nil {
		tb.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, said)
	}
}

func TestPrometheusTakesTheAlerts(t *testing.T) {
	promtool(t.Context(), t, t.TempDir(), "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
}

func TestEachAlertFiresWhenItShould(t *testing.T) {
	cases, err := os.ReadFile(filepath.Join("testdata", "alerts_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range alerts(t) {
		for _, does := range []string{"fires", "does not fire"} {
			if !strings.Contains(string(cases), "\n- name: "+alert.Alert+" "+does+"\n") {
				t.Errorf("no case says when %s %s", alert.Alert, does)
			}
		}
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "alerts_test.yaml"), cases, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t.Context(), t, folder, "test", "rules", "alerts_test.yaml")
}
