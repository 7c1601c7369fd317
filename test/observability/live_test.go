// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package observability_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

func TestALiveManager(t *testing.T) { testbed.RunSuite(t, "What a live manager tells") }

var (
	bed     *testbed.Bed
	cloud   *fake.Cloud
	address string
	traces  received
)

// received are the spans that came, by name.
type received struct {
	mutex sync.Mutex
	spans []*spans.Span
	whole strings.Builder
}

// receive is a collector's address.
func receive() string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		var sent collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &sent); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		traces.mutex.Lock()
		defer traces.mutex.Unlock()
		traces.whole.Write(body)
		for _, resource := range sent.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				traces.spans = append(traces.spans, scope.GetSpans()...)
			}
		}
	}))
	DeferCleanup(server.Close)
	return server.URL
}

// of are the names of the spans of a trace.
func (r *received) of(trace string) []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var names []string
	for _, span := range r.spans {
		if hex.EncodeToString(span.GetTraceId()) == trace {
			names = append(names, span.GetName())
		}
	}
	return names
}

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	cloud, err = fake.Start(fake.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cloud.Close()).To(Succeed()) })
	address = freeAddress()
	bed, err = testbed.Start(ctx, testbed.Options{Arguments: []string{
		"--backends=e2b", "--provider-hosts=127.0.0.1", "--metrics-bind-address=" + address, "--leader-elect", "--zap-log-level=info",
		"--log-format=json", "--tracing-endpoint=" + receive(),
	}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	Expect(bed.StartManager()).To(Succeed())
})

func freeAddress() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// token is one of a service account that is bound to the role for readers of metrics, as config/prometheus binds Prometheus.
func token(ctx context.Context) string {
	GinkgoHelper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: testbed.Namespace, Name: "prometheus"}}
	// Who is asked is the manager, which is an administrator here; what the reader may do is what counts.
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-reader"},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
	}
	bed.Create(ctx, account, role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics-reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	})
	request := &authenticationv1.TokenRequest{}
	Expect(bed.Client.SubResource("token").Create(ctx, account, request)).To(Succeed())
	return request.Status.Token
}

