// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func streamChecks() []Check {
	return []Check{
		{"returns every byte value of both streams, unchanged and apart", binaryStreams},
		{"returns 5 MiB of output", largeOutput},
		{"returns output without a final newline, and none where there is none", unfinishedOutput},
		{"keeps the order within streams that are written in turns", interleavedOutput},
		{"cuts each stream at its limit, says so, and lets the command go on", limitedOutput},
		{"does not call output cut that is just as long as the limit", outputOfTheLimit},
		{"gives a command its input to the last byte, then the end of file", standardInput},
		{"gives a command without input an end of file at once", noInput},
		{"ends a command that does not read its input", ignoredInput},
	}
}

// allBytes is every byte value, in an order that no text conversion leaves alone.
func allBytes() []byte {
	content := []byte("\r\n\r\x00\xff\xfe\xc3\x28\x1b[31m")
	for i := range 256 {
		content = append(content, byte(i))
	}
	return append(content, '\n', '\n')
}

// random returns the same random bytes at each run.
func random(size int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	content := make([]byte, size)
	_, _ = source.Read(content) // never fails
	return content
}

// wantBytes complains where two contents differ, without printing megabytes.
func (t *T) wantBytes(what string, got, want []byte) {
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %d bytes arrived of %d, and differ from byte %d: got %.40q, want %.40q", what, len(got), len(want), at,
		got[at:], want[at:])
}

func binaryStreams(t *T) {
	content := allBytes()
	for redirect, stream := range map[string]func(backends.Result) (stream, other []byte){
		"stdout": func(r backends.Result) ([]byte, []byte) { return r.Stdout, r.Stderr },
		"stderr": func(r backends.Result) ([]byte, []byte) { return r.Stderr, r.Stdout },
	} {
		command := scriptCommand(map[string]string{"stdout": "cat", "stderr": "cat >&2"}[redirect])
		command.Stdin = content
		got, other := stream(t.mustRun(t.remote(), command))
		t.wantBytes("binary "+redirect, got, content)
		if len(other) > 0 {
			t.Errorf("%s shows up on the other stream: %.40q", redirect, other)
		}
	}
}

func largeOutput(t *T) {
	const size = 5 << 20
	result := t.mustRun(t.remote(), scriptCommand("yes 0123456789abcde | head -c "+strconv.Itoa(size)))
	t.wantBytes("5 MiB of stdout", result.Stdout, bytes.Repeat([]byte("0123456789abcde\n"), size/16))
	if result.StdoutTruncated {
		t.Errorf("output below the limit is called truncated")
	}
}

func unfinishedOutput(t *T) {
	for _, text := range []string{"", "x", "no newline", "\n", "\n\n"} {
		result := t.mustRun(t.remote(), scriptCommand(`printf '%s' "$1"; printf '%s' "$1" >&2`, text))
		t.wantBytes("stdout", result.Stdout, []byte(text))
		t.wantBytes("stderr", result.Stderr, []byte(text))
	}
}

func interleavedOutput(t *T) {
	const lines = 2000
	result := t.mustRun(t.remote(), scriptCommand(
		`i=0; while [ $i -lt $1 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done`, strconv.Itoa(lines)))
	var stdout, stderr strings.Builder
	for i := range lines {
		stdout.WriteString("out " + strconv.Itoa(i) + "\n")
		stderr.WriteString("err " + strconv.Itoa(i) + "\n")
	}
	t.wantBytes("stdout, written in turns with stderr", result.Stdout, []byte(stdout.String()))
	t.wantBytes("stderr, written in turns with stdout", result.Stderr, []byte(stderr.String()))
}

func limitedOutput(t *T) {
	const limit, written = 1000, 2 << 20
	for _, stream := range []struct{ long, short string }{{"1", "2"}, {"2", "1"}} {
		command := scriptCommand(`{ yes 012345678 | head -c "$1"; } >&"$2"; echo end >&"$3"; exit 3`,
			strconv.Itoa(written), stream.long, stream.short)
		command.OutputLimit = limit
		result := t.run(t.remote(), command)
		long, short, cut, shortCut := result.Stdout, result.Stderr, result.StdoutTruncated, result.StderrTruncated
		if stream.long == "2" {
			long, short, cut, shortCut = short, long, shortCut, cut
		}
		t.wantBytes("output over the limit", long, bytes.Repeat([]byte("012345678\n"), limit/10))
		t.wantBytes("the other stream", short, []byte("end\n"))
		if !cut || shortCut {
			t.Errorf("the stream over its limit has truncated=%v, the other truncated=%v", cut, shortCut)
		}
		if result.ExitCode != 3 {
			t.Errorf("a command that writes more than the limit ends with %d, not with its own 3: it was disturbed", result.ExitCode)
		}
	}
}

func outputOfTheLimit(t *T) {
	command := scriptCommand("printf 0123456789; printf 01234567890 >&2")
	command.OutputLimit = 10
	result := t.mustRun(t.remote(), command)
	if string(result.Stdout) != "0123456789" || result.StdoutTruncated {
		t.Errorf("output of exactly the limit is %q, truncated=%v", result.Stdout, result.StdoutTruncated)
	}
	if string(result.Stderr) != "0123456789" || !result.StderrTruncated {
		t.Errorf("output of one byte more than the limit is %q, truncated=%v", result.Stderr, result.StderrTruncated)
	}
}

func standardInput(t *T) {
	for _, content := range [][]byte{random(1 << 20), []byte("no newline"), []byte("\n"), {0}, {4}} {
		result := t.mustRun(t.remote(), backends.Command{Argv: []string{"cat"}, Stdin: content})
		t.wantBytes("standard input", result.Stdout, content)
	}
}

func noInput(t *T) {
	for _, content := range [][]byte{nil, {}} {
		result := t.mustRun(t.remote(), backends.Command{Argv: []string{"cat"}, Stdin: content, Timeout: t.Overhead})
		if len(result.Stdout) > 0 {
			t.Errorf("a command without input read %q", result.Stdout)
		}
	}
}

func ignoredInput(t *T) {
	for _, script := range []string{"exit 5", "head -c 1 > /dev/null; exit 5", "exec < /dev/null; exit 5"} {
		command := scriptCommand(script)
		command.Stdin = random(1 << 20)
		if result := t.run(t.remote(), command); result.ExitCode != 5 {
			t.Errorf("%q with input that it does not read ends with %d, not 5", script, result.ExitCode)
		}
	}
}
