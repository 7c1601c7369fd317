// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2b

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/e2b/envd"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
)

// median of how long some calls take.
func median(count int, call func()) time.Duration {
	took := make([]time.Duration, count)
	for i := range took {
		began := time.Now()
		call()
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[count/2]
}

// mostOverhead of the adapter in a call, at the median.
const mostOverhead = 3 * time.Millisecond

func TestCallsCostLittle(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	id := mustCreate(t, b, wanted).ID
	p, _ := b.places.find(id)
	run := func(command backends.Command) func() {
		return func() {
			_, err := b.RunCommand(t.Context(), id, command)
			g.Expect(err).NotTo(HaveOccurred())
		}
	}
	must := func(err error) { g.Expect(err).NotTo(HaveOccurred()) }
	run(backends.Command{Argv: []string{"true"}})()
	const calls = 40
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cloud.URL()+"/sandboxes/"+id, http.NoBody)
	must(err)
	request.Header.Set("X-Api-Key", fake.Key)
	bare := median(calls, func() {
		response, err := http.DefaultClient.Do(request)
		must(err)
		must(response.Body.Close())
	})
	defer http.DefaultClient.CloseIdleConnections()
	get := median(calls, func() { _, err := b.Get(t.Context(), id); must(err) })
	list := median(calls, func() { _, err := b.List(t.Context(), backends.Filter{}); must(err) })
	stat := median(calls, func() {
		_, err := invoke[envd.StatRequest, envd.StatResponse](t.Context(), b, p,
			invocation{operation: "stat", procedure: "/filesystem.Filesystem/Stat"}, &envd.StatRequest{Path: "/tmp"})
		must(err)
	})
	// The same request, read to its end and no more; in turns, as how busy the machine is changes from moment to moment.
	short := backends.Command{Argv: []string{"true"}}
	var plains, commands []time.Duration
	for range calls {
		plains = append(plains, median(1, func() { must(startBare(t, b, p, short)) }))
		commands = append(commands, median(1, run(short)))
	}
	slices.Sort(plains)
	slices.Sort(commands)
	plain, command := plains[calls/2], commands[calls/2]
	withInput := median(calls, run(backends.Command{Argv: []string{"cat"}, Stdin: []byte("input"), Env: map[string]string{"A": "b"}}))
	withDeadline := median(calls, run(backends.Command{Argv: []string{"true"}, Timeout: time.Minute}))
	t.Logf("medians: bare HTTP %s, get %s, list %s, stat %s; a bare start %s, command %s, with input %s, with a deadline %s",
		bare, get, list, stat, plain, command, withInput, withDeadline)
	g.Expect(get-bare).To(BeNumerically("<", mostOverhead), "get")
	g.Expect(list-bare).To(BeNumerically("<", mostOverhead), "list")
	g.Expect(stat-bare).To(BeNumerically("<", mostOverhead), "stat")
	g.Expect(command-plain).To(BeNumerically("<", mostOverhead), "a command")
}

// startBare makes the request of a command, and reads its answer to the end.
func startBare(t *testing.T, b *backend, p place, command backends.Command) error {
	t.Helper()
	client := connect.NewClient[envd.StartRequest, envd.StartResponse](
		gate{b.client, "start", true}, b.options.daemon(p.id, p.domain)+procedureStart, connect.WithProtoJSON())
	stream, err := client.CallServerStream(t.Context(), newRun(b, p, operationRun, "", command).request(false))
	if err != nil {
		return err
	}
	for stream.Receive() {
	}
	return errors.Join(stream.Err(), stream.Close())
}

func TestAShortLifeTakesFewRequests(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	count := func(call func()) int {
		before := len(cloud.Requests())
		call()
		return len(cloud.Requests()) - before
	}
	var id string
	g.Expect(count(func() { id = mustCreate(t, b, wanted).ID })).To(Equal(1), "to a sandbox that runs")
	run := func(b *backend, command backends.Command) func() {
		return func() {
			_, err := b.RunCommand(t.Context(), id, command)
			g.Expect(err).NotTo(HaveOccurred())
		}
	}
	g.Expect(count(run(b, backends.Command{Argv: []string{"true"}}))).To(Equal(1), "a command")
	fed := backends.Command{Argv: []string{"cat"}, Stdin: []byte("input")}
	g.Expect(count(run(b, fed))).To(Equal(2), "a command and its input")
	restarted := connectTo(t, cloud)
	g.Expect(count(run(restarted, fed))).To(Equal(3), "after a restart the token is asked for, once")
	g.Expect(count(run(restarted, fed))).To(Equal(2))
	g.Expect(count(func() { g.Expect(b.Destroy(t.Context(), id)).To(Succeed()) })).To(Equal(1))
}

func TestAThousandSandboxesAreTenPages(t *testing.T) {
	g := NewWithT(t)
	cloud := newCloud(t, fake.Options{})
	b := connectTo(t, cloud)
	var creators sync.WaitGroup
	for worker := range 10 {
		creators.Go(func() {
			for i := range 100 {
				r := wanted
				r.Mark.UID = fmt.Sprintf("uid-%d-%d", worker, i)
				if _, err := b.Create(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	creators.Wait()
	waits := 0
	ctx := backends.WithPages(t.Context(), func(ctx context.Context) error { waits++; return ctx.Err() })
	before := len(cloud.Requests())
	began := time.Now()
	found, err := b.List(ctx, backends.Filter{Installation: "here"})
	g.Expect(err).NotTo(HaveOccurred())
	t.Logf("a list of %d took %s", len(found), time.Since(began))
	ids := map[string]bool{}
	for _, remote := range found {
		ids[remote.ID] = true
	}
	g.Expect(ids).To(HaveLen(1000))
	g.Expect(len(cloud.Requests()) - before).To(Equal(10))
	g.Expect(waits).To(Equal(9), "each page but the first waits for the account's rate")
	one, err := b.List(t.Context(), backends.Filter{Installation: "here", UID: "uid-3-7"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(one).To(HaveLen(1))
}

func TestOneConnectionServesAllCalls(t *testing.T) {
	needRoot(t)
	g := NewWithT(t)
	config, bundle := tlsOf(t)
	cloud := newCloud(t, fake.Options{TLS: config})
	settings := configOf(cloud)
	settings.CABundle = bundle
	b := connectWith(t, settings)
	id := mustCreate(t, b, wanted).ID
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			for range 3 {
				result, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"cat"}, Stdin: []byte("x")})
				if err != nil || string(result.Stdout) != "x" {
					t.Errorf("%q, %v", result.Stdout, err)
				}
			}
		})
	}
	calls.Wait()
	for _, r := range cloud.Requests() {
		g.Expect(r.Proto).To(Equal("HTTP/2.0"))
	}
	g.Expect(cloud.Connections()).To(Equal(1), "one handshake a host")
}
