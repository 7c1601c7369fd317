// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package security_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// nasty has what a terminal obeys, what ends a log line, what reverses text, and what is no text.
const nasty = "\x1b]0;owned\x07\x1b[2J\r\nlevel=error forged\u202etxt.exe\u0085\x00\xff\xfe"

// hostile makes a provider of the cluster whose API is the handler.
func hostile(ctx context.Context, name string, handler http.Handler) *v1alpha1.ClusterSandboxProvider {
	GinkgoHelper()
	server := httptest.NewServer(handler)
	DeferCleanup(server.Close)
	DeferCleanup(server.CloseClientConnections)
	bed.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: testbed.Namespace, Name: name}, StringData: map[string]string{"apiKey": daytona.FakeKey},
	})
	provider := builders.MakeClusterProvider(name, "daytona").Credentials(name).Obj()
	provider.Spec.Endpoint = server.URL + "/api"
	bed.Create(ctx, provider)
	DeferCleanup(func(ctx context.Context) { bed.Delete(ctx, provider) })
	return provider
}

// expectHarmless wants text that is short, valid, and does nothing to a terminal.
func expectHarmless(what, text string) {
	GinkgoHelper()
	Expect(len(text)).To(BeNumerically("<=", 4096), what)
	Expect(utf8.ValidString(text)).To(BeTrue(), what)
	bad := strings.IndexFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
	})
	Expect(bad).To(Equal(-1), "%s: %q", what, text)
}

// expectLogLinesWhole wants that nothing which came from outside began a line of the log.
func expectLogLinesWhole() {
	GinkgoHelper()
	for line := range bytes.Lines(bed.Log()) {
		Expect(json.Valid(line)).To(BeTrue(), "%q", line)
		Expect(bytes.ContainsAny(line, "\x1b\x07\x00")).To(BeFalse(), "%q", line)
	}
}

// residentMiB is the memory that the manager has.
func residentMiB() int {
	GinkgoHelper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", bed.Running().PID()))
	Expect(err).NotTo(HaveOccurred())
	pages, err := strconv.Atoi(strings.Fields(string(content))[1])
	Expect(err).NotTo(HaveOccurred())
	return pages * os.Getpagesize() >> 20
}

var _ = Describe("A provider", func() {
	It("that answers without end costs neither memory nor anybody else", func(ctx context.Context) {
		var sent sync.Map
		provider := hostile(ctx, "endless", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			chunk := bytes.Repeat([]byte(`{"items":[`), 100<<10)
			sent.Store(r.URL.Path, true)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}))
		bed.Eventually(ctx, provider, "be found out", func() bool {
			ready := meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil && ready.Reason == v1alpha1.ReasonUnavailable
		})
		Expect(meta.FindStatusCondition(provider.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("longer than"))
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("other"))
		Expect(residentMiB()).To(BeNumerically("<", 300), "MiB that the manager has")
	})

	It("that answers with what terminals and logs obey is quoted harmlessly", func(ctx context.Context) {
		provider := hostile(ctx, "nasty", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"statusCode":400,"error":%s,"message":"a\u001b[31mb\u0007\u202ec\u0085 %s"}`,
				strconv.QuoteToASCII(nasty[:8]), strings.Repeat(`\u001b[5m`, 20000))
		}))
		room := bed.NewRoom(ctx)
		box := builders.MakeSandbox(room.Namespace, "box").ClusterProvider("nasty").Obj()
		room.Create(ctx, box)
		for _, object := range []client.Object{provider, box} {
			bed.Eventually(ctx, object, "have its trouble told", func() bool {
				ready := meta.FindStatusCondition(conditionsOf(object), v1alpha1.ConditionReady)
				return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason != v1alpha1.ReasonCreating
			})
			for _, condition := range conditionsOf(object) {
				expectHarmless(condition.Type+" of "+object.GetName(), condition.Message)
			}
		}
		expectEventsHarmless(ctx)
		expectLogLinesWhole()
	})

	DescribeTable("that gives a sandbox an ID which is none is not believed", func(ctx context.Context, id string) {
		fake, err := daytona.Start(daytona.Options{Newest: true})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(fake.Close)
		target, err := url.Parse(fake.URL())
		Expect(err).NotTo(HaveOccurred())
		var paths sync.Map
		forward := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
				paths.Store(r.In.URL.EscapedPath(), true)
			},
			ModifyResponse: func(response *http.Response) error { return withID(response, id) },
		}
		name := fmt.Sprintf("forger-%d", GinkgoRandomSeed()%1000+int64(len(id)))
		hostile(ctx, name, forward)
		room := bed.NewRoom(ctx)
		box := builders.MakeSandbox(room.Namespace, "box").ClusterProvider(name).Obj()
		room.Create(ctx, box)
		bed.Eventually(ctx, box, "say that it can't be", func() bool {
			ready := meta.FindStatusCondition(box.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil &&
				(strings.Contains(ready.Message, "an ID that can be none") || strings.Contains(ready.Message, "is no sandbox"))
		})
		Expect(box.Status.SandboxID).To(BeEmpty())
		for _, condition := range box.Status.Conditions {
			expectHarmless(condition.Type, condition.Message)
		}
		paths.Range(func(path, _ any) bool {
			Expect(path).To(MatchRegexp(`^/api/[A-Za-z0-9/_.-]*$`), "what was called")
			Expect(path).NotTo(ContainSubstring(".."))
			return true
		})
		expectLogLinesWhole()
	},
		Entry("a path that leads elsewhere", "../../organizations/delete"),
		Entry("of a hundred thousand bytes", strings.Repeat("x", 100_000)),
		Entry("with line ends and terminal's orders", "id\n\x1b[2J"),
		Entry("with a query", "id?force=true#"),
		Entry("empty", ""),
	)
})

func expectEventsHarmless(ctx context.Context) {
	GinkgoHelper()
	var events eventsv1.EventList
	Expect(bed.Client.List(ctx, &events)).To(Succeed())
	for _, event := range events.Items {
		expectHarmless("event "+event.Reason, event.Note)
	}
}

// withID gives every sandbox in the answer the ID.
func withID(response *http.Response, id string) error {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer map[string]any
	if json.Unmarshal(body, &answer) == nil {
		if _, ok := answer["id"]; ok {
			answer["id"] = id
		}
		if items, ok := answer["items"].([]any); ok {
			for _, item := range items {
				if one, ok := item.(map[string]any); ok {
					one["id"] = id
				}
			}
		}
		if body, err = json.Marshal(answer); err != nil {
			return err
		}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// conditionsOf are those of any of our kinds.
func conditionsOf(object client.Object) []metav1.Condition {
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		return o.Status.Conditions
	case *v1alpha1.SandboxExec:
		return o.Status.Conditions
	case *v1alpha1.SandboxProvider:
		return o.Status.Conditions
	case *v1alpha1.ClusterSandboxProvider:
		return o.Status.Conditions
	}
	return nil
}