// prometheus runs it on the shipped rules, scraping the manager each second, and returns its address.
func prometheus(ctx context.Context, secret string) string {
	GinkgoHelper()
	program := program(GinkgoTB(), "prometheus")
	folder := GinkgoTB().TempDir()
	promtool(ctx, GinkgoTB(), folder, "check", "rules", "rules.yaml")
	file := func(name, content string) {
		Expect(os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600)).To(Succeed())
	}
	file("token", secret)
	file("prometheus.yaml", fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
- job_name: sandbox-operator
  scheme: https
  relabel_configs: [{target_label: app_kubernetes_io_name, replacement: sandbox-operator}]
  authorization: {credentials_file: token}
  tls_config: {insecure_skip_verify: true}
  static_configs: [{targets: [%q]}]
`, address))
	listen := freeAddress()
	log, err := os.Create(filepath.Join(folder, "log"))
	Expect(err).NotTo(HaveOccurred())
	command := exec.Command(program, "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
		"--web.listen-address="+listen, "--log.level=warn")
	command.Dir, command.Stdout, command.Stderr = folder, log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Expect(command.Start()).To(Succeed())
	DeferCleanup(func() {
		Expect(command.Process.Signal(syscall.SIGTERM)).To(Succeed())
		_ = command.Wait()
		_ = log.Close()
	})
	Eventually(func() error {
		_, err := ask(ctx, listen, "1")
		return err
	}).WithTimeout(testbed.Patience).Should(Succeed())
	return listen
}

// ask has Prometheus answer a query, and returns how many series have a value.
func ask(ctx context.Context, listen, query string) (int, error) {
	body, err := get(ctx, "http://"+listen+"/api/v1/query?query="+url.QueryEscape(query), "")
	if err != nil {
		return 0, err
	}
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		return 0, fmt.Errorf("%s: %w %s", query, err, body)
	}
	var series []struct{ Value []any }
	if answer.Data.ResultType != "vector" {
		return 1, nil
	}
	if err := json.Unmarshal(answer.Data.Result, &series); err != nil {
		return 0, err
	}
	have := 0
	for _, one := range series {
		if len(one.Value) == 2 && one.Value[1] != "NaN" {
			have++
		}
	}
	return have, nil
}

// insecure takes any certificate, as the ServiceMonitor says: the manager's is its own.
var insecure = &http.Client{Transport: &http.Transport{
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	DisableKeepAlives: true,
}}

func get(ctx context.Context, address, bearer string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := insecure.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 == 5 {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// load makes what the dashboard shows: sandboxes that run, wait, are paused and can't be made; runs that succeed, fail and wait;
// providers that answer, and one that does not.
func load(ctx context.Context) *testbed.Room {
	GinkgoHelper()
	room := bed.NewRoom(ctx)
	room.Secret(ctx, "key", map[string]string{"apiKey": fake.Key})
	to := func(name, endpoint string) *builders.ProviderBuilder {
		return builders.MakeProvider(room.Namespace, name, "e2b").Credentials("key").Endpoint(endpoint).
			Parameters(`{"sandboxURL":"` + endpoint + `"}`)
	}
	limited := to("cloud", cloud.URL()).Obj()
	limited.Spec.Limits = &v1alpha1.ProviderLimits{MaxSandboxes: new(int32(3)), RequestsPerSecond: 20, Burst: 3}
	limited.Spec.LeaseSeconds = new(int32(20)) // renewed at half of it, well within the patience for a panel
	bed.Create(ctx, limited, to("dead", "http://"+freeAddress()).Obj())
	box := func(name string) *builders.SandboxBuilder {
		return builders.MakeSandbox(room.Namespace, name).NamespacedProvider("cloud")
	}
	for i := range 3 {
		room.Ready(ctx, box(fmt.Sprintf("box-%d", i)))
	}
	bed.Create(ctx, box("late").Obj(), builders.MakeSandbox(room.Namespace, "never").NamespacedProvider("dead").Obj())
	undo := cloud.Fail(fake.Fault{Plane: fake.PlaneControl, Method: http.MethodGet, Status: http.StatusServiceUnavailable, Times: 2})
	DeferCleanup(func() { undo() })
	for i := range 4 {
		room.Run(ctx, room.Exec(fmt.Sprintf("run-%d", i), "box-0").Shell(fmt.Sprintf("exit %d", i%2)))
	}
	bed.Create(ctx, room.Exec("waits", "late").Shell("true").Obj(), room.Exec("lasts", "box-1").Shell("sleep 300").Obj())
	return room
}

// cloudRoom has a provider that leads to the cloud.
func cloudRoom(ctx context.Context) *testbed.Room {
	GinkgoHelper()
	room := bed.NewRoom(ctx)
	room.Secret(ctx, "key", map[string]string{"apiKey": fake.Key})
	bed.Create(ctx, builders.MakeProvider(room.Namespace, "cloud", "e2b").Credentials("key").Endpoint(cloud.URL()).
		Parameters(`{"sandboxURL":"`+cloud.URL()+`"}`).Obj())
	return room
}

// mayBeEmpty are panels with nothing to show while nothing is wrong.
var mayBeEmpty = []string{"Swept"}

var _ = Describe("A live manager", func() {
	It("answers every question of the dashboard and of the alerts, and its metrics are clean", func(ctx context.Context) {
		program(GinkgoTB(), "prometheus")
		secret := token(ctx)
		listen := prometheus(ctx, secret)
		room := load(ctx)
		// A rate wants a series to grow after it was seen first.
		Eventually(func() (int, error) { return ask(ctx, listen, "sandbox_operator_sandbox_ready_seconds_count") }).
			WithTimeout(testbed.Patience).Should(BeNumerically(">", 0))
		Eventually(func() (int, error) { return ask(ctx, listen, "sandbox_operator_exec_duration_seconds_count") }).
			WithTimeout(testbed.Patience).Should(BeNumerically(">", 1))
		bed.Delete(ctx, builders.MakeSandbox(room.Namespace, "box-2").Obj()) // so that another gets its place
		room.Run(ctx, room.Exec("more", "box-0").Shell("true"))

		By("being scraped with the token alone")
		Expect(get(ctx, "https://"+address+"/metrics", "")).To(ContainSubstring("nauthorized"))
		page, err := get(ctx, "https://"+address+"/metrics", secret)
		Expect(err).NotTo(HaveOccurred())
		AddReportEntry("series", strings.Count(string(page), "\n")-strings.Count(string(page), "\n#"))
		check := exec.CommandContext(ctx, program(GinkgoTB(), "promtool"), "check", "metrics")
		check.Stdin = strings.NewReader(string(page))
		said, _ := check.CombinedOutput() // it complains of others' metrics, too
		for line := range strings.Lines(string(said)) {
			Expect(line).NotTo(HavePrefix("sandbox_operator_"), "promtool complains")
			Expect(line).NotTo(ContainSubstring("error while linting"))
		}
		Expect(string(page)).To(ContainSubstring("sandbox_operator_sandboxes{"))

		By("the panels")
		for _, panel := range panels(GinkgoTB()) {
			for _, target := range panel.Targets {
				query := strings.NewReplacer("$__rate_interval", "1m", "$provider", ".*").Replace(target.Expr)
				Eventually(func(g Gomega) {
					series, err := ask(ctx, listen, query)
					g.Expect(err).NotTo(HaveOccurred())
					if !slices.Contains(mayBeEmpty, panel.Title) {
						g.Expect(series).To(BeNumerically(">", 0), "%s: nothing to show for %s", panel.Title, query)
					}
				}).WithContext(ctx).WithTimeout(testbed.Patience).WithPolling(500 * time.Millisecond).Should(Succeed())
			}
		}

		By("the alerts")
		for _, alert := range alerts(GinkgoTB()) {
			_, err := ask(ctx, listen, alert.Expr.String())
			Expect(err).NotTo(HaveOccurred())
		}
		Eventually(func() (int, error) {
			return ask(ctx, listen, `ALERTS{alertname="SandboxProviderNotReady", provider="dead"}`)
		}).WithContext(ctx).WithTimeout(testbed.Patience).Should(Equal(1), "the provider that is dead should have its alert pending")
		Expect(ask(ctx, listen, `ALERTS{alertname=~"SandboxOperator.*"}`)).To(BeZero())
	})

	It("makes one trace of what it does for an object, in the trace of who created it, "+
		"and loses none when it is asked to end", func(ctx context.Context) {
		const outer, secret = "4bf92f3577b34da6a3ce929d0e0e4736", "xyzzy-7391-plugh"
		room := cloudRoom(ctx)
		room.Secret(ctx, "secret", map[string]string{"value": secret})
		sandbox := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("cloud"))
		exec := room.Exec("run", "box").Shell("echo said-by-it $V").EnvFrom("V", builders.SecretKey("secret", "value")).Obj()
		exec.Annotations = map[string]string{v1alpha1.TraceparentAnnotation: "00-" + outer + "-00f067aa0ba902b7-01"}
		room.Create(ctx, exec)
		room.EventuallyFinished(ctx, exec)
		Expect(bed.StopManager()).To(Succeed())
		Expect(traces.of(outer)).To(ContainElements("SandboxExec", "SandboxExec start", "e2b run"))
		own := strings.ReplaceAll(string(sandbox.UID), "-", "")
		Expect(traces.of(own)).To(ContainElements("Sandbox", "Sandbox create", "e2b create"))

		By("another process")
		Expect(bed.StartManager()).To(Succeed())
		bed.Delete(ctx, sandbox)
		bed.EventuallyGone(ctx, sandbox)
		Eventually(func() []string { return traces.of(own) }).WithTimeout(testbed.Patience).
			Should(ContainElements("Sandbox destroy", "e2b destroy"))
		for _, hidden := range []string{secret, "said-by-it", fake.Key} {
			Expect(traces.whole.String()).NotTo(ContainSubstring(hidden))
		}
	})

	It("logs lines of JSON, without stacks", func(ctx context.Context) {
		room := cloudRoom(ctx)
		room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("cloud"))
		lines := 0
		for line := range bytes.Lines(bed.Log()) {
			var entry map[string]any
			Expect(json.Unmarshal(line, &entry)).To(Succeed(), string(line))
			Expect(entry).To(And(HaveKey("level"), HaveKey("ts"), HaveKey("msg")), string(line))
			Expect(entry).NotTo(HaveKey("stacktrace"), string(line))
			if entry["reconcileID"] != nil {
				Expect(entry).To(And(HaveKey("namespace"), HaveKey("name"), HaveKey("controller")), string(line))
			}
			lines++
		}
		Expect(lines).To(BeNumerically(">", 5))
	})
})
