// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// script is one command as the text that a POSIX shell evaluates in the sandbox, with nothing but coreutils or BusyBox.
type script struct {
	command backends.Command
	// word frames what the script prints, and names its files. Nobody else knows it.
	word  string
	limit int64
}

func newScript(command backends.Command) script {
	limit := command.OutputLimit
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	return script{command: command, word: rand.Text(), limit: limit}
}

// mostInline is how much input goes along with the script, in bytes. It is small enough to be read by a shell as fast as a call takes.
const mostInline = 128 << 10

// uploads says that the input is sent beforehand.
func (s script) uploads() bool { return len(s.command.Stdin) > mostInline }

// base is what the names of its files begin with.
func (s script) base() string { return "/tmp/.sandboxes.run-call-" + s.word }

// uploaded is where input is sent to. The toolbox makes the directory, which is not for everybody.
func (s script) uploaded() string { return s.base() + "/in" }

// markerVariable is in the environment of a command with a deadline, and of all that it starts. The runner of long commands takes
// it off what shall live on.
const markerVariable = "SANDBOXES_RUN_CALL"

// prelude makes the files, and defines refuse WHY, which ends a script whose command was certainly not started. Variables of ours are
// not exported, and what the command exports comes after their last use. Each program that is started here costs a short command a
// millisecond or more: there is none.
const prelude = `for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do unset "` + textVariable + `$n"; done
word=%[1]s d=%[2]s
refuse() { rm -rf "$d" "$d".*; printf '\n%%s refused %%s\n%%s\n' "$word" "$1" "$word"; exit 0; }
umask 077
command -v base64 >/dev/null 2>&1 && command -v head >/dev/null 2>&1 || refuse tools
{ printf '' >"$d.out" && printf '' >"$d.err"; } 2>/dev/null || refuse directory
`

// launch is a function that becomes the command, in a subshell. It looks for the program as the command's own environment has it.
const launch = `launch() {
	unset OLDPWD
	case $1 in
	*/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac || { printf 'sh: %s: not found\n' "$1" >&2; exit 127; }
	exec $through "$@"
}
`

// reply prints how the command ended, then both streams. Nobody waits for the files to go.
const reply = `printf '\n%%s ended %%s %%s\n' "$word" "$code" "$timedout"
for stream in out err; do
	[ ! -s "$d.$stream" ] || head -c %[1]d "$d.$stream" | base64
	printf '%%s\n' "$word"
done
rm -rf "$d" "$d".* </dev/null >/dev/null 2>&1 &
`

// text is the whole.
func (s script) text() string {
	var t strings.Builder
	fmt.Fprintf(&t, prelude, s.word, backends.Quote(s.base()))
	s.writeUser(&t)
	s.writeDirectory(&t)
	input := s.writeInput(&t)
	t.WriteString("code=0 timedout=0 through=\n" + launch + "set --")
	for _, argument := range s.command.Argv {
		t.WriteString(" " + backends.Quote(argument))
	}
	streams := ` <` + input + ` >"$d.out" 2>"$d.err"`
	if s.command.Timeout > 0 {
		s.writeWatched(&t, streams)
	} else {
		fmt.Fprintf(&t, "\n(\numask 022\n%slaunch \"$@\"\n)%s\ncode=$?\n", s.exports(), streams)
	}
	// One byte more than allowed tells a stream that is too long from one that just fits.
	fmt.Fprintf(&t, reply, s.limit+1)
	return t.String()
}

// writeUser refuses another user than the sandbox's: the toolbox knows no other.
func (s script) writeUser(t *strings.Builder) {
	if user := s.command.User; user != "" {
		fmt.Fprintf(t, "[ \"$(id -un)\" = %[1]s ] || [ \"$(id -u)\" = %[1]s ] || refuse user\n", backends.Quote(user))
	}
}

// enterOwn enters the sandbox's own directory, which a variable names.
const enterOwn = `if [ -n "${%[1]s-}" ]; then
	(umask 022 && mkdir -p -- "$%[1]s") 2>/dev/null
	cd -- "$%[1]s" 2>/dev/null || refuse cwd
fi
`

// writeDirectory enters the command's directory, or else the sandbox's, which is made where it is missing.
func (s script) writeDirectory(t *strings.Builder) {
	if dir := s.command.WorkingDir; dir != "" {
		fmt.Fprintf(t, "cd -- %s 2>/dev/null || refuse cwd\n", backends.Quote(dir))
	} else {
		fmt.Fprintf(t, enterOwn, workingDirVariable)
	}
	fmt.Fprintf(t, "unset %s\n", workingDirVariable)
}

// writeInput puts standard input in place, and returns where the command finds it.
func (s script) writeInput(t *strings.Builder) string {
	switch {
	case len(s.command.Stdin) == 0:
		return "/dev/null"
	case s.uploads():
		fmt.Fprintf(t, "[ \"$(wc -c <\"$d/in\")\" -eq %d ] || refuse input\n", len(s.command.Stdin))
		return `"$d/in"`
	default:
		fmt.Fprintf(t, "printf %%s %s | base64 -d >\"$d.in\" || refuse input\n", base64.StdEncoding.EncodeToString(s.command.Stdin))
		return `"$d.in"`
	}
}

