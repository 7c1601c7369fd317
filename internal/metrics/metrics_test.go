// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const page = "../../docs/metrics.md"

// With UPDATE_DOCS=1, the page is written.
func TestTheReferenceIsUpToDate(t *testing.T) {
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin of the table, generated -->\n", "<!-- end of the table -->"
	before, rest, ok := strings.Cut(string(content), begin)
	table, after, okAfter := strings.Cut(rest, end)
	if !ok || !okAfter {
		t.Fatalf("%s has no table between %q and %q", page, begin, end)
	}
	if table == Table() {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("%s is out of date: UPDATE_DOCS=1 go test ./internal/metrics writes it. It should have\n%s", page, Table())
	}
	if err := os.WriteFile(page, []byte(before+begin+Table()+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	if len(all) < 30 {
		t.Fatalf("only %d metrics are defined", len(all))
	}
	valid := regexp.MustCompile(`^sandbox_operator_[a-z][a-z_]*[a-z]$`)
	// Prometheus gives these to what it scrapes, and would rename ours.
	targets := []string{"namespace", "pod", "job", "instance", "service", "endpoint", "container", "node"}
	for _, d := range all {
		if !valid.MatchString(d.Name) {
			t.Errorf("%s is no name", d.Name)
		}
		if strings.HasSuffix(d.Name, "_total") != (d.Type == typeCounter) {
			t.Errorf("%s is a %s: counters, and they alone, end with _total", d.Name, d.Type)
		}
		if d.Type == typeHistogram && d.Unit() == "1" {
			t.Errorf("%s does not say what it measures", d.Name)
		}
		for _, label := range d.Labels {
			for _, target := range targets {
				if label == target {
					t.Errorf("%s has the label %s, which is the scraped target's", d.Name, label)
				}
			}
		}
	}
}

func TestOnlySoManyProvidersHaveValuesOfTheirOwn(t *testing.T) {
	defer SetLimit(DefaultLimit)
	SetLimit(2)
	a, b, c := Provider{Namespace: "a", Name: "p"}, Provider{Namespace: "b", Name: "p"}, Provider{Namespace: "c", Name: "p"}
	defer ForgetProvider(b)
	defer ForgetProvider(c)
	for _, p := range []Provider{a, b, c} {
		NoteProvider(p)
		LeaseRenewals.WithLabelValues(p.Labels([]string{"bound"}, "OK")...).Inc()
	}
	if got := strings.Join(c.Labels([]string{"bound"}, "OK"), " "); got != "bound other other OK" {
		t.Errorf("the third of two is %s", got)
	}
	if count(t, LeaseRenewals) != 3 {
		t.Error("there should be series of two providers, and one of the others")
	}
	ForgetProvider(a)
	if count(t, LeaseRenewals) != 2 {
		t.Error("the series of a provider that is gone should be gone")
	}
	NoteProvider(c)
	if namespace, _ := c.labels(); namespace != "c" {
		t.Error("a provider that is gone should make room")
	}
}

func TestAProviderThatIsOnlyNamedTakesNoRoom(t *testing.T) {
	defer SetLimit(DefaultLimit)
	SetLimit(1)
	invented, made := Provider{Namespace: "ns", Name: "invented"}, Provider{Namespace: "ns", Name: "made"}
	defer ForgetProvider(made)
	if got := strings.Join(invented.Labels(nil), " "); got != "other other" {
		t.Errorf("a provider that nobody has seen is called %q", got)
	}
	NoteProvider(made)
	if got := strings.Join(made.Labels(nil), " "); got != "ns made" {
		t.Errorf("a Sandbox that names an invented provider takes the room of one that exists: that one is called %q", got)
	}
}

func TestANamespaceMakesRoomWhenItHasHadNoSandboxForAnHour(t *testing.T) {
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	var forgotten []string
	n := newBound(2, func(gone string) { forgotten = append(forgotten, gone) })
	takes := func(after time.Duration, namespace string, want bool, forgets ...string) {
		t.Helper()
		forgotten = nil
		if got := n.take(namespace, noon.Add(after)); got != want {
			t.Errorf("after %s, that %s has a value is %v, not %v", after, namespace, got, want)
		}
		if !slices.Equal(forgotten, forgets) {
			t.Errorf("after %s, %s made %v be forgotten, not %v", after, namespace, forgotten, forgets)
		}
	}
	takes(0, "a", true)
	takes(0, "b", true)
	takes(0, "c", false)
	n.leave("c", noon)
	n.leave("b", noon)
	n.leave("a", noon.Add(time.Minute))
	takes(59*time.Minute, "c", false)
	// While there is room, nobody is forgotten, however quiet.
	takes(2*time.Hour, "a", true)
	takes(2*time.Hour, "c", true, "b")
	takes(2*time.Hour, "b", false)
	n.leave("a", noon.Add(3*time.Hour))
	n.leave("c", noon.Add(4*time.Hour))
	takes(10*time.Hour, "d", true, "a")
	takes(10*time.Hour, "e", true, "c")
	takes(10*time.Hour, "f", false)
}

func TestTheSecondsOfANamespaceThatMadeRoomAreGone(t *testing.T) {
	defer func(before *bound[string]) {
		namespaces = before
		SandboxSeconds.Reset()
	}(namespaces)
	namespaces = newBound(1, forgetNamespace)
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	spend := func(namespace string, now time.Time) {
		SandboxSeconds.WithLabelValues(NamespaceLabel(namespace, now), "bound").Add(1)
		LeaveNamespace(namespace, now)
	}
	spend("first", noon)
	spend("second", noon)
	spend(Other, noon)
	if got := count(t, SandboxSeconds); got != 2 {
		t.Errorf("there are %d series, want that of the first and that of the others", got)
	}
	spend("second", noon.Add(time.Hour))
	if got := count(t, SandboxSeconds); got != 2 {
		t.Errorf("there are %d series, want that of the second and that of the others", got)
	}
	if NamespaceLabel("second", noon) != "second" || NamespaceLabel("first", noon) != Other {
		t.Error("the first has not made room for the second")
	}
}

func count(t *testing.T, c prometheus.Collector) int {
	t.Helper()
	into := make(chan prometheus.Metric, 100)
	c.Collect(into)
	close(into)
	return len(into)
}

func TestSourcesWithTheSameLabelsAreOneSeries(t *testing.T) {
	defer Ask(func(say func(*Gauge, float64, ...string)) {
		say(Orphans, 2, "ns", "p")
		say(OldestPending, 5, "ns", "p")
	})()
	end := Ask(func(say func(*Gauge, float64, ...string)) {
		say(Orphans, 3, "ns", "p")
		say(OldestPending, 4, "ns", "p")
	})
	if got := values(t); got[Orphans] != 5 || got[OldestPending] != 5 {
		t.Errorf("counts should be added up, and of ages the highest taken: %v", got)
	}
	end()
	if got := values(t); got[Orphans] != 2 {
		t.Errorf("a source that has ended should be asked no more: %v", got)
	}
}

func values(t *testing.T) map[*Gauge]float64 {
	t.Helper()
	into := make(chan prometheus.Metric, 100)
	asked.Collect(into)
	close(into)
	found := map[*Gauge]float64{}
	for metric := range into {
		var written dto.Metric
		if err := metric.Write(&written); err != nil {
			t.Fatal(err)
		}
		for _, gauge := range []*Gauge{Orphans, OldestPending} {
			if metric.Desc() == gauge.description {
				found[gauge] = written.GetGauge().GetValue()
			}
		}
	}
	return found
}

func TestTheLargestNamespacesAreNamed(t *testing.T) {
	defer SetLimit(DefaultLimit)
	SetLimit(2)
	named := Largest(map[string]int{"few": 1, "many": 9, "some": 5})
	if !named["many"] || !named["some"] || named["few"] {
		t.Errorf("named are %v", named)
	}
}
