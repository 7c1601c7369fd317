// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"context"
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("What is wrong", func() {
	var here *place

	BeforeEach(func(ctx context.Context) { here = newPlace(ctx) })

	// fails expects one line and the exit code 125.
	fails := func(done ran, line string) {
		GinkgoHelper()
		Expect(done.Code).To(Equal(125), done.Err)
		Expect(done.Out).To(BeEmpty())
		Expect(done.Err).To(Equal("error: " + line + "\n"))
	}

	It("is said in one line, with what to type next", func(ctx context.Context) {
		run := func(flags ...string) ran {
			return here.sandbox(ctx, append(append([]string{"run"}, flags...), "--", "true")...)
		}
		fails(run("--context", "nowhere"), `context "nowhere" does not exist; kubectl config get-contexts lists those that do`)
		fails(run("--kubeconfig", "nowhere"), `there is no kubeconfig nowhere; set KUBECONFIG, or name another with --kubeconfig`)
		fails(run("-n", "nowhere"), `namespace "nowhere" does not exist; kubectl create namespace nowhere makes it, -n chooses another`)
		fails(run("--as", "nobody", "--provider", "csbxp/local"), `sandboxexecs.sandboxes.run is forbidden: `+
			`User "nobody" cannot create resource "sandboxexecs" in API group "sandboxes.run" in the namespace "`+here.Namespace+
			`"; ask for the ClusterRole edit in this namespace, or for sandbox-operator-sandboxexec-editor-role`)
		fails(run("--provider", "none"), `ClusterSandboxProvider "none" does not exist; kubectl get csbxp,sbxp lists those that do`)
		fails(run("--in", "none"), `Sandbox "none" does not exist in this namespace; `+
			`kubectl sandbox get lists those that do; -n chooses another namespace`)
		fails(here.sandbox(ctx, "run", "echo", "hi"),
			"the command is not marked as one; write -- before it: kubectl sandbox run -- echo hi")
		fails(run("--timeout", "soon"), `invalid argument "soon" for "--timeout" flag: time: invalid duration "soon"; `+
			"kubectl sandbox run --help lists the flags")
		fails(here.sandbox(ctx, "resum"), `there is no command "resum"; kubectl sandbox --help lists the commands (did you mean resume?)`)
	})

	It("is that no provider is the default, or more than one", func(ctx context.Context) {
		fails(here.sandbox(ctx, "run", "-q", "--", "true"), "no provider is named, and none is the default; "+
			"name one with --provider, or make one the default: kubectl annotate csbxp NAME sandboxes.run/is-default-provider=true")
		for _, name := range []string{"one", "two"} {
			provider := builders.MakeProvider(here.Namespace, name, "local").Obj()
			provider.Annotations = map[string]string{v1alpha1.DefaultProviderAnnotation: "true"}
			here.Create(ctx, provider)
		}
		fails(here.sandbox(ctx, "run", "-q", "--", "true"), "no provider is named, and more than one says that it is the default; "+
			"name one with --provider, or leave one: kubectl annotate csbxp NAME sandboxes.run/is-default-provider-")
		here.sandbox(ctx, "create", "box")
		fails(here.sandbox(ctx, "resume", "box", "--wait"), "no provider is named, and more than one says that it is the default; "+
			"name one with --provider, or leave one: kubectl annotate csbxp NAME sandboxes.run/is-default-provider-")
		var left v1alpha1.SandboxExecList
		Eventually(func(g Gomega) {
			g.Expect(bed.Client.List(ctx, &left, client.InNamespace(here.Namespace))).To(Succeed())
			g.Expect(left.Items).To(BeEmpty(), "what can't run is not left behind")
		}).WithTimeout(testbed.Patience).Should(Succeed())
	})

	It("is that no operator runs", func(ctx context.Context) {
		Expect(bed.Running().Freeze()).To(Succeed())
		DeferCleanup(bed.Running().Thaw)
		done := here.sandbox(ctx, "run", "--operator-timeout", "6s", "--", "true")
		Expect(done.Code).To(Equal(125))
		const command = "kubectl get pods -A -l app.kubernetes.io/name=sandbox-operator shows whether one runs"
		lines := strings.Split(strings.TrimSpace(done.Err), "\n")
		Expect(lines).To(HaveExactElements(
			"kubectl sandbox: no operator has seen the run yet; "+command, "error: no operator has seen the run within 6s; "+command))
		var left v1alpha1.SandboxExecList
		Expect(bed.Client.List(ctx, &left, client.InNamespace(here.Namespace))).To(Succeed())
		Expect(left.Items).To(BeEmpty(), "it would run when nobody waits for it any more")
	})

	It("is that the operator is not installed, or nobody answers", func(ctx context.Context) {
		plane, err := controlplane.Start(ctx, controlplane.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(plane.Stop)
		const missing = "sandbox-operator is not installed in this cluster: it has no kinds of sandboxes.run; " +
			"install it (docs/install.md), or choose another cluster with --context"
		for _, arguments := range [][]string{
			{"run", "--", "true"}, {"get"}, {"get", "box"}, {"exec", "box", "--", "true"}, {"pause", "box"},
		} {
			fails(here.sandbox(ctx, append([]string{"--kubeconfig", plane.Kubeconfig, "-n", "default"}, arguments...)...), missing)
		}

		listener, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		address := listener.Addr().String()
		Expect(listener.Close()).To(Succeed())
		done := here.sandbox(ctx, "run", "--server", "https://"+address, "--", "true")
		fails(done, "the API server at "+address+" can't be reached: dial tcp "+address+": connect: connection refused; "+
			"see whether the cluster is up, and kubectl config current-context for which one it is")
		Expect(done.Took).To(BeNumerically("<", 10*time.Second))
	})

	It("is never said in colours or at length to a program", func(ctx context.Context) {
		here.write("bad.yaml", "apiVersion: sandboxes.run/v1alpha1\nkind: Sandbox\nspec: {imagine: x}\n")
		done := here.sandbox(ctx, "create", "-f", "bad.yaml")
		Expect(done.Code).To(Equal(125))
		Expect(done.Err).To(And(HavePrefix("error: bad.yaml is no manifest of one Sandbox: "), ContainSubstring(`unknown field "imagine"`)))
		Expect(strings.Count(done.Err, "\n")).To(Equal(1))
		Expect(done.Err).NotTo(ContainSubstring("\x1b"))
	})
})
