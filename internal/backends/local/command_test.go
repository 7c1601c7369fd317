// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestExitCodesArriveAsTheyAre(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	for script, code := range map[string]int{
		"exit 0": 0, "exit 1": 1, "exit 125": 125, "exit 127": 127, "exit 128": 128, "exit 255": 255,
		"kill -9 $$": 137, "kill -15 $$": 143, "kill -SEGV $$": 139,
	} {
		g.Expect(h.sh(id, script).ExitCode).To(Equal(code), script)
	}
}

func TestACommandThatCanNotBeStartedEndsWithTheShellsWords(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	result := h.run(id, "no-such-program", "--flag")
	g.Expect(result.ExitCode).To(Equal(127))
	g.Expect(string(result.Stderr)).To(ContainSubstring("no-such-program: not found"))
	g.Expect(h.run(id, "/no/such/program").ExitCode).To(Equal(127))
	g.Expect(h.run(id, "/etc/passwd").ExitCode).To(Equal(126))
	g.Expect(h.run(id, "/etc").ExitCode).To(Equal(126))

	h.sh(id, `printf 'echo from "$1"; exit 7\n' >/workspace/script; chmod +x /workspace/script`)
	result = h.run(id, "/workspace/script", "a script without an interpreter line")
	g.Expect(result.ExitCode).To(Equal(7))
	g.Expect(string(result.Stdout)).To(Equal("from a script without an interpreter line\n"))
}

func TestStreamsAreSeparateExactAndBounded(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	result := h.sh(id, `printf 'a\000\377b'; printf 'x\ny' >&2`)
	g.Expect(result.Stdout).To(Equal([]byte("a\x00\xffb")))
	g.Expect(string(result.Stderr)).To(Equal("x\ny"))

	content := make([]byte, 5<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	result = h.runCommand(id, backends.Command{Argv: []string{"tee", "/dev/stderr"}, Stdin: content})
	g.Expect(bytes.Equal(result.Stdout, content)).To(BeTrue(), "5 MiB of stdout differ")
	g.Expect(bytes.Equal(result.Stderr, content)).To(BeTrue(), "5 MiB of stderr differ")
	g.Expect(result.StdoutTruncated || result.StderrTruncated).To(BeFalse())

	result = h.runCommand(id, backends.Command{
		Argv: []string{"/bin/sh", "-c", "head -c 3000000 /dev/zero; echo end >&2; printf 12345 >&2"}, OutputLimit: 5,
	})
	g.Expect(result.ExitCode).To(BeZero())
	g.Expect(result.Stdout).To(Equal(make([]byte, 5)))
	g.Expect(result.StdoutTruncated).To(BeTrue())
	g.Expect(string(result.Stderr)).To(Equal("end\n1"))
	g.Expect(result.StderrTruncated).To(BeTrue())
	result = h.runCommand(id, backends.Command{Argv: []string{"printf", "12345"}, OutputLimit: 5})
	g.Expect(result.StdoutTruncated).To(BeFalse(), "what just fits is whole")
}

func TestStdinEnds(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	g.Expect(h.run(id, "cat").Stdout).To(BeEmpty())
	result := h.runCommand(id, backends.Command{Argv: []string{"wc", "-c"}, Stdin: []byte("abc")})
	g.Expect(strings.TrimSpace(string(result.Stdout))).To(Equal("3"))
	g.Expect(h.runCommand(id, backends.Command{Argv: []string{"no-such-program"}, Stdin: []byte("abc")}).ExitCode).To(Equal(127))
}

func TestEnvironmentIsTheRemotesThenTheCommands(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	asked := request("box")
	asked.Env = map[string]string{"KEPT": "kept", "REPLACED": "old"}
	id := h.create(asked).ID
	odd := "a b\n\"c\" $HOME `d` '\\ é\t="
	result := h.runCommand(id, backends.Command{
		Argv: []string{"env", "-0"},
		Env:  map[string]string{"REPLACED": "new", "ODD": odd, "dotted.name": "x", "EMPTY": ""},
	})
	entries := strings.Split(strings.TrimSuffix(string(result.Stdout), "\x00"), "\x00")
	g.Expect(entries).To(ConsistOf("KEPT=kept", "REPLACED=new", "ODD="+odd, "dotted.name=x", "EMPTY=", "HOME=/root", defaultPath))
	for _, env := range []map[string]string{{"A=B": ""}, {"": "x"}, {"A": "\x00"}} {
		_, err := h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}, Env: env})
		g.Expect(err).To(MatchError(backends.Invalid))
	}
}

