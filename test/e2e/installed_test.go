// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

// walkThrough is what the first minutes of a user are like. IMAGE is any image with a shell.
const walkThrough = `
apiVersion: sandboxes.run/v1alpha1
kind: Sandbox
metadata: {name: demo}
spec:
  env:
  - {name: GREETING, value: hello}
  files:
  - path: /tmp/notes.txt
    content: from the manifest
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata: {name: greet}
spec:
  sandboxRef: {name: demo}
  command: [sh, -c, 'echo "$GREETING, $(cat /tmp/notes.txt)"; echo to the other stream >&2']
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata: {name: fails}
spec:
  sandboxRef: {name: demo}
  command: [sh, -c, exit 3]
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata: {name: alone}
spec:
  sandbox: {}
  command: [sh, -c, hostname; id -u]
`

func installed() {
	It("has every replica ready, and one that leads", Label(ci), func(ctx SpecContext) {
		Eventually(func() string { return at.leader(ctx) }).WithContext(ctx).ShouldNot(BeEmpty())
		managers := at.managers(ctx)
		Expect(managers).To(HaveLen(2))
		var names []string
		for _, pod := range managers {
			names = append(names, pod.Name)
			Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero(), "restarts of "+pod.Name)
		}
		Expect(names).To(ContainElement(at.leader(ctx)))
	}, NodeTimeout(time.Minute))

	It("runs a user's first manifest", Label(ci), func(ctx SpecContext) {
		r := newRoom(ctx)
		r.apply(ctx, r.name, walkThrough)
		at.ctl(ctx, "wait", "-n", r.name, "--for=condition=Ready", "sandboxes.sandboxes.run/demo", "--timeout=90s")
		at.ctl(ctx, "wait", "-n", r.name, "--for=condition=Finished", "sandboxexec/greet", "sandboxexec/fails", "sandboxexec/alone",
			"--timeout=90s")
		field := func(object, path string) string {
			return at.ctl(ctx, "get", "-n", r.name, object, "-o", "jsonpath={"+path+"}")
		}
		Expect(field("sbxe/greet", ".status.stdout.head")).To(Equal("hello, from the manifest\n"))
		Expect(field("sbxe/greet", ".status.stderr.head")).To(Equal("to the other stream\n"))
		Expect(field("sbxe/greet", ".status.outcome")).To(Equal("Succeeded"))
		Expect(field("sbxe/fails", ".status.exitCode")).To(Equal("3"))
		Expect(field("sbxe/alone", ".status.stdout.head")).To(HaveSuffix("\n1000\n"), "the user of a sandbox that names none")
		Eventually(func() int { return len(r.pods(ctx)) }).WithContext(ctx).Should(Equal(1), "a one-shot's pod goes with its end")

		By("deleting what the manifest made")
		at.ctl(ctx, "delete", "-n", r.name, "sbxe,sandboxes.sandboxes.run", "--all", "--timeout=60s")
		Eventually(func() []corev1.Pod { return r.pods(ctx) }).WithContext(ctx).Should(BeEmpty())
	}, NodeTimeout(3*time.Minute))

	It("takes the same manifest again without a change", func(ctx SpecContext) {
		r := newRoom(ctx)
		r.apply(ctx, r.name, walkThrough)
		at.ctl(ctx, "wait", "-n", r.name, "--for=condition=Finished", "sandboxexec/greet", "--timeout=90s")
		const generations = "jsonpath={.items[*].metadata.generation}"
		before := at.ctl(ctx, "get", "-n", r.name, "sbx/demo", "sbxe/greet", "sbxe/alone", "-o", generations)
		r.apply(ctx, r.name, walkThrough)
		Expect(at.ctl(ctx, "get", "-n", r.name, "sbx/demo", "sbxe/greet", "sbxe/alone", "-o", generations)).To(Equal(before))
	}, NodeTimeout(2*time.Minute))

	It("says which image is missing", func(ctx SpecContext) {
		r := newRoom(ctx)
		r.apply(ctx, r.name, `
apiVersion: sandboxes.run/v1alpha1
kind: Sandbox
metadata: {name: demo}
spec:
  source: {image: "images.test/nothing:1"}
`)
		Eventually(func() string {
			return at.ctl(ctx, "get", "-n", r.name, "sandboxes.sandboxes.run/demo", "-o",
				`jsonpath={.status.conditions[?(@.type=="Ready")].message}`)
		}).WithContext(ctx).Should(ContainSubstring("image"))
	}, NodeTimeout(2*time.Minute))

	It("serves metrics to who may read them, and to nobody else", func(ctx SpecContext) {
		r := newRoom(ctx)
		r.ready(ctx, "box")
		leader := at.leader(ctx)
		// kubectl proxy and port-forward both end in the pod: the API server itself may not read the metrics.
		at.ctl(ctx, "create", "clusterrolebinding", r.name, "--clusterrole=sandbox-operator-metrics-reader",
			"--serviceaccount="+r.name+":default")
		DeferCleanup(func(ctx SpecContext) { at.ctl(ctx, "delete", "clusterrolebinding", r.name) })
		token := strings.TrimSpace(at.ctl(ctx, "create", "token", "default", "-n", r.name))
		Expect(at.metrics(ctx, leader, "")).To(HavePrefix("401"))
		Expect(at.metrics(ctx, leader, token)).To(ContainSubstring("sandbox_operator_provider_requests_total"))
	}, NodeTimeout(2*time.Minute))
}

// metrics asks a manager for its metrics through a forwarded port, and returns the status line and the body.
func (c *cluster) metrics(ctx context.Context, pod, token string) string {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(ctx)
	forward := exec.CommandContext(ctx, c.kubectl, "port-forward", "-n", system, "pod/"+pod, ":8443")
	forward.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	stdout, err := forward.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(forward.Start()).To(Succeed())
	defer func() {
		cancel()
		_ = forward.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	Expect(err).NotTo(HaveOccurred(), "forwarding a port")
	_, rest, _ := strings.Cut(line, "Forwarding from ")
	address, _, _ := strings.Cut(rest, " ")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics", http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The manager's certificate is its own.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	Expect(err).NotTo(HaveOccurred())
	return answer.Status + "\n" + string(body)
}
