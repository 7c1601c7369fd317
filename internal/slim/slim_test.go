// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package slim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/controller"
)

// run is a run with all that may be left out, as the API server writes it: with sorted names.
func run(outcome v1alpha1.ExecOutcome) map[string]any {
	return map[string]any{
		"apiVersion": "sandboxes.run/v1alpha1", "kind": "SandboxExec",
		"metadata": map[string]any{
			"name": "run", "annotations": map[string]any{"managedFields": "mine", "head": "too"}, "uid": "1",
			"managedFields": []any{map[string]any{"manager": "kubectl", "fieldsV1": map[string]any{"f:spec": map[string]any{}}}},
		},
		"spec": map[string]any{
			"command": []any{"echo", `{"status":{"outcome":"x","stdout":{"head":"kept"}}}`}, "sandboxRef": map[string]any{"name": "box"},
		},
		"status": map[string]any{
			"exitCode": 0, "outcome": outcome,
			"outputs": []any{map[string]any{"path": "/out", "state": "Kept", "content": "of a file"}},
			"stderr":  map[string]any{"bytes": 3, "head": "e", "tail": `"quoted\" \\`, "retention": "Complete"},
			"stdout":  map[string]any{"bytes": 7, "head": "said\u0000 by \U0001F600", "sha256": "abc"},
		},
	}
}