// exports sets the command's environment. Some shells have variables that nobody may set: with "command" that is no end of the script.
func (s script) exports() string {
	var t strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.command.Env)) {
		fmt.Fprintf(&t, "command export %s=%s\n", name, backends.Quote(s.command.Env[name]))
	}
	return t.String()
}

// watched runs the command in a session of its own, with a process beside it that kills its tree when the time is over.
const watched = `
through=$(command -v setsid)
( umask 022
%[1]sexport %[2]s=%[3]s
launch "$@" )%[4]s &
pid=$!
session=${through:+$pid}
(
	trap 'kill -s KILL "$!" 2>/dev/null; exit 0' TERM
	sleep %[5]s &
	wait "$!"
	trap '' TERM
	printf '' >"$d.timedout"
	tries=0
	while kill_tree KILL %[2]s=%[3]s "$session" && [ "$tries" -lt 200 ]; do tries=$((tries + 1)); done
	[ -n "$session" ] || kill -s KILL "$pid"
) </dev/null >/dev/null 2>&1 &
dog=$!
wait "$pid"
code=$?
if [ -e "$d.timedout" ]; then
	timedout=1
	wait "$dog"
else
	kill "$dog" 2>/dev/null
fi
`

func (s script) writeWatched(t *strings.Builder, streams string) {
	t.WriteString("\n" + strings.TrimSpace(backends.KillTreeFunction))
	timeout := s.command.Timeout
	pause := strconv.FormatInt(int64((timeout+time.Second-1)/time.Second), 10)
	if timeout%time.Second != 0 {
		// Not every sleep knows fractions.
		fmt.Fprintf(t, "\npause=%s\n! sleep 0.001 2>/dev/null || pause=%.3f\n", pause, timeout.Seconds())
		pause = `"$pause"`
	}
	fmt.Fprintf(t, watched, s.exports(), markerVariable, s.word, streams, pause)
}

// refusals are what the script may say instead of starting the command.
var refusals = map[string]struct {
	code backends.Code
	text string
}{
	"tools":     {backends.Unavailable, "the sandbox has no base64 and head: use an image with coreutils or BusyBox"},
	"directory": {backends.Unavailable, "/tmp of the sandbox can't be written to: it is full or read-only"},
	"input":     {backends.Unavailable, "the input did not arrive whole: /tmp of the sandbox may be full"},
	"user":      {backends.Unsupported, "Daytona runs commands as the sandbox's own user only: set user in the Sandbox's spec"},
	"cwd":       {backends.Invalid, "the working directory does not exist in the sandbox, or can't be entered"},
}

// result reads what the script printed. What stands before it is the toolbox's shell's own.
func (s script) result(exitCode int, printed string) (backends.Result, error) {
	_, framed, found := strings.Cut(printed, "\n"+s.word+" ")
	first, rest, _ := strings.Cut(framed, "\n")
	words := strings.Fields(first)
	switch {
	case found && len(words) == 2 && words[0] == "refused":
		why := refusals[words[1]]
		if why.code == "" {
			break
		}
		return backends.Result{}, aboutOne(backends.Errorf(why.code, Name, operationRun, "%s", why.text))
	case found && len(words) == 3 && words[0] == "ended":
		return s.ended(words, rest)
	case exitCode == 127 || exitCode == 126:
		return backends.Result{}, backends.Errorf(backends.Invalid, Name, operationRun, "the sandbox has no /bin/sh that works")
	}
	return backends.Result{}, aboutOne(backends.Errorf(backends.Ambiguous, Name, operationRun,
		"the command's shell in the sandbox was killed before it could tell how the command ended"))
}

func notWhole() error {
	return aboutOne(backends.Errorf(backends.Ambiguous, Name, operationRun, "the command's output did not arrive whole"))
}

func (s script) ended(words []string, rest string) (backends.Result, error) {
	streams := strings.Split(rest, s.word+"\n")
	code, err := strconv.Atoi(words[1])
	if err != nil || len(streams) < 3 {
		return backends.Result{}, notWhole()
	}
	result := backends.Result{ExitCode: code, TimedOut: words[2] == "1"}
	for i, stream := range []struct {
		content *[]byte
		cut     *bool
	}{{&result.Stdout, &result.StdoutTruncated}, {&result.Stderr, &result.StderrTruncated}} {
		content, err := base64.StdEncoding.DecodeString(streams[i])
		if err != nil {
			return backends.Result{}, notWhole()
		}
		*stream.cut = int64(len(content)) > s.limit
		*stream.content = bytes.Clone(content[:min(int64(len(content)), s.limit)])
	}
	return result, nil
}
