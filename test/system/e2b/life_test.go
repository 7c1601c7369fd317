// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2b_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	fake "github.com/sandbox-operator/sandbox-operator/test/fakes/e2b"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A sandbox of E2B", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		room.Create(ctx, provider(ctx, room, "e2b", cloud, fake.Key).Default().Obj())
	})

	// about counts the requests about a sandbox, but for those that only look.
	about := func(id string) (control, sandbox []string) {
		for _, r := range cloud.Requests() {
			switch {
			case r.Sandbox == id:
				sandbox = append(sandbox, r.Path)
			case strings.Contains(r.Path, id) && r.Method != http.MethodGet:
				control = append(control, r.Method+" "+r.Path)
			}
		}
		return control, sandbox
	}

	It("takes one request to be Ready, and one and its input for a short command", func(ctx context.Context) {
		created := func() (count int) {
			for _, r := range cloud.Requests() {
				if r.Method == http.MethodPost && r.Path == "/sandboxes" {
					count++
				}
			}
			return count
		}
		before := created()
		box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box"))
		Expect(created() - before).To(Equal(1))
		control, inside := about(box.Status.SandboxID)
		Expect(control).To(BeEmpty(), "the answer to the creation is enough")
		Expect(inside).To(BeEmpty())

		Expect(room.Output(ctx, "first", "box", "echo it works")).To(Equal("it works\n"))
		_, inside = about(box.Status.SandboxID)
		Expect(inside).To(ConsistOf("/process.Process/Start", "/process.Process/StreamInput"))
		room.Delete(ctx, box)
		room.EventuallyGone(ctx, box)
		control, _ = about(box.Status.SandboxID)
		Expect(control).To(ContainElement("DELETE /sandboxes/" + box.Status.SandboxID))
		Expect(cloud.Sandboxes()).NotTo(HaveKey(box.Status.SandboxID))
	})

	It("is paused and resumed with its files, which no lease disturbs", func(ctx context.Context) {
		box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").File("/workspace/file", "kept"))
		Expect(bed.Client.Patch(ctx, box, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"Paused"}}`)))).
			To(Succeed())
		room.Eventually(ctx, box, "Paused", func() bool { return box.Status.State == v1alpha1.SandboxPaused })
		Expect(bed.Client.Patch(ctx, box, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"Running"}}`)))).
			To(Succeed())
		room.Eventually(ctx, box, "Running", func() bool { return box.Status.State == v1alpha1.SandboxRunning })
		Expect(room.Output(ctx, "cat", "box", "cat /workspace/file")).To(Equal("kept"))
	})

	It("runs code in E2B's interpreter, with what it displays", func(ctx context.Context) {
		room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").Template(fake.TemplateCode))
		run := room.Run(ctx, room.Exec("code", "box").Code(v1alpha1.LanguagePython, "print(6 * 7)\n'shown'").Native())
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded))
		Expect(run.Status.Stdout.Head).To(Equal("42\n"))
	})

	It("has private ports whose token is in a Secret", func(ctx context.Context) {
		box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").Port("web", 31948, v1alpha1.PortHTTP).
			Parameters(`{"publicTraffic":false}`))
		Expect(box.Status.Endpoints).To(HaveLen(1))
		endpoint := box.Status.Endpoints[0]
		Expect(endpoint.URL).To(Equal(cloud.URL()))
		Expect(endpoint.SecretRef).NotTo(BeNil())
		headers := room.SecretObject(endpoint.SecretRef.Name)
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(headers), headers)).To(Succeed())
		Expect(headers.Data).To(HaveKey("web.E2b-Traffic-Access-Token"))
		fetch := func(with map[string][]byte) int {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.URL, http.NoBody)
			Expect(err).NotTo(HaveOccurred())
			for name, value := range with {
				request.Header.Set(strings.TrimPrefix(name, "web."), string(value))
			}
			response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
			Expect(err).NotTo(HaveOccurred())
			defer func() { _ = response.Body.Close() }()
			return response.StatusCode
		}
		Expect(fetch(headers.Data)).To(Equal(http.StatusBadGateway), "nothing listens there, and that may be known")
		delete(headers.Data, "web.E2b-Traffic-Access-Token")
		Expect(fetch(headers.Data)).To(Equal(http.StatusForbidden))
	})

	It("keeps the values of Secrets out of everything that anybody writes down", func(ctx context.Context) {
		const value = "xyzzy-9f8e7d6c-plugh"
		room.Secret(ctx, "keys", map[string]string{"token": value})
		token := builders.SecretKey("keys", "token")
		before := bed.Proxy.Now()
		room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").EnvFrom("TOKEN", token).
			FileFrom("/workspace/token", 0o600, token))
		run := room.Exec("run", "box").EnvFrom("MINE", token).Stdin(builders.From(token)).
			Shell(`echo "$TOKEN $MINE"; cat; cat /workspace/token; env >&2; exit 3`).Obj()
		room.Create(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(3))
		Expect(run.Status.Stdout.Head).To(Equal("[redacted] [redacted]\n[redacted][redacted]"), "the command should have had it")

		clean := func(what string, text []byte) {
			GinkgoHelper()
			for _, secret := range []string{value, fake.Key} {
				Expect(bytes.Contains(text, []byte(secret))).To(BeFalse(), "%s has it", what)
				Expect(bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString([]byte(secret))))).To(BeFalse(), "%s has it", what)
			}
		}
		clean("the logs of sandboxes at E2B", []byte(cloud.Logged()))
		for _, r := range cloud.Requests() {
			clean("a request to E2B", []byte(r.Path+"?"+r.Query+"\n"+r.Body))
		}
		for _, list := range []client.ObjectList{
			&v1alpha1.SandboxList{}, &v1alpha1.SandboxExecList{}, &v1alpha1.SandboxProviderList{}, &corev1.EventList{},
			&eventsv1.EventList{}, &corev1.ConfigMapList{},
		} {
			Expect(bed.Client.List(ctx, list)).To(Succeed())
			text, err := json.Marshal(list)
			Expect(err).NotTo(HaveOccurred())
			clean("what the API server has", text)
		}
		for _, r := range bed.Proxy.Since(before) {
			// The operator's copy of the credentials is a Secret, too.
			if !strings.Contains(r.Path, "/secrets") {
				clean("a request of the manager to "+r.Path, r.Body)
			}
		}
		clean("the manager's log", bed.Log())
	})
})
