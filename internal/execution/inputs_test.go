// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// everyByte is content of a length in which every byte stands, the awkward ones first.
func everyByte(length int) []byte {
	content := make([]byte, length)
	for i := range content {
		content[i] = byte((i + i/256) * 45)
	}
	copy(content, "-n %s\\n'\x00\xff\n")
	return content
}

func wantFile(t *testing.T, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Errorf("%s has %d bytes that are not the %d that were given", filepath.Base(path), len(got), len(content))
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != mode {
		t.Errorf("%s has the mode %s, want %s", filepath.Base(path), info.Mode(), mode)
	}
}

func TestInputsOfEveryLengthArriveByteForByte(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		dir := t.TempDir()
		program := Program{Argv: []string{"true"}}
		lengths := []int{0, 1, 4095, 4096, 4097, 16383, 16384, 16385, 1<<20 - 1, 1 << 20, 1<<20 + 1}
		path := func(length int) string { return filepath.Join(dir, fmt.Sprint(length)) }
		for _, length := range lengths {
			program.Inputs = append(program.Inputs, Input{Path: path(length), Content: everyByte(length), Mode: 0o640})
		}
		wantEnd(t, run.finish(t, program), 0, CauseExited)
		for _, length := range lengths {
			wantFile(t, path(length), everyByte(length), 0o640)
		}
	})
}

func TestContentThatLooksLikeAnOptionArrives(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		path := filepath.Join(t.TempDir(), "file")
		// A dash at the beginning, and one at the beginning of what is written next.
		content := append([]byte("---\nkind: List\n"), bytes.Repeat([]byte("-"), 9000)...)
		program := Program{
			Argv: []string{"cat"}, Stdin: []byte("-----BEGIN"), Inputs: []Input{{Path: path, Content: content, Mode: 0o644}},
		}
		wantOutput(t, wantEnd(t, run.finish(t, program), 0, CauseExited).Stdout, "-----BEGIN")
		wantFile(t, path, content, 0o644)
	})
}

func TestLongInputsStandardInputAndCodeComeTogether(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		dir := t.TempDir()
		program := Program{
			Stdin: everyByte(30_000),
			Code: &Code{
				Interpreters: []Interpreter{{Argv: []string{"sh"}}}, Extension: "sh",
				Source: "sha256sum; # " + strings.Repeat("x", 20_000) + "\ncat \"$1\"/short\n", Arguments: []string{dir},
			},
		}
		for i, length := range []int{20_000, 5, 40_000, 17_000} {
			program.Inputs = append(program.Inputs, Input{
				Path: filepath.Join(dir, fmt.Sprint(i)), Content: everyByte(length + i)[i:], Mode: 0o600,
			})
		}
		program.Inputs = append(program.Inputs, Input{Path: filepath.Join(dir, "short"), Content: []byte("short"), Mode: 0o600})
		end := wantEnd(t, run.finish(t, program), 0, CauseExited)
		sum := sha256.Sum256(program.Stdin)
		wantOutput(t, end.Stdout, hex.EncodeToString(sum[:])+"  -\nshort")
		for _, input := range program.Inputs {
			wantFile(t, input.Path, input.Content, 0o600)
		}
	})
}

func TestInputsHaveTheirModesAndMakeTheirDirectories(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		dir := filepath.Join(t.TempDir(), "a dir's", "-deep", "er")
		modes := []fs.FileMode{0, 0o400, 0o644, 0o755, 0o777}
		program := shellLine("stat -c %a " + "\"$0\"")
		program.Argv = append(program.Argv, dir)
		for _, mode := range modes {
			program.Inputs = append(program.Inputs, Input{Path: filepath.Join(dir, mode.String()), Content: []byte("x"), Mode: mode})
		}
		wantOutput(t, wantEnd(t, run.finish(t, program), 0, CauseExited).Stdout, "755\n")
		for _, mode := range modes {
			wantFile(t, filepath.Join(dir, mode.String()), []byte("x"), mode)
		}
		left, _ := filepath.Glob(filepath.Join(dir, ".*"))
		if len(left) > 0 {
			t.Errorf("%v was left behind", left)
		}
	})
}

