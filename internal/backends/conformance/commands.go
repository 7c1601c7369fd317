// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func commandChecks() []Check {
	return []Check{
		{"passes on exit codes", exitCodes},
		{"gives 127 and words for a program that does not exist", missingProgram},
		{"gives 128 + n for a command that signal n killed", signals},
		{"passes on arguments as they are", arguments},
		{"passes on the environment as it is, and nothing of the operator's own", environment},
		{"runs commands in the directory that they name", workingDirectory},
		{"never runs a command elsewhere when its directory is missing", missingDirectory},
		{"never runs a command as another user than it names", unknownUser},
		{"refuses an empty command", emptyCommand},
	}
}

func exitCodes(t *T) {
	for _, code := range []int{0, 1, 42, 126, 255} {
		result := t.run(t.remote(), scriptCommand(fmt.Sprintf("exit %d", code)))
		if result.ExitCode != code || result.TimedOut {
			t.Errorf("a command that exits with %d has exit code %d (timed out: %v)", code, result.ExitCode, result.TimedOut)
		}
	}
}

func missingProgram(t *T) {
	for _, program := range []string{"conformance-no-such-program", "/nowhere/program", "./program"} {
		result := t.run(t.remote(), backends.Command{Argv: []string{program, "argument"}})
		if result.ExitCode != 127 {
			t.Errorf("%s, which does not exist, has exit code %d; it must be 127", program, result.ExitCode)
		}
		if strings.TrimSpace(string(result.Stderr)) == "" {
			t.Errorf("%s, which does not exist, says nothing on stderr: the user must guess", program)
		}
		if len(result.Stdout) > 0 {
			t.Errorf("%s, which does not exist, says %q on stdout", program, result.Stdout)
		}
	}
}

func signals(t *T) {
	for name, number := range map[string]int{"TERM": 15, "KILL": 9, "ABRT": 6} {
		result := t.run(t.remote(), scriptCommand("echo before; kill -"+name+" $$; sleep 60"))
		if result.ExitCode != 128+number {
			t.Errorf("a command killed by SIG%s has exit code %d, not %d", name, result.ExitCode, 128+number)
		}
		if string(result.Stdout) != "before\n" {
			t.Errorf("the output of a command killed by SIG%s is %q: what it wrote before is lost", name, result.Stdout)
		}
	}
}

// eachOnItsOwn joins words as the scripts of this file print them.
func eachOnItsOwn(words []string) string { return strings.Join(words, "\x00") + "\x00" }

func arguments(t *T) {
	if output := t.shell(t.remote(), `for word; do printf '%s\0' "$word"; done`, awkward...); output != eachOnItsOwn(awkward) {
		t.Errorf("arguments %q arrive as %q", awkward, strings.Split(output, "\x00"))
	}
	long := strings.Repeat("x", 100_000)
	if output := t.shell(t.remote(), `printf '%s' "$1"`, long); output != long {
		t.Errorf("an argument of %d bytes arrives as one of %d", len(long), len(output))
	}
	direct := t.mustRun(t.remote(), backends.Command{Argv: []string{"printf", "%s %s", "a  b", "$HOME;"}})
	if string(direct.Stdout) != "a  b $HOME;" {
		t.Errorf("a program that is started without shell prints %q: a shell saw its arguments", direct.Stdout)
	}
}

func environment(t *T) {
	const leak = "CONFORMANCE_OPERATOR_SECRET"
	if err := os.Setenv(leak, "leaked"); err != nil {
		t.Fatalf("setting the test's environment: %v", err)
	}
	defer func() { _ = os.Unsetenv(leak) }()
	command := scriptCommand("")
	command.Env = map[string]string{}
	var script strings.Builder
	script.WriteString("printf '%s\\0'")
	for i, word := range awkward {
		name := fmt.Sprintf("CONFORMANCE_%d", i)
		command.Env[name] = word
		fmt.Fprintf(&script, ` "${%s-unset}"`, name)
	}
	fmt.Fprintf(&script, ` "${%s-unset}"`, leak)
	command.Argv[2] = script.String()
	output := string(t.mustRun(t.remote(), command).Stdout)
	want := eachOnItsOwn(append(append([]string{}, awkward...), "unset"))
	if strings.Contains(output, "leaked") {
		t.Errorf("the operator's own environment reaches the sandbox, with all its secrets")
	} else if output != want {
		t.Errorf("the environment %q arrives as %q", awkward, strings.Split(output, "\x00"))
	}
}

func workingDirectory(t *T) {
	first, second := t.shell(t.remote(), "pwd"), t.shell(t.remote(), "pwd")
	if first != second || !strings.HasPrefix(first, "/") {
		t.Errorf("commands that name no directory start in %q, then in %q", first, second)
	}
	dir := path.Join(t.scratch(t.remote()), `it's a "dir" $HOME`)
	t.mustRun(t.remote(), backends.Command{Argv: []string{"mkdir", dir}})
	result := t.mustRun(t.remote(), backends.Command{Argv: []string{"pwd"}, WorkingDir: dir})
	if string(result.Stdout) != dir+"\n" {
		t.Errorf("a command in directory %q prints %q as its directory", dir, result.Stdout)
	}
}

func missingDirectory(t *T) {
	command := backends.Command{Argv: []string{"echo", "ran"}, WorkingDir: path.Join(t.scratch(t.remote()), "absent")}
	result, err := t.Backend.RunCommand(t.ctx, t.remote(), command)
	if err != nil {
		t.wantCode("a command in a missing directory", err, backends.Invalid)
		return
	}
	if len(result.Stdout) > 0 || result.ExitCode == 0 {
		t.Errorf("a command whose directory is missing ran all the same, somewhere else: %+v", result)
	}
	if strings.TrimSpace(string(result.Stderr)) == "" {
		t.Errorf("a command whose directory is missing failed without a word")
	}
}

func unknownUser(t *T) {
	command := backends.Command{Argv: []string{"echo", "ran"}, User: "conformance-nobody"}
	result, err := t.Backend.RunCommand(t.ctx, t.remote(), command)
	if err != nil {
		if code := backends.CodeOf(err); code != backends.Invalid && code != backends.Unsupported {
			t.Errorf("a command of an unknown user failed with %s (%v); it must be Invalid or Unsupported", code, err)
		}
		t.wantTyped("a command of an unknown user", err)
		return
	}
	if len(result.Stdout) > 0 || result.ExitCode == 0 {
		t.Errorf("a command of an unknown user ran all the same, as somebody else")
	}
}

func emptyCommand(t *T) {
	for _, argv := range [][]string{nil, {}, {""}} {
		result, err := t.Backend.RunCommand(t.ctx, t.remote(), backends.Command{Argv: argv})
		if err == nil && result.ExitCode == 0 {
			t.Errorf("the command %q succeeded", argv)
		}
	}
}
