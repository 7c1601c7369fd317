// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona_test

import (
	"context"
	"io"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A sandbox of Daytona", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) { room = bed.NewRoom(ctx) })

	// undisturbed has the manager compare no lists meanwhile: one that was on its way while a sandbox was made shows it as it was, and
	// then the manager asks once more.
	undisturbed := func() {
		GinkgoHelper()
		Expect(bed.StopManager()).To(Succeed())
		Expect(bed.StartManager("--provider-period=1h")).To(Succeed())
		DeferCleanup(func() {
			Expect(bed.StopManager()).To(Succeed())
			Expect(bed.StartManager()).To(Succeed())
		})
	}

	It("costs one call to be Ready, one for a short command, and a few to go", func(ctx context.Context) {
		undisturbed()
		room.Ready(ctx, sandbox(room, "first"))
		start := mark()
		box := room.Ready(ctx, sandbox(room, "box"))
		id := box.Status.SandboxID
		Expect(callsSince(start, id)).To(Equal([]string{"POST /api/sandbox"}))

		start = mark()
		run := room.Run(ctx, room.Exec("run", "box").Shell("echo out; echo err >&2; exit 3"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed), testbed.StateOf(run))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(3))
		Expect(run.Status.Stdout.Head).To(Equal("out\n"))
		Expect(run.Status.Stderr.Head).To(Equal("err\n"))
		Expect(callsSince(start, id)).To(Equal([]string{"POST /toolbox/ID/process/execute"}))

		start = mark()
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
		calls := callsSince(start, id)
		Expect(calls).To(ContainElement("DELETE /api/sandbox/ID"))
		Expect(calls).To(HaveEach(BeElementOf("DELETE /api/sandbox/ID", "GET /api/sandbox/ID")))
		Expect(len(calls)).To(BeNumerically("<=", 4), "it is asked for, and looked at until it is gone: %q", calls)
		Expect(fake.States()).NotTo(HaveKey(id))
	})

	It("that takes its time is made once, and looked at until it runs", func(ctx context.Context) {
		undisturbed()
		room.Ready(ctx, sandbox(room, "first"))
		start := mark()
		box := room.Ready(ctx, sandbox(room, "box").Image("debian:12").File("/home/daytona/file", "content"))
		calls := callsSince(start, box.Status.SandboxID)
		Expect(calls[0]).To(Equal("POST /api/sandbox"))
		looks := calls[1 : len(calls)-1]
		Expect(looks).To(HaveEach("GET /api/sandbox/ID"))
		Expect(len(looks)).To(BeNumerically("<=", 6), "a build of a second needs no more looks")
		Expect(calls[len(calls)-1]).To(Equal("POST /toolbox/ID/process/execute"), "the file")
		Expect(room.Output(ctx, "file", "box", "cat /home/daytona/file")).To(Equal("content"))
	})

	It("is stopped where it shall be paused, and goes on with its files", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box"))
		room.Output(ctx, "write", "box", "echo kept >/tmp/file")
		patch := func(state string) {
			merge := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"`+state+`"}}`))
			Expect(bed.Client.Patch(ctx, box, merge)).To(Succeed())
		}
		patch("Paused")
		bed.Eventually(ctx, box, "Paused", func() bool { return box.Status.State == v1alpha1.SandboxPaused })
		Expect(fake.States()).To(HaveKeyWithValue(box.Status.SandboxID, "stopped"))
		patch("Running")
		bed.Eventually(ctx, box, "Running", func() bool { return box.Status.State == v1alpha1.SandboxRunning })
		Expect(room.Output(ctx, "read", "box", "cat /tmp/file")).To(Equal("kept\n"))
	})

	It("has ports behind a token that is in a Secret", func(ctx context.Context) {
		box := room.Ready(ctx, sandbox(room, "box").Port("web", 8080, v1alpha1.PortHTTP))
		room.Output(ctx, "serve", "box",
			"echo page >/tmp/page && python3 -m http.server 8080 --bind 127.0.0.1 --directory /tmp >/dev/null 2>&1 &")
		endpoint := box.Status.Endpoints[0]
		secret := &corev1.Secret{}
		Expect(bed.Client.Get(ctx, client.ObjectKey{Namespace: room.Namespace, Name: endpoint.SecretRef.Name}, secret)).To(Succeed())
		token := string(secret.Data["web.X-Daytona-Preview-Token"])
		get := func(token string) (int, string) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.URL+"/page", http.NoBody)
			Expect(err).NotTo(HaveOccurred())
			request.Header.Set("X-Daytona-Preview-Token", token)
			response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
			Expect(err).NotTo(HaveOccurred())
			defer func() { _ = response.Body.Close() }()
			body, _ := io.ReadAll(response.Body)
			return response.StatusCode, string(body)
		}
		Eventually(func() string {
			_, body := get(token)
			return body
		}).WithTimeout(testbed.Patience).Should(Equal("page\n"))
		status, _ := get("wrong")
		Expect(status).To(Equal(http.StatusTemporaryRedirect))
	})

	It("that nobody can start is refused before anything is made", func(ctx context.Context) {
		from := func(snapshot string) func(*v1alpha1.SandboxSpec) {
			return func(s *v1alpha1.SandboxSpec) { s.Source = &v1alpha1.SandboxSource{Snapshot: snapshot} }
		}
		for name, builder := range map[string]struct {
			says string
			make func(*v1alpha1.SandboxSpec)
		}{
			"snapshot": {"not found", from("no-such")},
			"inactive": {"inactive", from(daytona.InactiveSnapshot)},
			"resources": {"belong to the snapshot", func(s *v1alpha1.SandboxSpec) {
				s.Resources = sandbox(room, "x").CPU("2").Obj().Spec.Resources
			}},
			"tcp": {"HTTP only", func(s *v1alpha1.SandboxSpec) {
				s.Ports = []v1alpha1.SandboxPort{{Name: "db", Port: 5432, Protocol: v1alpha1.PortTCP}}
			}},
		} {
			box := sandbox(room, name).With(builder.make).Obj()
			room.Create(ctx, box)
			bed.Eventually(ctx, box, "Stalled", func() bool { return conditionOf(box, v1alpha1.ConditionStalled) != nil })
			Expect(conditionOf(box, v1alpha1.ConditionStalled).Message).To(ContainSubstring(builder.says))
			Expect(box.Status.SandboxID).To(BeEmpty())
		}
	})
})
