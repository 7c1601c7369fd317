// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

var _ = Describe("The value of a Secret", func() {
	It("reaches the sandbox, and nothing else", func(ctx context.Context) {
		const value = "xyzzy-9f8e7d6c-plugh"
		room := bed.NewRoom(ctx)
		room.Secret(ctx, "keys", map[string]string{"token": value})
		token := builders.SecretKey("keys", "token")
		start, written := mark(), bed.Proxy.Now()
		room.Ready(ctx, sandbox(room, "box").EnvFrom("TOKEN", token).FileFrom("/tmp/token", 0o600, token))
		// The first word is what the sandbox has, the second how often a command line there has it.
		run := room.Run(ctx, room.Exec("run", "box").EnvFrom("MINE", token).Stdin(builders.From(token)).
			Shell(`printf '%s' "${#TOKEN} ${#MINE} $(wc -c </tmp/token) $(wc -c)"
				cat /proc/[0-9]*/cmdline | tr '\0' '\n' | grep -c "^$MINE" >&2`))
		size := len(value)
		Expect(run.Status.Stdout.Head).To(Equal(fmt.Sprintf("%d %d %d %d", size, size, size, size)))
		Expect(run.Status.Stderr.Head).To(BeElementOf("0\n", "1\n"), "grep itself may be seen; nothing else")

		expectClean := func(what string, text []byte) {
			GinkgoHelper()
			for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
				Expect(bytes.Contains(text, []byte(form))).To(BeFalse(), "%s has it: %.1000s", what, text)
			}
		}
		inBodies := 0
		for _, call := range fake.Calls()[start:] {
			expectClean("a URL", []byte(call.Path+"?"+call.Query))
			header, err := json.Marshal(call.Header)
			Expect(err).NotTo(HaveOccurred())
			expectClean("a header", header)
			if strings.HasPrefix(call.Path, "/api/") {
				expectClean("what the control API is told", call.Body)
			} else if bytes.Contains(call.Body, []byte(base64.StdEncoding.EncodeToString([]byte(value)))) {
				inBodies++
			}
		}
		Expect(inBodies).To(BeNumerically(">", 0), "the file, at least, should be found by this test")
		for _, list := range []client.ObjectList{
			&v1alpha1.SandboxList{}, &v1alpha1.SandboxExecList{}, &v1alpha1.ClusterSandboxProviderList{}, &corev1.EventList{},
			&eventsv1.EventList{},
		} {
			Expect(bed.Client.List(ctx, list)).To(Succeed())
			text, err := json.Marshal(list)
			Expect(err).NotTo(HaveOccurred())
			expectClean("what the API server has", text)
			Expect(string(text)).NotTo(ContainSubstring(daytona.FakeKey))
		}
		for _, request := range bed.Proxy.Since(written) {
			expectClean("a request of the manager", request.Body)
		}
		expectClean("the manager's log", bed.Log())
		Expect(string(bed.Log())).NotTo(ContainSubstring(daytona.FakeKey))
	})
})