func TestAnInputReplacesALinkAndNotWhatItLeadsTo(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		dir := t.TempDir()
		target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
		if err := os.WriteFile(target, []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		program := Program{Argv: []string{"true"}, Inputs: []Input{{Path: link, Content: []byte("new"), Mode: 0o644}}}
		wantEnd(t, run.finish(t, program), 0, CauseExited)
		wantFile(t, link, []byte("new"), 0o644)
		wantFile(t, target, []byte("untouched"), 0o600)
	})
}

func TestAnInputThatCantBePutInPlaceKeepsTheCommandFromRunning(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for i, c := range []struct{ path, why string }{
			{dir, "a directory is there"},
			{filepath.Join(file, "below"), "its directory can not be made"},
			{"/proc/no-such-file", "no permission, no space, or a read-only directory"},
		} {
			each, ran := run, filepath.Join(dir, "ran")
			each.Name += fmt.Sprintf(".%d", i)
			for _, content := range [][]byte{[]byte("s3cret"), bytes.Repeat([]byte("s3cret"), 5000)} {
				each.Name += "x"
				program := shellLine("echo >" + ran)
				program.Inputs, program.Stdin = []Input{{Path: c.path, Content: content, Mode: 0o644}}, []byte("s3cret")
				report := each.finish(t, program)
				if report.State != StateRefused || report.Reason != "InputFailed" || !strings.Contains(report.Message, c.path) ||
					!strings.Contains(report.Message, c.why) {
					t.Errorf("%s: got %+v", c.path, report)
				}
			}
			if _, err := os.Stat(ran); err == nil {
				t.Errorf("%s: the command ran", c.path)
			}
		}
		if left := grep(t, "s3cret", run.Sandbox.SpoolRoot()); left != "" {
			t.Errorf("secrets stay in the spool: %s", left)
		}
	})
}

func TestALongTextAtTheEndOfTheScriptIsNeverRun(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		ran := filepath.Join(t.TempDir(), "ran")
		line := "\necho >" + ran + "\n"
		program := Program{Argv: []string{"true"}, Stdin: []byte(strings.Repeat(line, 20_000/len(line)+1))}
		wantEnd(t, run.finish(t, program), 0, CauseExited)
		program.Argv = []string{"/"}
		again := run
		again.Name += ".directory"
		wantEnd(t, again.finish(t, program), 126, CauseExited)
		if _, err := os.Stat(ran); err == nil {
			t.Fatal("standard input was taken for a script")
		}
	})
}

func TestWhatIsTooLargeIsToldBeforeAnythingIsStarted(t *testing.T) {
	half := make([]byte, maxInputs/2)
	program := Program{Argv: []string{"true"}, Stdin: half, Inputs: []Input{{Path: "/a", Content: half}}}
	if err := program.Check(); err != nil {
		t.Errorf("16 MiB are refused: %v", err)
	}
	program.Inputs = append(program.Inputs, Input{Path: "/b", Content: []byte("x")})
	err := program.Check()
	if err == nil || !strings.Contains(err.Error(), "16777217 bytes together, and may be 16777216") {
		t.Errorf("got %v", err)
	}
	_, err = Run{Sandbox: shellless{}, Name: "x"}.Start(t.Context(), program)
	if err == nil || strings.Contains(err.Error(), "calling") {
		t.Errorf("it was handed on: %v", err)
	}
}

func TestSixteenMebibytesArrive(t *testing.T) {
	t.Parallel()
	run, dir := newRun(t, hostSandbox{shell: "/bin/sh"}), t.TempDir()
	content := everyByte(maxInputs / 4)
	program := Program{Argv: []string{"wc", "-c"}, Stdin: content}
	for i := range 3 {
		program.Inputs = append(program.Inputs, Input{Path: filepath.Join(dir, fmt.Sprint(i)), Content: content, Mode: 0o600})
	}
	run.mustStart(t, program)
	wantOutput(t, wantEnd(t, run.follow(t), 0, CauseExited).Stdout, fmt.Sprintln(len(content)))
	for _, input := range program.Inputs {
		wantFile(t, input.Path, content, 0o600)
	}
}
