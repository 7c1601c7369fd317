// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

var _ = Describe("The value of a Secret", func() {
	It("is nowhere but in its Secret and in the sandbox", func(ctx context.Context) {
		const value = "xyzzy-9f8e7d6c-plugh"
		room := bed.NewRoom(ctx)
		room.Secret(ctx, "keys", map[string]string{"token": value, "code": "import os; print('" + value + "')\n# " + value,
			"TOKEN_ALL": value})
		room.Create(ctx, builders.MakeProvider(room.Namespace, "own", "local").Obj(),
			builders.MakeProvider(room.Namespace, "refused", "local").Credentials("keys").Obj())
		before := bed.Proxy.Now()

		By("using it in every place where a Secret can be used")
		token := builders.SecretKey("keys", "token")
		box := room.Ready(ctx, builders.MakeSandbox(room.Namespace, "box").NamespacedProvider("own").
			EnvFrom("TOKEN", token).EnvFromAll(builders.AllOfSecret("keys", "ALL_")).FileFrom("/workspace/token", 0o600, token))
		runs := []*v1alpha1.SandboxExec{
			room.Exec("env", "box").EnvFrom("MINE", token).Shell(`echo "$TOKEN $MINE $ALL_token"; env >&2; exit 3`).Obj(),
			room.Exec("file", "box").Shell("cat /workspace/token; cat /workspace/token >&2").Obj(),
			room.Exec("stdin", "box").Stdin(builders.From(token)).Shell("cat; exit 1").Obj(),
			room.Exec("code", "box").CodeFrom(v1alpha1.LanguagePython, builders.SecretKey("keys", "code")).Obj(),
			room.Exec("broken", "box").CodeFrom(v1alpha1.LanguageShell, token).Obj(),
			room.Exec("cut", "box").EnvFrom("MINE", token).Shell(`printf 'x%.0s' $(seq 40); printf "$MINE"; printf 'x%.0s' $(seq 40)`).
				KeepStdout(50, 10).Obj(),
			room.Exec("missing", "box").EnvFrom("MINE", token).WorkingDir("/no/such").Shell("true").Obj(),
			room.Exec("nameless", "box").EnvFrom("MINE", token).Command("no-such-program").Obj(),
		}
		long := room.Exec("long", "box").EnvFrom("MINE", token).Stdin(builders.From(token)).
			Shell(`while read -r line; do echo "$line"; done; echo "$MINE"; sleep 2`).Obj()
		room.Create(ctx, long)
		for _, run := range runs {
			room.Create(ctx, run)
		}
		room.EventuallySeenRunning(ctx, long)
		expectNotInArguments(value)
		for _, run := range append(runs, long) {
			room.EventuallyFinished(ctx, run)
		}
		Expect(runs[1].Status.Stdout.Head).To(Equal("[redacted]"), "the command should have had it")
		Expect(long.Status.Stdout.Head).To(ContainSubstring("[redacted]"))

		By("looking for it everywhere")
		expectClean := func(what string, text []byte) {
			GinkgoHelper()
			for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value)), value[:len(value)-6], value[6:]} {
				i := bytes.Index(text, []byte(form))
				Expect(i).To(BeNumerically("<", 0), "%s has it: %s", what, text[max(0, i-200):min(len(text), max(0, i)+200)])
			}
		}
		for _, list := range []client.ObjectList{
			&v1alpha1.SandboxList{}, &v1alpha1.SandboxExecList{}, &v1alpha1.SandboxProviderList{}, &v1alpha1.ClusterSandboxProviderList{},
			&corev1.EventList{}, &eventsv1.EventList{}, &corev1.ConfigMapList{}, &corev1.NamespaceList{},
		} {
			Expect(bed.Client.List(ctx, list)).To(Succeed())
			text, err := json.Marshal(list)
			Expect(err).NotTo(HaveOccurred())
			expectClean("what the API server has", text)
		}
		for _, request := range bed.Proxy.Since(before) {
			expectClean("a request of the manager", request.Body)
			expectClean("a path", []byte(request.Path))
		}
		log := bed.Log()
		expectClean("the manager's log", log)
		Expect(log).To(ContainSubstring("Level(-5)"), "the log should be as verbose as can be")
		Expect(string(log)).NotTo(ContainSubstring("Response Body"), "whole answers of the API server should not be logged")
		expectClean("what the provider was told", recordOf(box.Status.SandboxID))
		expectNotInArguments(value)
	})
})

// recordOf is what the backend local keeps of a remote on this machine, outside of the sandbox.
func recordOf(id string) []byte {
	GinkgoHelper()
	var all []byte
	for _, name := range []string{"sandbox.json", "config.json"} {
		content, err := os.ReadFile(filepath.Join(bed.RemoteDir(id), name))
		Expect(err).NotTo(HaveOccurred())
		all = append(all, content...)
	}
	return all
}

// expectNotInArguments looks at the arguments of every process of this machine.
func expectNotInArguments(value string) {
	GinkgoHelper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	Expect(err).NotTo(HaveOccurred())
	for _, file := range files {
		content, _ := os.ReadFile(file) // many have ended by now
		Expect(strings.Contains(string(content), value)).To(BeFalse(), "the arguments of a process have it: %.2000q", content)
	}
}
