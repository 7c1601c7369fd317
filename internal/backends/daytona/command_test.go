// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package daytona

import (
	"bytes"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
)

// commands is a running sandbox to run commands in.
type commands struct {
	*WithT
	t    *testing.T
	fake *fakeServer
	b    *backend
	id   string
}

func newCommands(t *testing.T) commands {
	t.Helper()
	needRoot(t)
	fake := startFake(t, daytona.Options{KeepBodies: true})
	b := fake.connect(t)
	made, err := b.Create(t.Context(), requestNamed("x"))
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	return commands{g, t, fake, b, made.ID}
}

func (c commands) run(command backends.Command) backends.Result {
	c.t.Helper()
	result, err := c.b.RunCommand(c.t.Context(), c.id, command)
	c.Expect(err).NotTo(HaveOccurred())
	return result
}

func TestArgumentsThatAreNoTextArriveAsTheyAre(t *testing.T) {
	c := newCommands(t)
	odd := "\xff\xfe$(id)'\"\n\xc3\x28"
	c.Expect(string(c.run(backends.Command{Argv: []string{"printf", "%s", odd}}).Stdout)).To(Equal(odd))
}

func TestLongScriptsAreCutBetweenCharacters(t *testing.T) {
	c := newCommands(t)
	long := strings.Repeat("世", 30_000) // 90 KB in each of several arguments: the cuts fall anywhere
	result := c.run(backends.Command{Argv: []string{"printf", "%s", long, long, long, "x" + long}})
	c.Expect(bytes.Equal(result.Stdout, []byte(long+long+long+"x"+long))).To(BeTrue())
}

func TestACommandThatIsTooLongIsRefused(t *testing.T) {
	c := newCommands(t)
	_, err := c.b.RunCommand(t.Context(), c.id, backends.Command{Argv: []string{"true", strings.Repeat("x", mostText)}})
	c.Expect(err).To(MatchError(backends.Invalid))
	c.Expect(err).To(MatchError(ContainSubstring("stdin")))
}

func TestAShellThatDiesLeavesTheOutcomeInDoubt(t *testing.T) {
	c := newCommands(t)
	const suicide = "kill -9 $PPID; kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)"
	_, err := c.b.RunCommand(t.Context(), c.id, backends.Command{Argv: []string{"sh", "-c", suicide}})
	c.Expect(err).To(MatchError(backends.Ambiguous))
}

func TestASandboxThatEndsUnderACommandLeavesTheOutcomeInDoubt(t *testing.T) {
	c := newCommands(t)
	ended := make(chan error, 1)
	go func() {
		_, err := c.b.RunCommand(t.Context(), c.id, backends.Command{Argv: []string{"sh", "-c", ": >/tmp/started; sleep 60"}})
		ended <- err
	}()
	other := c.fake.connect(t)
	c.Eventually(func() bool {
		there, err := backends.Exists(t.Context(), other, c.id, "/tmp/started")
		return there && err == nil
	}).WithTimeout(10 * time.Second).Should(BeTrue())
	c.fake.Remove(c.id)
	c.Eventually(ended).WithTimeout(10 * time.Second).Should(Receive(MatchError(backends.Ambiguous)))
}

func TestCommandsRunAsTheSandboxsUserOnly(t *testing.T) {
	c := newCommands(t)
	for _, same := range []string{"daytona", "1000"} {
		c.Expect(string(c.run(backends.Command{Argv: []string{"id", "-un"}, User: same}).Stdout)).To(Equal("daytona\n"))
	}
	_, err := c.b.RunCommand(t.Context(), c.id, backends.Command{Argv: []string{"id"}, User: "root"})
	c.Expect(err).To(MatchError(backends.Unsupported))
	c.Expect(err).To(MatchError(ContainSubstring("spec")))
}

func TestADiskThatCanNotBeWrittenToIsSaid(t *testing.T) {
	c := newCommands(t)
	c.run(backends.Command{Argv: []string{"sh", "-c", "for name in base64 head; do :; done"}})
	for word, code := range map[string]backends.Code{
		"directory": backends.Unavailable, "input": backends.Unavailable, "tools": backends.Unavailable, "cwd": backends.Invalid,
	} {
		_, err := script{word: "W"}.result(0, "noise of a profile\n\nW refused "+word+"\nW\n")
		c.Expect(backends.CodeOf(err)).To(Equal(code), word)
	}
}

func TestAnAnswerThatWasCutIsNoResult(t *testing.T) {
	g := NewWithT(t)
	for _, printed := range []string{
		"", "noise", "\nW ended 0 0\n", "\nW ended 0 0\naGVsbG8\nW\nW\n", "\nW ended x 0\nW\nW\n", "\nW ended 0 0\naGVsbG8=\n",
	} {
		_, err := script{word: "W", limit: 100}.result(0, printed)
		g.Expect(err).To(MatchError(backends.Ambiguous), "%q", printed)
	}
	result, err := script{word: "W", limit: 2}.result(0, "a profile's words\nW ended 3 0\naGVs\nbG8=\nW\nW\n")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result).To(Equal(backends.Result{ExitCode: 3, Stdout: []byte("he"), StdoutTruncated: true, Stderr: []byte{}}))
}

func TestNothingIsLeftBesideACommand(t *testing.T) {
	c := newCommands(t)
	for _, command := range []backends.Command{
		{Argv: []string{"true"}}, {Argv: []string{"cat"}, Stdin: make([]byte, 2*mostInline)},
		{Argv: []string{"sleep", "60"}, Timeout: 50 * time.Millisecond}, {Argv: []string{"sleep", "60"}, Timeout: time.Second},
		{Argv: []string{"true"}, Timeout: time.Minute},
	} {
		c.run(command)
	}
	const look = `ls -A /tmp | grep -v call
		ls -d /tmp/.sandboxes.run-call-* | wc -l
		cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -o '[s]leep 60'`
	left := func() string { return string(c.run(backends.Command{Argv: []string{"sh", "-c", look}}).Stdout) }
	c.Eventually(left).Should(Equal("2\n"), "its own two files and nothing else: no sleep either")
}

// What may be secret is in no place where others see it: command lines, URLs, the request that creates.
func TestSecretsTravelInBodiesAlone(t *testing.T) {
	c := newCommands(t)
	const secret = "xyzzy-9f8e7d6c-plugh"
	result := c.run(backends.Command{
		Argv: []string{"sh", "-c", `cat; printf %s "$TOKEN"; cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -c xyzzy >&2`},
		Env:  map[string]string{"TOKEN": secret}, Stdin: []byte(secret),
	})
	c.Expect(string(result.Stdout)).To(Equal(secret + secret))
	c.Expect(string(result.Stderr)).To(Equal("1\n"), "only grep's own words have it")
	for _, call := range c.fake.Calls() {
		c.Expect(call.Path + call.Query).NotTo(ContainSubstring("xyzzy"))
		if strings.HasPrefix(call.Path, "/api/") {
			c.Expect(string(call.Body)).NotTo(ContainSubstring("xyzzy"))
		}
	}
}