func TestValuesAreOnNoCommandLineOfTheMachine(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, err := h.RunCommand(ctx, id, backends.Command{
			Argv: []string{"sleep", "1414.2"}, Env: map[string]string{"SECRET": "xyzzy-value"}, Stdin: []byte("xyzzy-input"),
		})
		done <- err
	}()
	g.Eventually(func() string { return string(h.sh(id, "cat /proc/[0-9]*/cmdline").Stdout) }).
		WithTimeout(15 * time.Second).Should(ContainSubstring("1414.2"))
	for _, word := range []string{"xyzzy-value", "xyzzy-input", "1414.2"} {
		g.Expect(processesUnder(word)).To(BeEmpty())
	}
	cancel()
	g.Expect(<-done).To(MatchError(context.Canceled))
}

func TestWorkingDirectory(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	pwd := func(dir string) string {
		return string(h.runCommand(id, backends.Command{Argv: []string{"pwd"}, WorkingDir: dir}).Stdout)
	}
	g.Expect(pwd("")).To(Equal("/workspace\n"))
	g.Expect(pwd("/usr/bin")).To(Equal("/usr/bin\n"))
	for _, dir := range []string{"/no/such", "/etc/passwd", "relative"} {
		_, err := h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"pwd"}, WorkingDir: dir})
		g.Expect(err).To(MatchError(backends.Invalid), dir)
		g.Expect(err).To(MatchError(ContainSubstring("working directory")), dir)
	}
}

func TestTheRequestedWorkingDirectoryIsMade(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	for name, limit := range map[string]int64{"mounted": 0, "in-overlay": 32 << 20} {
		asked := request(name)
		asked.WorkingDir = "/srv/app/data"
		asked.Resources.DiskBytes = limit
		id := h.create(asked).ID
		g.Expect(string(h.sh(id, "pwd; touch new && ls").Stdout)).To(Equal("/srv/app/data\nnew\n"), name)
		g.Expect(h.ReadDir(t.Context(), id, "/srv/app/data")).To(ConsistOf(HaveField("Name", "new")), name)
	}
	asked := request("root")
	asked.WorkingDir = "/"
	g.Expect(string(h.run(h.create(asked).ID, "pwd").Stdout)).To(Equal("/\n"))
}

func TestUsers(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	h.sh(id, `echo 'worker:x:500:501::/workspace:/bin/sh' >>/etc/passwd; echo 'crew:x:700:other,worker' >>/etc/group`)
	who := func(user string) string {
		result := h.runCommand(id, backends.Command{Argv: []string{"/bin/sh", "-c", `echo $(id -u) $(id -g) $(id -G)`}, User: user})
		return strings.TrimSpace(string(result.Stdout))
	}
	g.Expect(who("")).To(Equal("0 0 0"))
	g.Expect(who("worker")).To(Equal("500 501 501 700"))
	g.Expect(who("500")).To(Equal("500 501 501 700"))
	g.Expect(who("12:34")).To(Equal("12 34 34"))
	g.Expect(who("4242")).To(Equal("4242 0 0"))
	g.Expect(who("worker:crew")).To(Equal("500 700 700"))
	for _, user := range []string{"nobody-knows", "worker:unknown"} {
		_, err := h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}, User: user})
		g.Expect(err).To(MatchError(backends.Invalid))
	}
}

func TestCommandsCanNotGainPrivileges(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	status := func(user string) string {
		return string(h.runCommand(id, backends.Command{Argv: []string{"cat", "/proc/self/status"}, User: user}).Stdout)
	}
	g.Expect(status("")).To(ContainSubstring("NoNewPrivs:\t1"))
	g.Expect(status("65534:65534")).To(ContainSubstring("CapEff:\t0000000000000000"))
	g.Expect(h.run(id, "touch", "/usr/bin/new").ExitCode).NotTo(BeZero(), "/usr is read-only")
	g.Expect(h.run(id, "ls", "/work", "/var/lib/dpkg", h.root).ExitCode).NotTo(BeZero(), "the machine's other files are absent")
	g.Expect(string(h.run(id, "cat", "/proc/net/dev").Stdout)).NotTo(ContainSubstring("eth0"))
	g.Expect(h.runCommand(id, backends.Command{
		Argv: []string{"mkdir", spoolRoot + "/x"}, User: "1000:1000",
	}).ExitCode).To(BeZero(), "everyone can use the spool root")
}

