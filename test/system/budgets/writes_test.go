// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package budgets_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("The manager's writes to the API server", func() {
	const settled = 500 * time.Millisecond
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		// The first Sandbox of a provider has a finalizer written to that.
		room.Ready(ctx, room.Sandbox("first"))
	})

	// writes are those about this room, or about no namespace; events among them. How many sandboxes a provider has stands in its
	// status, which is written once a period at most, however many came and went: that is the cost of no one object.
	writes := func(since apiproxy.Position) []apiproxy.Request {
		return bed.Proxy.Since(since, func(r apiproxy.Request) bool {
			return apiproxy.IsWrite(r) && (r.Namespace == room.Namespace || r.Namespace == "") &&
				!strings.HasPrefix(r.Resource, "clustersandboxproviders")
		})
	}
	expectWrites := func(since apiproxy.Position, count int) {
		GinkgoHelper()
		list := func() string {
			var lines []string
			for _, request := range writes(since) {
				lines = append(lines, request.String())
			}
			return "these were written:\n" + strings.Join(lines, "\n")
		}
		Eventually(func() int { return len(writes(since)) }).WithTimeout(5*time.Second).Should(BeNumerically(">=", count), list)
		Consistently(func() int { return len(writes(since)) }).WithTimeout(settled).Should(Equal(count), list)
	}

	It("are 2 for a Sandbox to be Ready, none while it is idle, and 1 for it to go", func(ctx context.Context) {
		start := bed.Proxy.Now()
		sandbox := room.Ready(ctx, room.Sandbox("box").File("/workspace/file", "content").Memory("256Mi"))
		expectWrites(start, 2)

		start = bed.Proxy.Now()
		Consistently(func() string { return fmt.Sprint(writes(start)) }).WithTimeout(5 * time.Second).Should(Equal("[]"))

		room.Delete(ctx, sandbox)
		room.EventuallyGone(ctx, sandbox)
		expectWrites(start, 1)
	})

	It("are 7 for a SandboxExec with a sandbox of its own, its sandbox's among them", func(ctx context.Context) {
		start := bed.Proxy.Now()
		run := room.Run(ctx, builders.MakeOneShot(room.Namespace, "run", room.Sandbox("run")).Command("true"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		room.EventuallyRemotes(ctx, room.Namespace, 1)
		expectWrites(start, 7)
	})

	It("are 2 for a short SandboxExec, 4 for a longer one, and none when both are over", func(ctx context.Context) {
		room.Ready(ctx, room.Sandbox("box"))
		start := bed.Proxy.Now()
		room.Run(ctx, room.Exec("short", "box").Command("true"))
		expectWrites(start, 2)

		start = bed.Proxy.Now()
		room.Run(ctx, room.Exec("fails", "box").Command("false"))
		expectWrites(start, 2)

		start = bed.Proxy.Now()
		room.Run(ctx, room.Exec("long", "box").Shell("echo begin; sleep 3; echo end"))
		expectWrites(start, 4)

		start = bed.Proxy.Now()
		Consistently(func() string { return fmt.Sprint(writes(start)) }).WithTimeout(2 * time.Second).Should(Equal("[]"))
	})
})

var _ = Describe("The manager's calls to a provider", func() {
	It("are 1 to make a sandbox, 1 for a short SandboxExec, and few for a long one", func(ctx context.Context) {
		address := freeAddress()
		Expect(bed.StopManager()).To(Succeed())
		Expect(bed.StartManager("--metrics-bind-address="+address, "--metrics-secure=false", "--provider-period=1h")).To(Succeed())
		DeferCleanup(func() {
			Expect(bed.StopManager()).To(Succeed())
			Expect(bed.StartManager()).To(Succeed())
		})
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("first"))

		before := providerCalls(ctx, address)
		room.Ready(ctx, room.Sandbox("box"))
		Expect(providerCalls(ctx, address)-before).To(BeEquivalentTo(1), "for a sandbox")

		before = providerCalls(ctx, address)
		room.Run(ctx, room.Exec("short", "box").Command("true"))
		Expect(providerCalls(ctx, address)-before).To(BeEquivalentTo(1), "for a short command")

		before = providerCalls(ctx, address)
		run := room.Run(ctx, room.Exec("long", "box").Command("sleep", "6"))
		ran := time.Duration(*run.Status.DurationMilliseconds) * time.Millisecond
		// One look in 300 ms at the most, while it is young.
		Expect(providerCalls(ctx, address)-before).To(BeNumerically("<=", 2+int(ran/(300*time.Millisecond))), "for a long command")
	})
})

// freeAddress is one of this machine on which nobody listens.
func freeAddress() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// providerCalls is how many calls the manager has made to its providers, by its own count.
func providerCalls(ctx context.Context, address string) float64 {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	defer http.DefaultClient.CloseIdleConnections()
	total := 0.0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "sandbox_operator_provider_requests_total{") {
			value, err := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64)
			Expect(err).NotTo(HaveOccurred())
			total += value
		}
	}
	return total
}
