// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pods_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

var _ = Describe("A sandbox in a pod", func() {
	shell := func(line string) backends.Command { return backends.Command{Argv: []string{"sh", "-c", line}} }

	It("says that its image can't be pulled, and gives up at last", func(ctx SpecContext) {
		b := connect(map[string]any{"startDeadlineSeconds": 20})
		remote := create(ctx, b, func(r *backends.CreateRequest) { r.Source.Image = "registry.invalid/none:1" })
		Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).Should(And(
			HaveField("State", backends.StateCreating), HaveField("Reason", ContainSubstring("its image can't be pulled"))))
		Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).Should(And(
			HaveField("State", backends.StateStopped), HaveField("Reason", ContainSubstring("did not start within 20s"))))
	})

	It("says that its image has no shell", func(ctx SpecContext) {
		if noShell == "" {
			Skip("needs an image without a shell")
		}
		b := connect(nil)
		remote := create(ctx, b, func(r *backends.CreateRequest) { r.Source.Image = noShell })
		Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).Should(And(
			HaveField("State", backends.StateStopped), HaveField("Reason", ContainSubstring("its image has no /bin/sh"))))

		b = connect(map[string]any{"firstProcess": "Image"})
		remote = running(ctx, b, func(r *backends.CreateRequest) { r.Source.Image = noShell })
		result, err := b.RunCommand(ctx, remote.ID, backends.Command{Argv: []string{"/bin/sh", "-c", "true"}, Timeout: time.Minute})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.ExitCode).To(Equal(127))
		result, err = b.RunCommand(ctx, remote.ID, backends.Command{Argv: []string{"/nowhere"}})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.ExitCode).To(Equal(127))
		_, err = b.RunCommand(ctx, remote.ID, backends.Command{Argv: []string{"/pause"}, Env: map[string]string{"A": "b"}})
		Expect(err).To(MatchError(backends.Unsupported))
	})

	It("has files and commands although its image has no tar", func(ctx SpecContext) {
		if noTar == "" {
			Skip("needs an image without tar")
		}
		b := connect(nil)
		remote := running(ctx, b, func(r *backends.CreateRequest) { r.Source.Image = noTar })
		Expect(backends.WriteFile(ctx, b, remote.ID, "/workspace/a/file", []byte("\x00\xff"), 0o600)).To(Succeed())
		Expect(backends.ReadFile(ctx, b, remote.ID, "/workspace/a/file", 0)).To(Equal([]byte("\x00\xff")))
	})

	It("has places to write where its root filesystem is read-only", func(ctx SpecContext) {
		b := connect(map[string]any{"rootFilesystem": "ReadOnly"})
		remote := running(ctx, b, func(r *backends.CreateRequest) { r.Lifetime = time.Hour })
		result, err := b.RunCommand(ctx, remote.ID, shell("touch /tmp/a /workspace/b && ! touch /c 2>/dev/null && echo fine"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(result.Stdout)).To(Equal("fine\n"), "%s", result.Stderr)
		Expect(backends.MakeDir(ctx, b, remote.ID, path.Join(backends.SpoolRoot(b, remote.ID), "x"))).To(Succeed())
	})

	It("has an end that is known when a command runs out of memory, and says so when it is itself out of it", func(ctx SpecContext) {
		b := connect(nil)
		remote := running(ctx, b, func(r *backends.CreateRequest) { r.Resources.MemoryBytes = 32 << 20 })
		result, err := b.RunCommand(ctx, remote.ID, shell("head -c 200m /dev/zero | tail -n 1 >/dev/null"))
		if err != nil {
			Expect(err).To(MatchError(backends.Ambiguous))
			Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).Should(HaveField("Reason", ContainSubstring("out of memory")))
			return
		}
		Expect(result.ExitCode).NotTo(BeZero())
		Expect(b.Get(ctx, remote.ID)).To(HaveField("State", backends.StateRunning), "only the command was killed")
	})

	It("that is evicted takes its command with it, whose end is not known then", func(ctx SpecContext) {
		b := connect(nil)
		remote := running(ctx, b, nil)
		ended := begin(ctx, b, remote.ID)
		eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: remote.Name, Namespace: namespace}}
		Expect(client.CoreV1().Pods(namespace).EvictV1(ctx, eviction)).To(Succeed())
		var err error
		Eventually(ended).Should(Receive(&err))
		Expect(err).To(MatchError(backends.Ambiguous))
		Expect(err).To(MatchError(ContainSubstring("while the command ran")))
		Eventually(func() error {
			_, err := b.Get(ctx, remote.ID)
			return err
		}).Should(MatchError(backends.NotFound))
	})

	It("goes on with a command whose stream was cut, and runs it once", func(ctx SpecContext) {
		cut, config := cuttable()
		direct := cluster
		cluster = config
		b := connect(nil)
		cluster = direct
		remote := running(ctx, b, nil)
		ended := make(chan error, 1)
		go func() {
			_, err := b.RunCommand(ctx, remote.ID, shell("echo begun >>/tmp/begun; sleep 2; echo done >>/tmp/done"))
			ended <- err
		}()
		Eventually(func() (bool, error) { return backends.Exists(ctx, connect(nil), remote.ID, "/tmp/begun") }).Should(BeTrue())
		cut()
		var err error
		Eventually(ended).Should(Receive(&err))
		Expect(err).To(MatchError(backends.Ambiguous))
		Expect(err).To(MatchError(ContainSubstring("connection to the sandbox was lost")))
		content := func(file string) string {
			data, _ := backends.ReadFile(ctx, connect(nil), remote.ID, file, 0)
			return string(data)
		}
		Eventually(content).WithArguments("/tmp/done").Should(Equal("done\n"))
		Expect(content("/tmp/begun")).To(Equal("begun\n"))
	})

	It("is reached at its endpoint, by another pod", func(ctx SpecContext) {
		b := connect(nil)
		port := backends.Port{Number: 8080, Protocol: backends.ProtocolHTTP}
		server := running(ctx, b, func(r *backends.CreateRequest) { r.Ports = []backends.Port{port} })
		_, err := b.RunCommand(ctx, server.ID, shell("echo pong >/workspace/index.html; httpd -p 8080 -h /workspace"))
		Expect(err).NotTo(HaveOccurred())
		endpointer, _ := b.(backends.Endpointer)
		endpoint, err := endpointer.Endpoint(ctx, server.ID, port)
		Expect(err).NotTo(HaveOccurred())
		result, err := b.RunCommand(ctx, running(ctx, b, nil).ID, backends.Command{Argv: []string{"wget", "-q", "-O", "-", endpoint.URL}})
		Expect(err).NotTo(HaveOccurred())
		Expect(string(result.Stdout)).To(Equal("pong\n"), "%s: %s", endpoint.URL, result.Stderr)
	})

	It("follows its lease within seconds of a change", func(ctx SpecContext) {
		b := connect(nil)
		setter, _ := b.(backends.LifetimeSetter)
		remote := running(ctx, b, func(r *backends.CreateRequest) { r.Lifetime = 24 * time.Hour })
		began := time.Now()
		Expect(setter.SetLifetime(ctx, remote.ID, 10*time.Second)).To(Succeed())
		Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).Should(And(
			HaveField("State", backends.StateStopped), HaveField("Reason", ContainSubstring("lease"))))
		AddReportEntry("a lease brought down from a day to 10 s ended after", time.Since(began).String())
	})

	It("is told of, and runs commands, fast", func(ctx SpecContext) {
		b := connect(nil)
		remote := running(ctx, b, nil)
		var took []time.Duration
		for range 50 {
			began := time.Now()
			result, err := b.RunCommand(ctx, remote.ID, backends.Command{Argv: []string{"true"}})
			Expect(err).NotTo(HaveOccurred())
			Expect(result.ExitCode).To(BeZero())
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		AddReportEntry("an exec of true", fmt.Sprintf("median %v, p90 %v, worst %v", took[25], took[45], took[49]))
		Expect(took[25]).To(BeNumerically("<", 120*time.Millisecond))
	})
})