func TestATimeoutKillsTheWholeTree(t *testing.T) {
	for _, user := range []string{"", "1000:1000"} {
		t.Run("user "+user, func(t *testing.T) {
			g, h := NewWithT(t), newHost(t)
			id := h.running("box")
			bystander := h.sh(id, "sleep 1001 </dev/null >/dev/null 2>&1 &")
			g.Expect(bystander.ExitCode).To(BeZero())
			started := time.Now()
			result := h.runCommand(id, backends.Command{
				Argv: []string{"/bin/sh", "-c", `echo begun
setsid sleep 1002 &
setsid sh -c 'sleep 1003 & sleep 1004 & wait' &
sh -c 'env -i sleep 1005 & sleep 1006 & wait' &
(trap "" TERM; sleep 1007) &
sleep 1008`},
				Timeout: 1500 * time.Millisecond, User: user,
			})
			g.Expect(result.TimedOut).To(BeTrue())
			g.Expect(string(result.Stdout)).To(Equal("begun\n"))
			g.Expect(time.Since(started)).To(BeNumerically("<", 10*time.Second))
			var left []string
			commands := h.sh(id, `for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline; echo; done`)
			for line := range strings.SplitSeq(string(commands.Stdout), "\n") {
				if strings.Contains(line, "sleep 10") {
					left = append(left, strings.TrimSpace(line))
				}
			}
			g.Expect(left).To(ConsistOf("sleep 1001"))
		})
	}
}

func TestACommandThatEndsInTimeDidNotTimeOut(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	result := h.runCommand(id, backends.Command{Argv: []string{"/bin/sh", "-c", "exit 3"}, Timeout: time.Minute})
	g.Expect(result.TimedOut).To(BeFalse())
	g.Expect(result.ExitCode).To(Equal(3))
}

func TestWhenTheContextEndsTheCallEndsAndTheCommandGoesOn(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := h.RunCommand(ctx, id, backends.Command{Argv: []string{"/bin/sh", "-c", "sleep 3; echo done >/workspace/done"}})
	g.Expect(err).To(MatchError(backends.Ambiguous))
	g.Expect(errors.Is(err, context.DeadlineExceeded)).To(BeTrue())
	g.Expect(time.Since(started)).To(BeNumerically("<", 2500*time.Millisecond))
	g.Eventually(func() error {
		_, err := h.ReadFile(t.Context(), id, "/workspace/done", 0)
		return err
	}).WithTimeout(15 * time.Second).Should(Succeed())
}

func TestBackgroundChildrenNeitherBlockTheCallNorDie(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	started := time.Now()
	result := h.sh(id, `(sleep 3; echo late; /bin/echo later; echo alive >/workspace/alive; sleep 1000) & echo first`)
	g.Expect(string(result.Stdout)).To(Equal("first\n"))
	g.Expect(time.Since(started)).To(BeNumerically("<", 2500*time.Millisecond))
	g.Eventually(func() error {
		_, err := h.ReadFile(t.Context(), id, "/workspace/alive", 0)
		return err
	}).WithTimeout(15 * time.Second).Should(Succeed())
}

func TestOrphansAreReaped(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	h.sh(id, "for i in 1 2 3 4 5; do setsid sh -c 'sleep 0.1 & sleep 0.05 &' & done; wait")
	g.Eventually(func() string { return string(h.sh(id, "cat /proc/[0-9]*/stat").Stdout) }).WithTimeout(10 * time.Second).
		ShouldNot(ContainSubstring(") Z "))
}

func TestManyCommandsAtOnce(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	var wait sync.WaitGroup
	for i := range 24 {
		wait.Go(func() {
			word := fmt.Sprintf("word-%d", i)
			result, err := h.RunCommand(t.Context(), id, backends.Command{
				Argv:  []string{"/bin/sh", "-c", "cat; echo err-$WORD >&2; exit " + fmt.Sprint(i)},
				Stdin: []byte(word), Env: map[string]string{"WORD": word},
			})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(result.Stdout)).To(Equal(word))
			g.Expect(string(result.Stderr)).To(Equal("err-" + word + "\n"))
			g.Expect(result.ExitCode).To(Equal(i))
		})
	}
	wait.Wait()
}

func TestASandboxThatIsDestroyedUnderACommandMakesItsOutcomeUnknown(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	done := make(chan error, 1)
	go func() {
		_, err := h.RunCommand(t.Context(), id, backends.Command{Argv: []string{"/bin/sh", "-c", "touch begun; sleep 1000"}})
		done <- err
	}()
	g.Eventually(func() error { _, err := h.Stat(t.Context(), id, "/workspace/begun"); return err }).
		WithTimeout(15 * time.Second).Should(Succeed())
	g.Expect(h.Destroy(t.Context(), id)).To(Succeed())
	g.Eventually(done).WithTimeout(15 * time.Second).Should(Receive(MatchError(backends.Ambiguous)))
}

func TestOpenFilesDoNotGrow(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		g.Expect(err).NotTo(HaveOccurred())
		return len(entries)
	}
	h.run(id, "true")
	before := count()
	for range 5 {
		h.run(id, "true")
		h.run(id, "no-such-program")
	}
	g.Expect(count()).To(BeNumerically("<=", before))
}
