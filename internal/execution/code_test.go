// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programsIn makes a directory of programs, each a script of sh, and returns a PATH that begins with it.
func programsIn(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir + ":" + os.Getenv("PATH")
}

func grep(t *testing.T, text, dir string) string {
	t.Helper()
	out, _ := exec.CommandContext(t.Context(), "grep", "-rl", text, dir).Output()
	return string(out)
}

func TestArgumentsOfCodeArriveUnchanged(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		program := Program{Code: &Code{
			Interpreters: []Interpreter{{Argv: []string{"sh", "-u"}}}, Extension: "sh",
			Source: "printf '%s|' \"$#\" \"$@\"", Arguments: []string{"a b", "", "it's", "$HOME", "-x", "a\nb"},
		}}
		wantOutput(t, wantEnd(t, run.finish(t, program), 0, CauseExited).Stdout, "6|a b||it's|$HOME|-x|a\nb|")
	})
}

func TestAnInterpreterThatFailsItsCheckIsPassedOver(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		program := Program{
			Env: map[string]string{"PATH": programsIn(t, map[string]string{
				// One that prints, and one that reads, while it is only being checked.
				"old": `[ "$1" != --check ] || { echo checked; echo checked >&2; exit 1; }; echo old`,
				"new": `[ "$1" != --check ] || { cat >/dev/null; exit 0; }; cat; echo "new $#"`,
			})},
			Stdin: []byte("input "),
			Code: &Code{Extension: "x", Source: "x", Interpreters: []Interpreter{
				{Argv: []string{"missing"}, Check: []string{"true"}},
				{Argv: []string{"old"}, Check: []string{"old", "--check"}},
				{Argv: []string{"new", "--flag"}, Check: []string{"new", "--check"}},
			}},
		}
		end := wantEnd(t, run.finish(t, program), 0, CauseExited)
		wantOutput(t, end.Stdout, "input new 2\n")
		wantOutput(t, end.Stderr, "")
	})
}

// typeScript is what package controller has for it.
var typeScript = []Interpreter{
	{Argv: []string{"tsx"}}, {Argv: []string{"bun", "run"}}, {Argv: []string{"deno", "run", "--allow-all"}},
	{Argv: []string{"node", "--experimental-strip-types"}, Check: []string{"node", "--experimental-strip-types", "--eval", "0"}},
}

func TestTheFirstInterpreterOfSeveralIsTaken(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		there := map[string]string{}
		// From the last to the first: each that appears is preferred to those after it.
		for i, name := range []string{"node", "deno", "bun", "tsx"} {
			there[name] = `[ "$2" != --eval ] || exit 0; printf '%s ' ` + name + ` "$1"; shift; printf '%s ' "${1##*.}"`
			each := run
			each.Name += fmt.Sprintf(".%d", i)
			program := Program{
				Env:  map[string]string{"PATH": programsIn(t, there) + ":/usr/bin:/bin"},
				Code: &Code{Extension: "ts", Source: "x", Interpreters: typeScript, Arguments: []string{"a.arg"}},
			}
			// Programs of this machine do not come before the test's own, but may stand where it has none yet.
			end := wantEnd(t, each.finish(t, program), 0, CauseExited)
			if got := string(end.Stdout.Head); !strings.HasPrefix(got, name+" ") {
				t.Errorf("with %s, %q ran", name, got)
			}
		}
	})
}

func TestWhatIsBuiltIsRunWithItsOwnExitCode(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		build := func(name string) Report {
			each := run
			each.Name += "." + name
			return each.finish(t, Program{
				// It "builds" a program that prints its arguments and its source.
				Env: map[string]string{"PATH": programsIn(t, map[string]string{"go": `
[ "$*" = "build -o $3 $4" ] || exit 99
case $4 in *.go) ;; *) exit 98 ;; esac
grep -q broken "$4" && { echo "$4:1: broken" >&2; exit 1; }
{ echo '#!/bin/sh'; echo "cat <<'END'"; cat "$4"; echo; echo END; echo 'printf "%s|" "$@"; cat; exit 42'; } >"$3"
chmod 700 "$3"`})},
				Stdin: []byte("input"),
				Code: &Code{
					Extension: "go", Source: name, Interpreters: []Interpreter{{Argv: []string{"go", "build", "-o"}, Builds: true}},
					Arguments: []string{"a b", "c"},
				},
			})
		}
		wantOutput(t, wantEnd(t, build("sound"), 42, CauseExited).Stdout, "sound\na b|c|input")
		end := wantEnd(t, build("broken"), 1, CauseExited)
		if !bytes.Contains(end.Stderr.Head, []byte("code.go:1: broken")) {
			t.Errorf("the compiler's words are lost: %q", end.Stderr.Head)
		}
		left, _ := filepath.Glob(filepath.Join(run.Sandbox.SpoolRoot(), run.Name+".*", "code.*"))
		if len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	})
}

func TestATracebackComesBackUnharmed(t *testing.T) {
	if _, err := exec.LookPath("perl"); err != nil {
		t.Skip("perl is not on this machine")
	}
	inEveryShell(t, func(t *testing.T, run Run) {
		program := Program{Code: &Code{
			Interpreters: []Interpreter{{Argv: []string{"perl"}}}, Extension: "pl", Source: "sub f {\n  die 'no \"way\" \\ % ü'\n}\nf();\n",
		}}
		end := wantEnd(t, run.finish(t, program), 255, CauseExited)
		want := "no \"way\" \\ % ü at " + filepath.Join(run.Sandbox.SpoolRoot(), run.Name, "code.pl") + " line 2.\n"
		wantOutput(t, end.Stderr, want)
	})
}