// begin starts a command that goes on until its sandbox ends, and returns when it runs.
func begin(ctx SpecContext, b backends.Backend, id string) <-chan error {
	GinkgoHelper()
	ended := make(chan error, 1)
	go func() {
		_, err := b.RunCommand(ctx, id, backends.Command{Argv: []string{"sh", "-c", ": >/tmp/begun; sleep 300"}})
		ended <- err
	}()
	Eventually(func() (bool, error) { return backends.Exists(ctx, b, id, "/tmp/begun") }).Should(BeTrue())
	return ended
}

// cuttable is a way to the cluster that can be cut: a relay of connections on this machine.
func cuttable() (cut func(), config *rest.Config) {
	GinkgoHelper()
	target, err := url.Parse(cluster.Host)
	Expect(err).NotTo(HaveOccurred())
	transport, err := rest.TransportFor(cluster)
	Expect(err).NotTo(HaveOccurred())
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	var mutex sync.Mutex
	var open []net.Conn
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute, ConnState: func(conn net.Conn, state http.ConnState) {
		mutex.Lock()
		defer mutex.Unlock()
		if state == http.StateNew {
			open = append(open, conn)
		}
	}}
	go func() { _ = server.Serve(listener) }()
	DeferCleanup(server.Close)
	return func() {
		mutex.Lock()
		defer mutex.Unlock()
		for _, conn := range open {
			_ = conn.Close()
		}
	}, &rest.Config{Host: "http://" + listener.Addr().String()}
}

