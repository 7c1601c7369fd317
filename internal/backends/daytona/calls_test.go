// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"bytes"
	"fmt"
	"net/http/httptrace"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

// since returns the method and path of each call after the first so many.
func (f *fakeServer) since(first int, id string) []string {
	var calls []string
	for _, call := range f.Calls()[first:] {
		path := call.Path
		if id != "" {
			path = string(bytes.ReplaceAll([]byte(path), []byte(id), []byte("ID")))
		}
		calls = append(calls, call.Method+" "+path)
	}
	return calls
}

func TestEachOperationCostsAsFewCallsAsItCan(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{Newest: true})
	b := fake.connect(t)
	r := requestNamed("x")
	r.Lifetime = time.Hour
	made, err := b.Create(t.Context(), r)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(made.State).To(Equal(backends.StateRunning), "of a snapshot the answer waits for that")
	run := func(b *backend, stdin int) func() error {
		return func() error {
			_, err := b.RunCommand(t.Context(), made.ID, backends.Command{Argv: []string{"true"}, Stdin: bytes.Repeat([]byte("x"), stdin)})
			return err
		}
	}
	const execute, read = "POST /toolbox/ID/process/execute", "GET /api/sandbox/ID"
	for _, c := range []struct {
		what  string
		do    func() error
		calls []string
	}{
		{"a short command", run(b, 0), []string{execute}},
		{"a command with input", run(b, mostInline), []string{execute}},
		{"a command with large input", run(b, mostInline+1), []string{"POST /toolbox/ID/files/bulk-upload", execute}},
		{"the first command of another process", run(fake.connect(t), 0), []string{read, execute}},
		{"the first renewal", func() error { return b.SetLifetime(t.Context(), made.ID, time.Hour) },
			[]string{"POST /api/sandbox/ID/ttl/60", "POST /api/sandbox/ID/autostop/0"}},
		{"a renewal", func() error { return b.SetLifetime(t.Context(), made.ID, time.Hour) }, []string{"POST /api/sandbox/ID/ttl/60"}},
		{"an endpoint", func() error { _, err := b.Endpoint(t.Context(), made.ID, backends.Port{Number: 80}); return err },
			[]string{"GET /api/sandbox/ID/ports/80/preview-url"}},
		{"writing a file", func() error {
			return backends.WriteFile(t.Context(), b, made.ID, "/tmp/x", []byte("x"), 0o600)
		}, []string{execute}},
		{"reading a file", func() error {
			_, err := backends.ReadFile(t.Context(), b, made.ID, "/tmp/x", 0)
			return err
		}, []string{execute}},
		{"destroying", func() error { return b.Destroy(t.Context(), made.ID) }, []string{"DELETE /api/sandbox/ID"}},
	} {
		before := len(fake.Calls())
		g.Expect(c.do()).To(Succeed(), c.what)
		g.Expect(fake.since(before, made.ID)).To(Equal(c.calls), c.what)
	}
}

func TestAServerThatDoesNotSayWhereAToolboxIsIsAskedOnce(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	made, err := fake.connect(t).Create(t.Context(), requestNamed("x"))
	g.Expect(err).NotTo(HaveOccurred())
	b := fake.connect(t)
	fake.Inject(daytona.Fault{Method: "GET", Path: made.ID, Status: 200, Body: `{"id":"` + made.ID + `","state":"started"}`, Times: 1})
	before := len(fake.Calls())
	for range 2 {
		_, err = b.RunCommand(t.Context(), made.ID, backends.Command{Argv: []string{"true"}})
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(fake.since(before, made.ID)).To(Equal([]string{
		"GET /api/sandbox/ID", "GET /api/sandbox/ID/toolbox-proxy-url", "POST /toolbox/ID/process/execute",
		"POST /toolbox/ID/process/execute",
	}))
}

func TestAThousandSandboxesAreListedInFivePages(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	mark := requestNamed("x").Mark
	fake.Fill(1000, mark.Labels())
	fake.Fill(10, nil)
	b := fake.connect(t)
	for filter, want := range map[backends.Filter][2]int{{Installation: "i"}: {1000, 5}, {}: {1010, 6}, {UID: "nobody"}: {0, 1}} {
		before, began := len(fake.Calls()), time.Now()
		listed, err := b.List(t.Context(), filter)
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("%d sandboxes listed in %s", len(listed), time.Since(began).Round(time.Millisecond))
		g.Expect(listed).To(HaveLen(want[0]))
		g.Expect(fake.since(before, "")).To(HaveLen(want[1]))
	}
}

// Both the API and the toolbox have one host here, so one connection serves all; with TLS it speaks HTTP/2.
func TestConnectionsAreReused(t *testing.T) {
	needRoot(t)
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", encrypted), func(t *testing.T) {
			g := NewWithT(t)
			fake := startFake(t, daytona.Options{TLS: encrypted})
			b := fake.connect(t)
			fresh, handshakes := 0, 0
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(i httptrace.GotConnInfo) {
					if !i.Reused {
						fresh++
					}
				},
				TLSHandshakeStart: func() { handshakes++ },
			})
			made, err := b.Create(ctx, requestNamed("x"))
			g.Expect(err).NotTo(HaveOccurred())
			for range 20 {
				_, err = b.RunCommand(ctx, made.ID, backends.Command{Argv: []string{"true"}})
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(fresh).To(Equal(1))
			g.Expect(handshakes).To(Equal(map[bool]int{false: 0, true: 1}[encrypted]))
		})
	}
}

// What the adapter itself adds is the difference between a call and the same one made by hand: less than 3 ms at the median.
func TestAdapterAddsLittle(t *testing.T) {
	g := NewWithT(t)
	fake := startFake(t, daytona.Options{})
	b := fake.connect(t)
	made, err := b.Create(t.Context(), requestNamed("x"))
	g.Expect(err).NotTo(HaveOccurred())
	var took []time.Duration
	for range 200 {
		began := time.Now()
		_, err := b.Get(t.Context(), made.ID)
		g.Expect(err).NotTo(HaveOccurred())
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("get: median %s, p99 %s, with the fake's own time", took[100], took[198])
	g.Expect(took[100]).To(BeNumerically("<", 3*time.Millisecond))
}

func BenchmarkRunCommand(b *testing.B) {
	fake := startFake(b, daytona.Options{})
	backend := fake.connect(b)
	made, err := backend.Create(b.Context(), requestNamed("x"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := backend.RunCommand(b.Context(), made.ID, backends.Command{Argv: []string{"true"}}); err != nil {
			b.Fatal(err)
		}
	}
}