func text(tb testing.TB, object any) []byte {
	tb.Helper()
	b, err := json.Marshal(object)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// kept is what a cache has of a run.
func kept(t *testing.T, object []byte) *v1alpha1.SandboxExec {
	t.Helper()
	var exec v1alpha1.SandboxExec
	if err := json.Unmarshal(object, &exec); err != nil {
		t.Fatalf("%v: %s", err, object)
	}
	if _, err := controller.StripFinished(&exec); err != nil {
		t.Fatal(err)
	}
	return &exec
}

func TestACacheKeepsTheSameOfWhatIsSlim(t *testing.T) {
	for _, outcome := range []v1alpha1.ExecOutcome{"", v1alpha1.OutcomeSucceeded} {
		whole := text(t, run(outcome))
		event := append(append([]byte(`{"type":"ADDED","object":`), whole...), '}')
		thin := value(nil, event)
		var of struct{ Object json.RawMessage }
		if err := json.Unmarshal(thin, &of); err != nil {
			t.Fatalf("%v: %s", err, thin)
		}
		NewWithT(t).Expect(kept(t, of.Object)).To(BeComparableTo(kept(t, whole)), "outcome %q", outcome)
		if strings.Contains(string(thin), "f:spec") {
			t.Errorf("outcome %q: managed fields are left: %s", outcome, thin)
		}
		for _, output := range []string{"said", "quoted", "of a file"} {
			if got, want := strings.Contains(string(thin), output), outcome == ""; got != want {
				t.Errorf("outcome %q: %q is there: %t", outcome, output, got)
			}
		}
	}
}

func TestEachOfAListIsSlim(t *testing.T) {
	list := text(t, map[string]any{
		"kind": "SandboxExecList", "metadata": map[string]any{"continue": "more"},
		"items": []any{run(v1alpha1.OutcomeFailed), run(""), run(v1alpha1.OutcomeSucceeded)},
	})
	var whole, thin v1alpha1.SandboxExecList
	if err := errors.Join(json.Unmarshal(list, &whole), json.Unmarshal(value(nil, list), &thin)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(value(nil, list)), "said"); n != 1 {
		t.Errorf("output is there of %d runs, but 1 goes on", n)
	}
	for i := range whole.Items {
		_, err := controller.StripFinished(&whole.Items[i])
		_, err2 := controller.StripFinished(&thin.Items[i])
		if err = errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
	}
	NewWithT(t).Expect(thin).To(BeComparableTo(whole))
}

func TestWhatIsNoObjectOfKubernetesStaysAsItIs(t *testing.T) {
	for _, odd := range []string{
		`null`, `7`, `[]`, `{}`, `{"object":3}`, `{"object":{"metadata":[],"status":"s"}}`, `{"items":{"status":{"outcome":"x"}}}`,
		`{"items":[1,null,{"metadata":{"managedFields`, `{"object":{"status":{"outcome":"x","stdout":null,"outputs":{}}}}`,
		`{"object":{"status":{"stdout":{"head":"before the outcome"},"outcome":"x"}}}`,
		`{"object":{"status":{"outcome":"","stdout":{"head":"kept"}}}}`,
		`{"kind":"Status","status":"Failure","message":"managedFields"}`,
	} {
		if got := string(value(nil, []byte(odd))); got != odd {
			t.Errorf("%s has become %s", odd, got)
		}
	}
}

// served answers a GET with a body, through the transport.
func served(t *testing.T, path string, status int, body, kind string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := Transport(server.Client().Transport).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestListsOfOurKindsAloneAreMadeSlim(t *testing.T) {
	const full, all = `{"items":[{"metadata":{"managedFields":[]}}]}`, "/apis/sandboxes.run/v1alpha1/namespaces/ns/sandboxexecs"
	const slim = `{"items":[{"metadata":{"managedFields":null}}]}` + "\n"
	for _, c := range []struct {
		path, kind, want string
		status           int
	}{
		{all, "application/json", slim, http.StatusOK},
		{"/apis/sandboxes.run/v1alpha1/sandboxes?watch=1", "application/json;charset=utf-8", slim, http.StatusOK},
		{all + "/run", "application/json", full, http.StatusOK},
		{"/api/v1/namespaces", "application/json", full, http.StatusOK},
		{"/apis/others.run/v1/sandboxes", "application/json", full, http.StatusOK},
		{all, "application/vnd.kubernetes.protobuf", full, http.StatusOK},
		{all, "application/json", full, http.StatusForbidden},
	} {
		if got := served(t, c.path, c.status, full, c.kind); got != c.want {
			t.Errorf("%s (%s, %d): %s", c.path, c.kind, c.status, got)
		}
	}
}

// An event has to come when it is there, and not when another follows.
func TestAnEventComesAtOnce(t *testing.T) {
	sent, send := io.Pipe()
	r := newReader(sent)
	for i := range 3 {
		go func() {
			_, _ = fmt.Fprintf(send, `{"type":"ADDED","object":{"metadata":{"name":"%d","managedFields":[1]}}}`+"\n", i)
		}()
		var event metav1.WatchEvent
		if err := json.NewDecoder(r).Decode(&event); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"metadata":{"name":"%d","managedFields":null}}`, i); string(event.Object.Raw) != want {
			t.Errorf("got %s", event.Object.Raw)
		}
	}
	if err := errors.Join(send.Close(), r.Close()); err != nil {
		t.Error(err)
	}
}

func TestAnErrorOfTheConnectionIsTheClients(t *testing.T) {
	broken := errors.New("the connection broke")
	body := io.MultiReader(strings.NewReader(`{"object":{}}{"obj`), iotest.ErrReader(broken))
	got, err := io.ReadAll(newReader(io.NopCloser(body)))
	if string(got) != `{"object":{}}`+"\n" || err != broken { //nolint:errorlint // it has to be that one
		t.Errorf("%q, %v", got, err)
	}
	_, err = io.ReadAll(newReader(io.NopCloser(strings.NewReader(`{"object":`))))
	if err != io.ErrUnexpectedEOF { //nolint:errorlint // it has to be that one
		t.Errorf("a body that ends too soon: %v", err)
	}
}

func FuzzValue(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"managedFields":[]},"status":{"outcome":"x","stdout":{"head":"h","tail":"t"}}}}`))
	f.Add([]byte(`{"items":[{"status":{"outcome":"x","outputs":[{"content":"c"}]}},{}]}`))
	f.Fuzz(func(t *testing.T, whole []byte) {
		thin := value([]byte("before"), whole)
		if !strings.HasPrefix(string(thin), "before") {
			t.Fatalf("what was there before is gone: %q", thin)
		}
		thin = thin[len("before"):]
		if json.Valid(whole) != json.Valid(thin) {
			t.Errorf("%q has become %q", whole, thin)
		}
		if again := value(nil, thin); !bytes.Equal(again, thin) {
			t.Errorf("%q is not slim: %q", thin, again)
		}
	})
}

func BenchmarkValue(b *testing.B) {
	big := run(v1alpha1.OutcomeSucceeded)
	stream := map[string]any{"bytes": 17000, "head": strings.Repeat("a line of output\n", 1000)}
	big["status"] = map[string]any{"outcome": v1alpha1.OutcomeSucceeded, "stdout": stream, "stderr": stream}
	event := append(append([]byte(`{"type":"ADDED","object":`), text(b, big)...), '}')
	b.SetBytes(int64(len(event)))
	var buffer []byte
	for b.Loop() {
		buffer = value(buffer[:0], event)
	}
}
