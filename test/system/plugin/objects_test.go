// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A sandbox on the command line", func() {
	var here *place

	BeforeEach(func(ctx context.Context) { here = newPlace(ctx) })

	It("is created, looked at, paused, resumed and deleted", func(ctx context.Context) {
		Expect(here.succeeds(ctx, "create", "box", "--provider", "local", "--memory", "256Mi", "--wait")).To(Equal("sandbox/box created\n"))
		Expect(here.succeeds(ctx, "get")).To(MatchRegexp(`(?m)^NAME +PROVIDER +STATE.*\nbox +local +Running +True`))
		Expect(here.succeeds(ctx, "get", "box", "-o", "wide")).To(ContainSubstring("MESSAGE"))
		Expect(here.succeeds(ctx, "get", "-o", "name")).To(Equal("sandbox.sandboxes.run/box\n"))
		Expect(here.succeeds(ctx, "get", "-A")).To(MatchRegexp(`NAMESPACE +NAME`))
		var sandbox v1alpha1.Sandbox
		Expect(json.Unmarshal([]byte(here.succeeds(ctx, "get", "box", "-o", "json")), &sandbox)).To(Succeed())
		Expect(sandbox.Spec.Resources.Memory.String()).To(Equal("256Mi"))

		Expect(here.succeeds(ctx, "pause", "box", "--wait")).To(Equal("sandbox/box will be paused\n"))
		Expect(here.succeeds(ctx, "get", "box")).To(MatchRegexp(`box +local +Paused`))
		here.succeeds(ctx, "resume", "box", "--wait")
		Expect(here.succeeds(ctx, "exec", "box", "--", "echo", "awake")).To(Equal("awake\n"))

		Expect(here.succeeds(ctx, "delete", "box")).To(Equal("sandbox/box deleted\n"))
		Expect(bed.Remotes(ctx, here.Namespace)).To(BeEmpty(), "delete waits until the provider has nothing of it any more")
	})

	It("is written as a manifest, and created from one", func(ctx context.Context) {
		manifest := here.succeeds(ctx, "create", "box", "--provider", "local", "--port", "web=8080", "--idle-timeout", "1h",
			"--pause-when-idle", "--serial", "-e", "A=b", "--network", "deny", "--dry-run")
		var sandbox v1alpha1.Sandbox
		Expect(yaml.UnmarshalStrict([]byte(manifest), &sandbox)).To(Succeed())
		Expect(sandbox.Spec.Lifetime).To(HaveValue(Equal(v1alpha1.SandboxLifetime{IdleTimeoutSeconds: 3600, OnIdle: v1alpha1.OnIdlePause})))
		Expect(here.succeeds(ctx, "get", "-o", "name")).To(BeEmpty())
		here.write("box.yaml", manifest)
		here.succeeds(ctx, "create", "-f", "box.yaml")
		created := &v1alpha1.Sandbox{}
		Expect(bed.Client.Get(ctx, client.ObjectKey{Namespace: here.Namespace, Name: "box"}, created)).To(Succeed())
		Expect(created.Spec).To(Equal(sandbox.Spec))
	})

	It("has a URL for each of its ports", func(ctx context.Context) {
		here.succeeds(ctx, "create", "box", "--provider", "local", "--port", "web=8080", "--port", "9090")
		url := here.succeeds(ctx, "url", "box", "web", "--wait")
		here.succeeds(ctx, "exec", "box", "--", "sh", "-c", "echo hello > index.html; python3 -m http.server 8080 >/dev/null 2>&1 &")
		Eventually(func(g Gomega) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, url[:len(url)-1]+"/index.html", http.NoBody)
			g.Expect(err).NotTo(HaveOccurred())
			response, err := http.DefaultClient.Do(request)
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { _ = response.Body.Close() }()
			g.Expect(response).To(HaveHTTPBody("hello\n"))
		}).WithTimeout(testbed.Patience).Should(Succeed())
		Expect(here.succeeds(ctx, "url", "box")).To(MatchRegexp(`(?m)^web +http://.*\nport-9090 +http://`))
		Expect(here.succeeds(ctx, "url", "box", "8080")).To(Equal(url))
		Expect(here.sandbox(ctx, "url", "box", "1").Err).To(Equal("error: sandbox box has no port 1; kubectl sandbox url box lists them\n"))
	})

	It("is completed by its name", func(ctx context.Context) {
		here.succeeds(ctx, "create", "box", "--provider", "local", "--wait")
		Expect(here.sandbox(ctx, "__complete", "exec", "").Out).To(HavePrefix("box\tRunning\n:4\n"))
		Expect(here.sandbox(ctx, "__complete", "run", "--provider", "").Out).To(ContainSubstring("local\tlocal\n"))
	})

	It("is listed whole where the API server gives only a part at once", func(ctx context.Context) {
		const many = cli.PageSize + 1
		group, grouped := errgroup.WithContext(ctx)
		group.SetLimit(20)
		for i := range many {
			group.Go(func() error {
				sandbox := builders.MakeSandbox(here.Namespace, fmt.Sprintf("box-%d", i)).Obj()
				sandbox.Labels = map[string]string{v1alpha1.ShardLabel: "nobody"} // so that nothing is made
				return bed.Client.Create(grouped, sandbox)
			})
		}
		Expect(group.Wait()).To(Succeed())
		for _, arguments := range [][]string{{"get", "--no-headers"}, {"get", "-o", "name"}} {
			Expect(strings.Count(here.succeeds(ctx, arguments...), "\n")).To(Equal(many))
		}
		completed := here.sandbox(ctx, "__complete", "exec", "").Out
		Expect(strings.Count(completed, "\n")).To(Equal(many+1), "with the directive at the end")
	})
})
