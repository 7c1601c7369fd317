// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// configMap names a ConfigMap.
func configMap(room *testbed.Room, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: room.Namespace, Name: name}}
}

// outputOf is what the status says of a path.
func outputOf(run *v1alpha1.SandboxExec, name string) v1alpha1.OutputStatus {
	GinkgoHelper()
	for _, output := range run.Status.Outputs {
		if output.Name == name {
			return output
		}
	}
	Fail("status says nothing of " + name + "\n" + testbed.StateOf(run))
	return v1alpha1.OutputStatus{}
}

var _ = Describe("The files of a SandboxExec", func() {
	const most = 900 << 10
	var (
		room *testbed.Room
		box  *v1alpha1.Sandbox
	)

	BeforeEach(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		box = room.Ready(ctx, room.Sandbox("box"))
	})

	It("are in place before the command, byte for byte, wherever they come from", func(ctx context.Context) {
		binary := make([]byte, 100_000)
		for i := range binary {
			binary[i] = byte(i * 45)
		}
		pem := "-----BEGIN SOMETHING-----\n%s \\n 'ü'\n"
		room.ConfigMap(ctx, "data", map[string]string{"text": "---\na: b\n"}, map[string][]byte{"binary": binary})
		room.Secret(ctx, "keys", map[string]string{"key": pem})
		run := room.Run(ctx, room.Exec("run", "box").
			Input("/workspace/a dir/in line.txt", "-n inline\n").
			InputFrom("/opt/deep/er/text", 0o640, builders.ConfigMapKey("data", "text")).
			InputFrom("/workspace/binary", 0o755, builders.ConfigMapKey("data", "binary")).
			InputFrom("/workspace/key", 0o400, builders.SecretKey("keys", "key")).
			Shell(`cat "/workspace/a dir/in line.txt" /opt/deep/er/text; cd /workspace; sha256sum <binary; sha256sum <key; `+
				`stat -c %a "a dir/in line.txt" /opt/deep/er/text binary key | tr '\n' ' '`))
		want := "-n inline\n---\na: b\n" + digest(string(binary)) + "  -\n" + digest(pem) + "  -\n644 640 755 400 "
		Expect(run.Status.Stdout.Head).To(Equal(want), testbed.StateOf(run))
	})

	It("that can't be put in place keep the command from running, and say why", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Input("/workspace", "a file").Shell("touch /workspace/ran"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonInputFailed))
		Expect(testbed.StateOf(run)).To(ContainSubstring("cannot write the input /workspace: a directory is there"))
		Expect(room.Output(ctx, "check", "box", "ls /workspace")).To(BeEmpty())
	})

	It("are waited for when they come from what does not exist yet", func(ctx context.Context) {
		run := room.Exec("run", "box").InputFrom("/workspace/in", 0o644, builders.ConfigMapKey("later", "text")).
			Command("cat", "/workspace/in").Obj()
		room.Create(ctx, run)
		room.Eventually(ctx, run, "waiting for its input", func() bool {
			return strings.Contains(testbed.StateOf(run), `input /workspace/in: ConfigMap "later" does not exist`)
		})
		room.ConfigMap(ctx, "later", map[string]string{"text": "here"}, nil)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Stdout.Head).To(Equal("here"))
	})

	It("come back into status, with size, mode and digest", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").
			Shell(`cd /srv; printf 'text ü\n' >text; chmod 600 text; : >empty; mkdir -p dir/sub; echo x >dir/b; ln -s b dir/a; `+
				`mkfifo dir/pipe; chmod 640 dir/b; ln -s text link; ln -s dir dirlink; ln -s nowhere broken`).
			Output("/srv/text").Output("/srv/empty").Output("/srv/dir").Output("/srv/link").
			Output("/srv/dirlink").Output("/srv/broken").Output("/srv/missing"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		text := outputOf(run, "/srv/text")
		Expect(text.State).To(Equal(v1alpha1.OutputKept))
		Expect(text.Content).To(Equal("text ü\n"))
		Expect(text.Mode).To(Equal("0600"))
		Expect(*text.Bytes).To(BeEquivalentTo(8))
		Expect(text.SHA256).To(Equal(digest("text ü\n")))
		empty := outputOf(run, "/srv/empty")
		Expect(empty.State).To(Equal(v1alpha1.OutputKept))
		Expect(empty.Content).To(BeEmpty())
		Expect(*empty.Bytes).To(BeZero())
		dir := outputOf(run, "/srv/dir")
		Expect(dir.State).To(Equal(v1alpha1.OutputListed))
		Expect(*dir.EntryCount).To(BeEquivalentTo(4))
		var listing []string
		for _, entry := range dir.Entries {
			listing = append(listing, entry.Name+" "+string(entry.Type)+" "+entry.Mode)
		}
		Expect(listing).To(Equal([]string{"a Link 0777", "b File 0640", "pipe Other 0644", "sub Directory 0755"}))
		Expect(*dir.Entries[1].Bytes).To(BeEquivalentTo(2))
		Expect(outputOf(run, "/srv/link").Content).To(Equal("text ü\n"))
		Expect(outputOf(run, "/srv/dirlink").State).To(Equal(v1alpha1.OutputListed))
		Expect(outputOf(run, "/srv/broken").State).To(Equal(v1alpha1.OutputMissing))
		Expect(outputOf(run, "/srv/missing").State).To(Equal(v1alpha1.OutputMissing))
	})

	DescribeTable("come back whatever way the command ends",
		func(ctx context.Context, line string, outcome v1alpha1.ExecOutcome) {
			run := room.Run(ctx, room.Exec("run", "box").Shell("echo so far >/workspace/out; "+line).Timeout(1).Output("/workspace/out"))
			Expect(run.Status.Outcome).To(Equal(outcome), testbed.StateOf(run))
			Expect(outputOf(run, "/workspace/out").Content).To(Equal("so far\n"))
		},
		Entry("when it fails", "exit 1", v1alpha1.OutcomeFailed),
		Entry("when it is killed", "kill -KILL $$", v1alpha1.OutcomeFailed),
		Entry("when its time is over", "sleep 60", v1alpha1.OutcomeTimedOut),
	)

	It("come back when it is cancelled", func(ctx context.Context) {
		run := room.Exec("run", "box").Shell("echo so far >/workspace/out; sleep 600").Output("/workspace/out").Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Cancel(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeCancelled), testbed.StateOf(run))
		Expect(outputOf(run, "/workspace/out").Content).To(Equal("so far\n"))
	})

	It("that are Required and missing make a success a failure, and say so", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Command("true").RequiredOutput("/workspace/missing").Output("/workspace/other"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonOutputMissing))
		Expect(testbed.ExitCode(run)).To(BeZero())
		Expect(testbed.StateOf(run)).To(ContainSubstring("/workspace/missing (Missing)"))
		Expect(testbed.StateOf(run)).NotTo(ContainSubstring("/workspace/other"))
	})

	It("that are no files, or too large, are never read, and say so", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").
			Shell(`cd /srv; mkfifo pipe; truncate -s 5G huge; head -c 20000 /dev/zero | tr '\0' x >long; printf 'a\377b' >binary; `+
				`ln -s /dev/zero zero; head -c 921601 /dev/zero >over`).
			Output("/dev/zero").Output("/srv/zero").Output("/srv/pipe").Output("/srv/huge").Output("/srv/long").
			Output("/srv/binary").OutputTo("/srv/over", builders.ToConfigMap("", "")))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		for path, want := range map[string]struct {
			state v1alpha1.OutputState
			says  string
		}{
			"/dev/zero":   {v1alpha1.OutputNotRegular, "neither a file nor a directory"},
			"/srv/zero":   {v1alpha1.OutputNotRegular, "neither a file nor a directory"},
			"/srv/pipe":   {v1alpha1.OutputNotRegular, "neither a file nor a directory"},
			"/srv/huge":   {v1alpha1.OutputTooLarge, "It is 5368709120 bytes, more than the 921600 that one ConfigMap or Secret takes"},
			"/srv/long":   {v1alpha1.OutputTooLarge, "It is 20000 bytes, more than the 16384 that status takes: name a ConfigMap"},
			"/srv/binary": {v1alpha1.OutputNotText, "name a ConfigMap or a Secret for it in to"},
			"/srv/over":   {v1alpha1.OutputTooLarge, "It is 921601 bytes, more than the 921600 that one ConfigMap or Secret takes: write"},
		} {
			Expect(outputOf(run, path).State).To(Equal(want.state), path)
			Expect(outputOf(run, path).Message).To(ContainSubstring(want.says), path)
		}
		Expect(*outputOf(run, "/srv/huge").Bytes).To(BeEquivalentTo(5 << 30))
		none := configMap(room, "run")
		Expect(apierrors.IsNotFound(bed.Client.Get(ctx, client.ObjectKeyFromObject(none), none))).To(BeTrue())
	})

	It("go into a ConfigMap and a Secret up to 900 KiB, byte for byte, and go with the run", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").
			Shell(`cd /workspace; : >empty; echo t >t; head -c 921600 /dev/zero | tr '\0' x >text; `+
				`head -c 921600 /dev/zero | tr '\0' '\377' >binary`).
			OutputTo("/workspace/binary", builders.ToConfigMap("binaries", "all.bin")).
			OutputTo("/workspace/text", builders.ToSecret("", "")).
			OutputTo("/workspace/empty", builders.ToConfigMap("", "")).OutputTo("/workspace/t", builders.ToConfigMap("", "")))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		binary := outputOf(run, "/workspace/binary")
		Expect(binary.State).To(Equal(v1alpha1.OutputStored), binary.Message)
		Expect(*binary.StoredIn).To(Equal(v1alpha1.StoredObject{ConfigMap: "binaries", Keys: []string{"all.bin"}}))
		Expect(*binary.Bytes).To(BeEquivalentTo(most))
		Expect(binary.SHA256).To(Equal(digest(strings.Repeat("\xff", most))))
		text := outputOf(run, "/workspace/text")
		Expect(text.State).To(Equal(v1alpha1.OutputStored), text.Message)
		Expect(*text.StoredIn).To(Equal(v1alpha1.StoredObject{Secret: "run", Keys: []string{"text"}}))
		Expect(outputOf(run, "/workspace/empty").State).To(Equal(v1alpha1.OutputStored))

		binaries, both, secret := configMap(room, "binaries"), configMap(room, "run"), room.SecretObject("run")
		for _, object := range []client.Object{binaries, both, secret} {
			Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			Expect(metav1.IsControlledBy(object, run)).To(BeTrue())
		}
		Expect(bytes.Equal(binaries.BinaryData["all.bin"], bytes.Repeat([]byte{0xff}, most))).To(BeTrue())
		Expect(bytes.Equal(secret.Data["text"], bytes.Repeat([]byte("x"), most))).To(BeTrue())
		Expect(both.Data).To(Equal(map[string]string{"empty": "", "t": "t\n"}))

		room.Delete(ctx, run)
		for _, object := range []client.Object{binaries, both, secret} {
			room.EventuallyGone(ctx, object)
		}
	})

	It("that are more than 900 KiB together in one ConfigMap say which did not fit", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").
			Shell(`cd /workspace; head -c 600000 /dev/zero | tr '\0' x >a; cp a b`).
			OutputTo("/workspace/a", builders.ToConfigMap("", "")).OutputTo("/workspace/b", builders.ToConfigMap("", "")))
		Expect(outputOf(run, "/workspace/a").State).To(Equal(v1alpha1.OutputStored))
		Expect(outputOf(run, "/workspace/b").State).To(Equal(v1alpha1.OutputTooLarge))
		Expect(outputOf(run, "/workspace/b").Message).To(ContainSubstring("give it one of its own"))
	})

	It("never overwrite what is somebody else's", func(ctx context.Context) {
		room.ConfigMap(ctx, "taken", map[string]string{"out": "theirs"}, nil)
		run := room.Run(ctx, room.Exec("before", "box").Shell("echo ran >/workspace/ran").
			OutputTo("/workspace/ran", builders.ToConfigMap("taken", "out")))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonNameConflict))
		Expect(testbed.StateOf(run)).To(ContainSubstring(`ConfigMap "taken" exists, and is not this run's`))

		By("also where it comes while the command runs")
		run = room.Exec("meanwhile", "box").Shell("sleep 2; echo ran >/workspace/ran").
			OutputTo("/workspace/ran", builders.ToConfigMap("later", "out")).Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.ConfigMap(ctx, "later", map[string]string{"out": "theirs"}, nil)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(outputOf(run, "/workspace/ran").State).To(Equal(v1alpha1.OutputConflict))
		for _, name := range []string{"taken", "later"} {
			theirs := configMap(room, name)
			Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(theirs), theirs)).To(Succeed())
			Expect(theirs.Data).To(Equal(map[string]string{"out": "theirs"}))
		}
	})

	It("that two outputs would put into one place are refused before anything runs", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Shell("touch /workspace/ran").
			OutputTo("/workspace/a/x", builders.ToConfigMap("", "")).OutputTo("/workspace/b/x", builders.ToConfigMap("", "")))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(testbed.StateOf(run)).To(ContainSubstring(`two outputs go to key "x" of ConfigMap "run"`))
		Expect(room.Output(ctx, "check", "box", "ls /workspace")).To(BeEmpty())
	})

	It("hold no value of a Secret, but in a Secret", func(ctx context.Context) {
		room.Secret(ctx, "keys", map[string]string{"token": "open-sesame-4711"})
		run := room.Run(ctx, room.Exec("run", "box").EnvFrom("TOKEN", builders.SecretKey("keys", "token")).
			Shell(`cd /workspace; echo "it is $TOKEN" | tee a b >c`).
			Output("/workspace/a").OutputTo("/workspace/b", builders.ToConfigMap("", "")).
			OutputTo("/workspace/c", builders.ToSecret("", "")))
		Expect(outputOf(run, "/workspace/a").Content).To(Equal("it is [redacted]\n"))
		Expect(outputOf(run, "/workspace/a").SHA256).To(BeEmpty())
		open, secret := configMap(room, "run"), room.SecretObject("run")
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(open), open)).To(Succeed())
		Expect(open.Data).To(Equal(map[string]string{"b": "it is [redacted]\n"}))
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)).To(Succeed())
		Expect(string(secret.Data["c"])).To(Equal("it is open-sesame-4711\n"))
	})

	It("are withheld when a Secret vanished between start and collection", func(ctx context.Context) {
		room.Secret(ctx, "keys", map[string]string{"token": "open-sesame-mellon"})
		run := room.Exec("run", "box").EnvFrom("TOKEN", builders.SecretKey("keys", "token")).
			Shell(`echo "$TOKEN" | tee /workspace/out; sleep 2`).Output("/workspace/out").
			StdoutTo(builders.ToConfigMap("", "")).Obj()
		room.Create(ctx, run)
		room.EventuallySeenRunning(ctx, run)
		room.Delete(ctx, room.SecretObject("keys"))
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionWithheld))
		Expect(outputOf(run, "/workspace/out").State).To(Equal(v1alpha1.OutputWithheld))
		Expect(outputOf(run, "/workspace/out").Content).To(BeEmpty())
		// No part of it either. It has letters that no UID has, of which the report is full.
		Expect(bed.Report(room.Namespace)).NotTo(Or(ContainSubstring("sesame"), ContainSubstring("mellon")))
	})

	It("have room for a whole stream, and for both its ends where it is longer", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").Shell("seq 100000").StdoutTo(builders.ToConfigMap("", "out.txt")))
		var whole strings.Builder
		for i := 1; i <= 100_000; i++ {
			fmt.Fprintln(&whole, i)
		}
		Expect(run.Status.Stdout.StoredIn).NotTo(BeNil(), testbed.StateOf(run))
		Expect(run.Status.Stdout.StoredIn.Keys).To(Equal([]string{"out.txt"}))
		Expect(run.Status.Stdout.Retention).To(Equal(v1alpha1.RetentionTruncated))
		Expect(run.Status.Stdout.SHA256).To(Equal(digest(whole.String())))
		stored := configMap(room, "run")
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(stored), stored)).To(Succeed())
		Expect(digest(stored.Data["out.txt"])).To(Equal(digest(whole.String())), "the whole stream should be there")

		run = room.Run(ctx, room.Exec("longer", "box").
			Shell("head -c 3000000 /dev/zero | tr '\\0' a; echo end").StdoutTo(builders.ToSecret("", "")))
		Expect(run.Status.Stdout.StoredIn.Keys).To(Equal([]string{"stdout.head", "stdout.tail"}))
		Expect(*run.Status.Stdout.Bytes).To(BeEquivalentTo(3_000_004))
		secret := room.SecretObject("longer")
		Expect(bed.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)).To(Succeed())
		Expect(secret.Data["stdout.head"]).To(HaveLen(most / 2))
		Expect(secret.Data["stdout.tail"]).To(HaveLen(most / 2))
		Expect(string(secret.Data["stdout.tail"])).To(HaveSuffix("aaa" + "end\n"))
	})

	It("come back from where the user of the sandbox put them, and nothing of the machine does", func(ctx context.Context) {
		run := room.Run(ctx, room.Exec("run", "box").
			Shell("ln -s "+bed.RemoteDir(box.Status.SandboxID)+" /workspace/out; ln -s /etc/passwd /workspace/passwd").
			Output("/workspace/out").Output("/workspace/passwd"))
		Expect(outputOf(run, "/workspace/out").State).To(Equal(v1alpha1.OutputMissing))
		Expect(outputOf(run, "/workspace/passwd").Content).To(Equal(room.Output(ctx, "check", "box", "cat /etc/passwd")))
	})
})

var _ = Describe("The spool of a SandboxExec", func() {
	It("is emptied by the runs after it, and its fence stays", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		box := room.Ready(ctx, room.Sandbox("box"))
		first := room.Run(ctx, room.Exec("first", "box").Shell("seq 100000"))
		second := room.Run(ctx, room.Exec("second", "box").Shell("seq 100000"))
		room.Run(ctx, room.Exec("third", "box").Command("true"))
		for _, run := range []*v1alpha1.SandboxExec{first, second} {
			Expect(bed.RunIn(ctx, box.Status.SandboxID, fmt.Sprintf("ls -a /run/sandboxes.run/%s-1", run.UID))).To(Equal(".\n..\n"))
		}
	})
})
