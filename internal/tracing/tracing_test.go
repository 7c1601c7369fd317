// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tracing_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/tracing"
)

const (
	uid      = "0f8fad5b-d9cb-469f-a165-70867728950e"
	outer    = "4bf92f3577b34da6a3ce929d0e0e4736"
	outerID  = "00f067aa0ba902b7"
	patience = 10 * time.Second
)

// receiver is a collector that keeps what it gets.
type receiver struct {
	*httptest.Server
	mutex sync.Mutex
	got   []*spans.Span
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		var sent collector.ExportTraceServiceRequest
		if request.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
			t.Errorf("%s is no request of OTLP", request.URL)
		}
		r.mutex.Lock()
		defer r.mutex.Unlock()
		for _, resource := range sent.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				r.got = append(r.got, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// named is the span of a name, once all were sent.
func (r *receiver) named(t *testing.T, name string) *spans.Span {
	t.Helper()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var names []string
	for _, span := range r.got {
		if span.GetName() == name {
			return span
		}
		names = append(names, span.GetName())
	}
	t.Fatalf("there is no span %q among %q", name, names)
	return nil
}

func start(t *testing.T, endpoint string, ratio float64) (stop func(time.Duration)) {
	t.Helper()
	stop, err := tracing.Start(t.Context(), tracing.Options{Endpoint: endpoint, Ratio: ratio, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

func object(traceparent string) *v1alpha1.Sandbox {
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "box", UID: types.UID(uid)}}
	if traceparent != "" {
		sandbox.Annotations = map[string]string{v1alpha1.TraceparentAnnotation: traceparent}
	}
	return sandbox
}

// process does what a process does for an object: a pass with a call, and its end.
func process(object *v1alpha1.Sandbox) {
	ctx, end := tracing.Pass(context.Background(), object, "pass")
	_, called := tracing.Call(ctx, "memory", "p", "create")
	called("Unavailable", errors.New("hunter2 is wrong"))
	end(nil)
	tracing.Tell(object, tracing.Whole{Name: "whole", Begin: time.Now().Add(-time.Second), End: time.Now()})
}

func hex(id []byte) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range id {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func TestSpansOfSeveralProcessesAreOneTrace(t *testing.T) {
	r := receive(t)
	for range 2 {
		stop := start(t, r.URL, 1)
		process(object(""))
		stop(patience)
	}
	if len(r.got) != 6 {
		t.Fatalf("%d spans arrived, not 6: what is left at the end should be sent", len(r.got))
	}
	whole, pass, call := r.named(t, "whole"), r.named(t, "pass"), r.named(t, "memory create")
	for _, span := range r.got {
		if got := hex(span.GetTraceId()); got != strings.ReplaceAll(uid, "-", "") {
			t.Errorf("%s is in the trace %s: it should be the UID", span.GetName(), got)
		}
		if strings.Contains(span.String(), "hunter2") {
			t.Errorf("%s has the text of an error: %v", span.GetName(), span)
		}
	}
	switch {
	case len(whole.GetParentSpanId()) != 0:
		t.Error("the object's span should be the first of its trace")
	case hex(pass.GetParentSpanId()) != hex(whole.GetSpanId()):
		t.Error("a pass should be under the object's span")
	case hex(call.GetParentSpanId()) != hex(pass.GetSpanId()) || call.GetKind() != spans.Span_SPAN_KIND_CLIENT:
		t.Error("a call should be a client's span under its pass")
	case call.GetStatus().GetMessage() != "Unavailable":
		t.Errorf("a call that failed should say so: %v", call.GetStatus())
	}
}

func TestSpansJoinTheTraceOfTheCreator(t *testing.T) {
	r := receive(t)
	stop := start(t, r.URL, 0)
	process(object("00-" + outer + "-" + outerID + "-01"))
	stop(patience)
	for _, span := range r.got {
		if got := hex(span.GetTraceId()); got != outer {
			t.Errorf("%s is in the trace %s, not in the creator's", span.GetName(), got)
		}
	}
	if got := hex(r.named(t, "whole").GetParentSpanId()); got != outerID {
		t.Errorf("the object's span is under %s, not under the creator's", got)
	}
}

func TestWhatTheCreatorDoesNotSampleIsNotTraced(t *testing.T) {
	r := receive(t)
	stop := start(t, r.URL, 1)
	process(object("00-" + outer + "-" + outerID + "-00"))
	stop(patience)
	if len(r.got) != 0 {
		t.Errorf("%d spans arrived", len(r.got))
	}
}

func TestAnAnnotationThatCantBeReadIsNone(t *testing.T) {
	r := receive(t)
	stop := start(t, r.URL, 1)
	process(object("00-" + outer + "-rm -rf-01"))
	stop(patience)
	if got := hex(r.named(t, "whole").GetTraceId()); got != strings.ReplaceAll(uid, "-", "") {
		t.Errorf("the trace is %s", got)
	}
}

func TestAMadeObjectInheritsTheTrace(t *testing.T) {
	r := receive(t)
	stop := start(t, r.URL, 1)
	made := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{UID: "another"}}
	tracing.Inherit(made, object(""))
	process(made)
	stop(patience)
	if got := hex(r.named(t, "whole").GetTraceId()); got != strings.ReplaceAll(uid, "-", "") {
		t.Errorf("the trace is %s, not that of the maker", got)
	}
	tracing.Inherit(object(""), object("")) // where tracing is off, nothing is done
}

func TestTheRatioIsOfObjects(t *testing.T) {
	r := receive(t)
	stop := start(t, r.URL, 0.25)
	for i := range 400 {
		one := object("")
		one.UID = types.UID(strings.Replace(uid, "0f8f", string([]byte{'a' + byte(i/26), 'a' + byte(i%26), '0', '0'}), 1))
		tracing.Tell(one, tracing.Whole{Name: "whole", Begin: time.Now(), End: time.Now()})
	}
	stop(patience)
	if n := len(r.got); n < 60 || n > 140 {
		t.Errorf("of 400 objects %d were traced, not about a quarter", n)
	}
}

func TestADeadCollectorCostsNothingAndIsToldOnce(t *testing.T) {
	r := receive(t)
	r.Close()
	var mutex sync.Mutex
	lines := 0
	log := funcr.New(func(_, args string) {
		mutex.Lock()
		defer mutex.Unlock()
		if strings.Contains(args, "can't be sent") {
			lines++
		}
	}, funcr.Options{})
	stop, err := tracing.Start(t.Context(), tracing.Options{Endpoint: r.URL, Ratio: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	const objects = 3000
	for range objects {
		process(object(""))
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("%d objects took %s", objects, took)
	}
	stop(patience)
	if lines != 1 {
		t.Errorf("it was told %d times", lines)
	}
}

func TestWhatACollectorAnswersIsLoggedInPart(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, strings.Repeat("no ", 1000))
	}))
	t.Cleanup(server.Close)
	var mutex sync.Mutex
	var logged strings.Builder
	log := funcr.New(func(_, args string) {
		mutex.Lock()
		defer mutex.Unlock()
		logged.WriteString(args)
	}, funcr.Options{})
	stop, err := tracing.Start(t.Context(), tracing.Options{Endpoint: server.URL, Ratio: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	process(object(""))
	stop(patience)
	if said := logged.String(); !strings.Contains(said, "403") || len(said) > 1000 {
		t.Errorf("the log has %d bytes of an answer: %q", len(said), said)
	}
}

// TestAToken is run by the test below in a process of its own: the library says on stderr what it can't read.
func TestAToken(t *testing.T) {
	if os.Getenv("OTEL_EXPORTER_OTLP_HEADERS") == "" {
		t.Skip("it is run by another test")
	}
	start(t, "http://127.0.0.1:1", 1)(patience)
}

func TestATokenInAWrongVariableIsSaidNowhere(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAToken$", "-test.v")
	command.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_HEADERS=authorization Bearer hunter2-%zz")
	said, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "PASS: TestAToken") {
		t.Fatalf("%v: %s", err, said)
	}
	if strings.Contains(string(said), "hunter2") {
		t.Errorf("the token is shown: %s", said)
	}
}

func TestEndpointsThatAreNone(t *testing.T) {
	for _, endpoint := range []string{"collector:4318", "grpc://collector:4317", "http://", "http://user:secret@collector:4318"} {
		if err := tracing.CheckEndpoint(endpoint); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
