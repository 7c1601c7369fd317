// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// needProgram leaves a spec out where sandboxes without an image, which have the machine's /usr, lack the program.
func needProgram(name string) {
	for _, dir := range []string{"/usr/local/bin/", "/usr/bin/"} {
		if path, err := filepath.EvalSymlinks(dir + name); err == nil && strings.HasPrefix(path, "/usr/") {
			return
		}
	}
	Skip("this machine has no " + name + " in /usr/bin")
}

var _ = Describe("What a SandboxExec runs", func() {
	It("has the environment of its Sandbox and its own, from values, Secrets and ConfigMaps", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Secret(ctx, "keys", map[string]string{"TOKEN": "of the secret", "not-a-name": "left out"})
		room.ConfigMap(ctx, "words", map[string]string{"WORD": "of the map", "SAME": "of the map"}, nil)
		room.Ready(ctx, room.Sandbox("box").
			Env("PLAIN", `it's "plain" $HOME \n`).Env("OVER", "the sandbox's").
			EnvFrom("ONE", builders.ConfigMapKey("words", "WORD")).EnvFrom("SECRET_KEY", builders.SecretKey("keys", "TOKEN")).
			EnvFromAll(builders.AllOfConfigMap("words", ""), builders.AllOfSecret("keys", "K_")))
		run := room.Run(ctx, room.Exec("run", "box").
			Env("OVER", "the run's").Env("EMPTY", "").Env("SAME", "of the run").
			EnvFromAll(builders.AllOfConfigMap("words", "MY_")).
			Shell(`printf '%s|' "$PLAIN" "$OVER" "$ONE" "$WORD" "$SAME" "$MY_WORD" "${EMPTY-unset}"; `+
				// What came from a Secret would be redacted.
				`printf '%s|' "${#SECRET_KEY}" "${#K_TOKEN}"; env | grep -c not-a-name`))
		Expect(run.Status.Stdout.Head).To(Equal(
			`it's "plain" $HOME \n|the run's|of the map|of the map|of the run|of the map||13|13|` + "0\n"))
	})

	It("reads standard input to its end, byte for byte", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		binary := []byte{0, 1, 2, 0xff, 0xfe, '\n', '%', '\\', '\'', 0}
		room.ConfigMap(ctx, "data", nil, map[string][]byte{"binary": binary})
		room.Secret(ctx, "keys", map[string]string{"text": "a secret text\n"})
		room.Ready(ctx, room.Sandbox("box"))
		for name, c := range map[string]struct {
			content v1alpha1.Content
			command []string
			want    string
		}{
			"inline": {builders.Text("line\nno newline at the end 'ü'"), []string{"cat"}, "line\nno newline at the end 'ü'"},
			"empty":  {builders.Text(""), []string{"wc", "-c"}, "0\n"},
			"secret": {builders.From(builders.SecretKey("keys", "text")), []string{"wc", "-c"}, "14\n"},
			"binary": {builders.From(builders.ConfigMapKey("data", "binary")), []string{"od", "-An", "-tx1"},
				" 00 01 02 ff fe 0a 25 5c 27 00\n"},
			"unasked": {builders.Text(strings.Repeat("x", 200_000)), []string{"true"}, ""},
		} {
			run := room.Run(ctx, room.Exec(name, "box").Stdin(c.content).Command(c.command...))
			Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(run))
			Expect(run.Status.Stdout.Head).To(Equal(c.want), name)
		}
		Expect(room.Output(ctx, "none", "box", "wc -c")).To(Equal("0\n"))
	})

	It("starts in its working directory", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box").WorkingDir("/srv/app data"))
		Expect(room.Output(ctx, "own", "box", "pwd")).To(Equal("/srv/app data\n"))
		run := room.Run(ctx, room.Exec("given", "box").WorkingDir("/usr").Command("pwd"))
		Expect(run.Status.Stdout.Head).To(Equal("/usr\n"))
		run = room.Run(ctx, room.Exec("missing", "box").WorkingDir("/no/such").Command("pwd"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonWorkingDirMissing))
		Expect(testbed.StateOf(run)).To(ContainSubstring("cannot enter the working directory /no/such"))
	})

	It("is an argument vector that no shell looks at", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Run(ctx, room.Exec("run", "box").Command("printf", `[%s]`, "a b", "$HOME", "*", "", "it's", `"`, "ü", "-n", "a\nb"))
		Expect(run.Status.Stdout.Head).To(Equal("[a b][$HOME][*][][it's][\"][ü][-n][a\nb]"))
	})

	DescribeTable("can be code",
		func(ctx context.Context, program string, language v1alpha1.CodeLanguage, source, want string) {
			needProgram(program)
			room := bed.NewRoom(ctx)
			room.ConfigMap(ctx, "code", map[string]string{"source": source}, nil)
			room.Ready(ctx, room.Sandbox("box"))
			inline := room.Exec("inline", "box").Code(language, source).Stdin(builders.Text("input")).Env("NAME", "env").Obj()
			from := room.Exec("from", "box").CodeFrom(language, builders.ConfigMapKey("code", "source")).
				Stdin(builders.Text("input")).Env("NAME", "env").Obj()
			room.Create(ctx, inline, from)
			for _, run := range []*v1alpha1.SandboxExec{inline, from} {
				room.EventuallyFinished(ctx, run)
				Expect(run.Status.Stdout.Head).To(Equal(want), testbed.StateOf(run))
				Expect(testbed.ExitCode(run)).To(BeEquivalentTo(3))
				Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed))
			}
		},
		Entry("in Python", "python3", v1alpha1.LanguagePython,
			"import os, sys\nprint(f\"{sys.stdin.read()} {os.environ['NAME']} {2**64}\")\nsys.exit(3)", "input env 18446744073709551616\n"),
		Entry("in JavaScript", "node", v1alpha1.LanguageJavaScript,
			"console.log(`${require('fs').readFileSync(0)} ${process.env.NAME} ${2n**64n}`);\nprocess.exitCode = 3",
			"input env 18446744073709551616\n"),
		Entry("in shell", "sh", v1alpha1.LanguageShell, "read -r line; echo \"$line $NAME $((1 << 32))\"\nexit 3",
			"input env 4294967296\n"),
		Entry("in Perl", "perl", v1alpha1.LanguagePerl,
			"print join(' ', <STDIN>, $ENV{NAME}, 2**32), \"\\n\";\nexit 3", "input env 4294967296\n"),
	)

	It("can be code with arguments, and brings its traceback unharmed", func(ctx context.Context) {
		needProgram("python3")
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Run(ctx, room.Exec("run", "box").Code(v1alpha1.LanguagePython,
			"import sys\nprint(sys.argv[1:])\ndef f():\n    raise ValueError('no \"way\"')\nf()\n").Arguments("a b", "", "ü $x", "-x"))
		Expect(run.Status.Stdout.Head).To(Equal(`['a b', '', 'ü $x', '-x']`+"\n"), testbed.StateOf(run))
		Expect(run.Status.Stderr.Head).To(And(HavePrefix("Traceback (most recent call last):\n"),
			MatchRegexp(`(?m)^  File "/run/sandboxes.run/[^"]*/code.py", line 5, in <module>$`),
			ContainSubstring("    raise ValueError('no \"way\"')\n"), HaveSuffix("ValueError: no \"way\"\n")))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(1))
	})

	It("can be code of any interpreter that the spec names", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Run(ctx, room.Exec("run", "box").Code("", "NR == 1 { print v, $2 }").Interpreter("awk", "-v", "v=the second:", "-f").
			Stdin(builders.Text("one two\nthree four\n")))
		Expect(run.Status.Stdout.Head).To(Equal("the second: two\n"), testbed.StateOf(run))
		run = room.Run(ctx, room.Exec("missing", "box").Code("", "x").Interpreter("no-such-interpreter"))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonInterpreterMissing), testbed.StateOf(run))
		Expect(testbed.StateOf(run)).To(ContainSubstring("looked for no-such-interpreter on its PATH"))
	})

	DescribeTable("can be code that needs programs which this machine may lack",
		func(ctx context.Context, language v1alpha1.CodeLanguage, program, script, want string) {
			room := bed.NewRoom(ctx)
			box := room.Sandbox("box").Env("PATH", "/opt/bin:/usr/bin:/bin").File("/opt/bin/"+program, "#!/bin/sh\n"+script).Obj()
			box.Spec.Files[0].Mode = new(int32(0o755))
			room.Create(ctx, box)
			room.EventuallyReady(ctx, box)
			run := room.Run(ctx, room.Exec("run", "box").Code(language, "the source").Arguments("an argument"))
			Expect(run.Status.Stdout.Head).To(MatchRegexp(want), testbed.StateOf(run))
			Expect(testbed.ExitCode(run)).To(BeEquivalentTo(3))
		},
		Entry("in Ruby", v1alpha1.LanguageRuby, "ruby", `echo "$@"; cat "$1"; exit 3`, `^/run/[^ ]*/code.rb an argument\nthe source$`),
		Entry("in TypeScript", v1alpha1.LanguageTypeScript, "tsx", `echo "$@"; cat "$1"; exit 3`,
			`^/run/[^ ]*/code.ts an argument\nthe source$`),
		Entry("in TypeScript by Deno", v1alpha1.LanguageTypeScript, "deno", `echo "$@"; exit 3`,
			`^run --allow-all /run/[^ ]*/code.ts an argument\n$`),
		Entry("in Go", v1alpha1.LanguageGo, "go",
			`[ "$1" = build ] && { printf '#!/bin/sh\necho built from '; cat "$4"; echo '; echo "$@"; exit 3'; } >"$3"; chmod +x "$3"`,
			`^built from the source\nan argument\n$`),
	)

	It("says that no backend of this provider has an interpreter of its own", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Run(ctx, room.Exec("run", "box").Code(v1alpha1.LanguagePython, "print(1)").Native())
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonUnsupported))
		Expect(testbed.StateOf(run)).To(ContainSubstring("leave out code.engine"))
	})

	It("says that the sandbox has no interpreter for the code", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Run(ctx, room.Exec("run", "box").Code(v1alpha1.LanguagePython, "print(1)").Env("PATH", "/no/programs"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(run.Status.Reason).To(Equal(v1alpha1.ReasonInterpreterMissing))
		Expect(testbed.StateOf(run)).To(And(ContainSubstring("The command was not run"), ContainSubstring("python3, python")))
		Expect(run.Status.ExitCode).To(BeNil())
	})

	It("gives 127 and the shell's words where the program does not exist", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Run(ctx, room.Exec("run", "box").Command("no-such-program", "-v"))
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeFailed), testbed.StateOf(run))
		Expect(testbed.ExitCode(run)).To(BeEquivalentTo(127))
		Expect(run.Status.Stderr.Head).To(And(ContainSubstring("no-such-program"), ContainSubstring("not found")))
		Expect(testbed.StateOf(run)).To(ContainSubstring("the program was not found in the sandbox"))
	})

	It("waits for a Secret that does not exist yet, and says so", func(ctx context.Context) {
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		run := room.Exec("run", "box").EnvFrom("TOKEN", builders.SecretKey("later", "token")).Command("true").StartDeadline(3).Obj()
		room.Create(ctx, run)
		room.EventuallyFinished(ctx, run)
		Expect(run.Status.Outcome).To(Equal(v1alpha1.OutcomeStartFailed), testbed.StateOf(run))
		Expect(testbed.StateOf(run)).To(And(
			ContainSubstring(`Secret "later" does not exist in namespace`), ContainSubstring("start deadline")))
	})
})
