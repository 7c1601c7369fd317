// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

var _ = Describe("The output of a SandboxExec", func() {
	var room *testbed.Room

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		room.Secret(ctx, "keys", map[string]string{"token": "open-sesame-4711"})
		room.Ready(ctx, room.Sandbox("box").FileFrom("/workspace/token", 0o600, builders.SecretKey("keys", "token")))
	})

	It("is kept whole where it is short, with its length and digest", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Shell(`printf 'no newline ü'; printf 'err\n' >&2`))
		stdout := run.Status.Stdout
		Expect(stdout.Head).To(Equal("no newline ü"))
		Expect(*stdout.Bytes).To(BeEquivalentTo(13))
		Expect(stdout.Retention).To(Equal(v1alpha1.RetentionComplete))
		Expect(stdout.Encoding).To(Equal(v1alpha1.EncodingUTF8))
		Expect(stdout.SHA256).To(Equal(digest("no newline ü")))
		Expect(run.Status.Stderr.Head).To(Equal("err\n"))
	})

	It("is cut in the middle where it is long, and says so", func(ctx context.Context) {
		var whole strings.Builder
		for i := 1; i <= 20_000; i++ {
			fmt.Fprintln(&whole, i)
		}
		run := room.Run(ctx, room.Exec("run", "box").Shell(`seq 20000; seq 20000 >&2`).KeepStderr(10, 0))
		stdout, stderr := run.Status.Stdout, run.Status.Stderr
		Expect(stdout.Retention).To(Equal(v1alpha1.RetentionTruncated))
		Expect(*stdout.Bytes).To(BeEquivalentTo(whole.Len()))
		Expect(stdout.Head).To(Equal(whole.String()[:8192]))
		Expect(stdout.Tail).To(Equal(whole.String()[whole.Len()-8192:]))
		Expect(stdout.SHA256).To(Equal(digest(whole.String())))
		Expect(stderr.Retention).To(Equal(v1alpha1.RetentionTruncated))
		Expect(stderr.Head).To(Equal(whole.String()[:10]))
		Expect(stderr.Tail).To(BeEmpty())
		Expect(*stderr.Bytes).To(BeEquivalentTo(whole.Len()))
	})

	It("is cut as the spec says, never through a character", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Shell(`for i in 1 2 3 4 5 6 7 8 9 10; do printf 'üü'; done`).KeepStdout(5, 3))
		Expect(run.Status.Stdout.Head).To(Equal("üü"))
		Expect(run.Status.Stdout.Tail).To(Equal("ü"))
		Expect(*run.Status.Stdout.Bytes).To(BeEquivalentTo(40))
		Expect(run.Status.Stdout.Encoding).To(Equal(v1alpha1.EncodingUTF8))
		run = room.Run(ctx, room.Exec("none", "box").Shell(`echo text`).KeepStdout(0, 0))
		Expect(run.Status.Stdout.Head + run.Status.Stdout.Tail).To(BeEmpty())
		Expect(*run.Status.Stdout.Bytes).To(BeEquivalentTo(5))
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionTruncated))
	})

	It("is kept up to the most that may be, and never makes a status of more than 256 KiB", func(ctx context.Context) {
		most := func(name, character string) *v1alpha1.SandboxExec {
			return room.Run(ctx, room.Exec(name, "box").
				Shell(`head -c 70000 /dev/zero | tr '\0' '`+character+`'; head -c 70000 /dev/zero | tr '\0' '`+character+`' >&2`).
				KeepStdout(32768, 32768).KeepStderr(65536, 0))
		}
		run := most("plain", "x")
		Expect(run.Status.Stdout.Head).To(HaveLen(32768))
		Expect(run.Status.Stdout.Tail).To(HaveLen(32768))
		Expect(run.Status.Stderr.Head).To(HaveLen(65536))
		// Each takes six bytes in JSON.
		run = most("control", `\1`)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded))
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionTruncated))
		Expect(run.Status.Stdout.Head).NotTo(BeEmpty())
		Expect(*run.Status.Stdout.Bytes).To(BeEquivalentTo(70000))
		status, err := json.Marshal(run.Status)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(status)).To(BeNumerically("<", 256<<10))
	})

	It("is kept readable where it is no UTF-8, and says so", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Shell(`printf 'a\377\376b\000c'; printf 'fine' >&2`))
		Expect(run.Status.Stdout.Encoding).To(Equal(v1alpha1.EncodingReplaced))
		Expect(run.Status.Stdout.Head).To(HavePrefix("a�b"))
		Expect(*run.Status.Stdout.Bytes).To(BeEquivalentTo(6))
		Expect(run.Status.Stdout.SHA256).To(Equal(digest("a\xff\xfeb\x00c")))
		Expect(run.Status.Stderr.Encoding).To(Equal(v1alpha1.EncodingUTF8))
	})

	It("holds no value of a Secret that the command prints", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").EnvFrom("TOKEN", builders.SecretKey("keys", "token")).
			Shell(`echo "it is $TOKEN!"; cat /workspace/token >&2`))
		Expect(run.Status.Stdout.Head).To(Equal("it is [redacted]!\n"))
		Expect(run.Status.Stdout.SHA256).To(BeEmpty())
		Expect(run.Status.Stderr.Head).To(Equal("[redacted]"))
	})

	It("is withheld when the Secret changed while the command ran", func(ctx context.Context) {
		run := room.Exec("run", "box").EnvFrom("TOKEN", builders.SecretKey("keys", "token")).Shell(`echo "$TOKEN"; sleep 2`).Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		secret := room.SecretObject("keys")
		Expect(bed.Client.Patch(ctx, secret, mergePatch(`{"stringData":{"token":"another"}}`))).To(Succeed())
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionWithheld))
		Expect(run.Status.Stdout.Head).To(BeEmpty())
		Expect(testbed.StateOf(run)).To(ContainSubstring("its output was withheld"))
	})
})
