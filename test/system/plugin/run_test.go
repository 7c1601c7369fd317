// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package plugin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("kubectl sandbox run", func() {
	var here *place

	BeforeEach(func(ctx context.Context) { here = newPlace(ctx) })

	// nothingIsLeft waits until neither objects nor remotes are in the namespace.
	nothingIsLeft := func(ctx context.Context) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			for _, list := range []client.ObjectList{&v1alpha1.SandboxExecList{}, &v1alpha1.SandboxList{}} {
				g.Expect(bed.Client.List(ctx, list, client.InNamespace(here.Namespace))).To(Succeed())
				g.Expect(list).To(HaveField("Items", BeEmpty()))
			}
			var configMaps corev1.ConfigMapList
			g.Expect(bed.Client.List(ctx, &configMaps, client.InNamespace(here.Namespace))).To(Succeed())
			for i := range configMaps.Items {
				g.Expect(configMaps.Items[i].Name).To(Equal("kube-root-ca.crt"))
			}
		}).WithTimeout(testbed.Patience).Should(Succeed())
		here.EventuallyRemotes(ctx, here.Namespace, 0)
	}

	It("prints what the command prints, ends with its exit code, and leaves nothing", func(ctx context.Context) {
		done := here.sandbox(ctx, "run", "--provider", "local", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
		Expect(done).To(And(HaveField("Out", "out\n"), HaveField("Err", "err\n"), HaveField("Code", 3)))
		nothingIsLeft(ctx)
	})

	It("puts files in, runs code, and fetches files", func(ctx context.Context) {
		here.write("sum.py", "import sys\n"+
			"n = sum(int(l) for l in open('numbers.txt'))\nopen(sys.argv[1], 'w').write(str(n))\nprint('done')\n")
		here.write("numbers.txt", "1\n2\n39\n")
		done := here.sandbox(ctx, "run", "--provider", "local", "--code", "sum.py", "-f", "numbers.txt", "-o", "out/sum.txt:result", "-o",
			"numbers.txt:-", "--", "out/sum.txt")
		Expect(done.Code).NotTo(BeZero(), "there is no directory out")
		done = here.sandbox(ctx, "run", "--provider", "local", "--code", "sum.py", "-f", "numbers.txt:/data/../workspace/numbers.txt",
			"-o", "sum.txt:result", "-o", "numbers.txt:-", "--", "sum.txt")
		Expect(done).To(And(HaveField("Code", 0), HaveField("Out", "done\n1\n2\n39\n"), HaveField("Err", BeEmpty())))
		Expect(here.read("result")).To(Equal("42"))
		nothingIsLeft(ctx)
	})

	It("says which file is missing that was asked for", func(ctx context.Context) {
		done := here.sandbox(ctx, "run", "--provider", "local", "-o", "report.html", "--", "true")
		Expect(done).To(And(HaveField("Code", 125), HaveField("Err", "error: there is no /workspace/report.html in the sandbox\n")))
	})

	It("gives a pipe to the command, whatever bytes and however many", func(ctx context.Context) {
		here.succeeds(ctx, "create", "box", "--provider", "local", "--wait")
		binary := strings.Repeat("\x00\xff\n", 100_000)
		done := here.sandboxWith(ctx, binary, "exec", "box", "-i", "--", "cat")
		Expect(done.Code).To(BeZero(), done.Err)
		Expect(sha256.Sum256([]byte(done.Out))).To(Equal(sha256.Sum256([]byte(binary))), "%d bytes came back: %s", len(done.Out), done.Err)
		done = here.sandboxWith(ctx, "not for it", "exec", "box", "--", "cat")
		Expect(done).To(And(HaveField("Code", 0), HaveField("Out", BeEmpty())))
		done = here.sandboxWith(ctx, strings.Repeat("x", 2<<20), "exec", "box", "-i", "--", "cat")
		Expect(done).To(And(HaveField("Code", 125), HaveField("Err", ContainSubstring("standard input is too long"))))
	})

	It("prints all of an output that is long, and says what is missing of one that is longer", func(ctx context.Context) {
		here.succeeds(ctx, "create", "box", "--provider", "local", "--wait")
		done := here.sandbox(ctx, "exec", "box", "--", "seq", "120000")
		Expect(done).To(And(HaveField("Code", 0), HaveField("Err", BeEmpty())))
		Expect(strings.Fields(done.Out)).To(HaveLen(120000))

		done = here.sandbox(ctx, "exec", "box", "--", "sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' x")
		Expect(done.Code).To(BeZero())
		Expect(done.Err).To(ContainSubstring("126976 of the 1048576 bytes of stdout are missing here"))
		Expect(done.Out).To(HaveLen(1048576 - 126976))
	})

	It("prints as it comes, and nothing twice", func(ctx context.Context) {
		here.succeeds(ctx, "create", "box", "--provider", "local", "--wait")
		running := here.start(ctx, "exec", "box", "--", "sh", "-c",
			"echo begin; until [ -e /tmp/go ]; do sleep 0.1; done; seq 3000; printf 'käse\\n'; sleep 3; echo end")
		running.eventuallyPrints("begin\n")
		Expect(running.ended).NotTo(BeClosed())
		here.succeeds(ctx, "exec", "box", "--", "touch", "/tmp/go")
		Expect(running.ends()).To(BeZero())
		var want bytes.Buffer
		want.WriteString("begin\n")
		want.WriteString(here.succeeds(ctx, "exec", "box", "--", "seq", "3000"))
		want.WriteString("käse\nend\n")
		Expect(sha256.Sum256([]byte(running.out.String()))).To(Equal(sha256.Sum256(want.Bytes())), running.out.String())
	})

	It("ends with 124 when the command's time is over", func(ctx context.Context) {
		done := here.sandbox(ctx, "run", "--provider", "local", "--timeout", "1s", "--", "sh", "-c", "echo begun; sleep 60")
		Expect(done).To(And(HaveField("Code", 124), HaveField("Out", "begun\n"),
			HaveField("Err", "error: The command was killed with all that it started after its 1 seconds; --timeout allows more\n")))
	})

	It("takes environment from here and from Secrets, and says nothing of their values", func(ctx context.Context) {
		here.Secret(ctx, "keys", map[string]string{"TOKEN": "open-sesame-4711"})
		done := here.sandbox(ctx, "run", "--provider", "local", "-e", "A=b c", "-e", "HOME", "--env-from", "secret/keys", "--",
			"sh", "-c", `echo "$A" "${TOKEN%4711}" "$TOKEN"`)
		Expect(done).To(And(HaveField("Code", 0), HaveField("Out", "b c open-sesame- [redacted]\n")))
	})

	It("leaves a run alone that is detached, and shows it later", func(ctx context.Context) {
		here.succeeds(ctx, "create", "box", "--provider", "local", "--wait")
		name := strings.TrimSpace(here.succeeds(ctx, "run", "box", "-d", "--", "sh", "-c", "echo one; sleep 1; echo two; exit 5"))
		done := here.sandbox(ctx, "logs", "-f", name)
		Expect(done).To(And(HaveField("Code", 5), HaveField("Out", "one\ntwo\n")))
		Expect(here.succeeds(ctx, "logs", name)).To(Equal("one\ntwo\n"))
		exec := &v1alpha1.SandboxExec{}
		Expect(bed.Client.Get(ctx, client.ObjectKey{Namespace: here.Namespace, Name: name}, exec)).To(Succeed())
		Expect(exec.Spec.TTLSecondsAfterFinished).To(HaveValue(BeEquivalentTo(86400)))
		here.succeeds(ctx, "delete", "exec/"+name)
		Expect(here.sandbox(ctx, "logs", name).Code).To(Equal(125))
	})

	It("keeps what it is told to keep", func(ctx context.Context) {
		here.succeeds(ctx, "run", "--provider", "local", "--keep", "--name", "kept", "--", "echo", "hi")
		Expect(here.succeeds(ctx, "logs", "kept")).To(Equal("hi\n"))
		exec := &v1alpha1.SandboxExec{}
		Expect(bed.Client.Get(ctx, client.ObjectKey{Namespace: here.Namespace, Name: "kept"}, exec)).To(Succeed())
		Expect(exec.Spec.TTLSecondsAfterFinished).To(BeNil())
	})
})
