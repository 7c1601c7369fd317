// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// attachedSandbox answers calls as told, and remembers them in order.
type attachedSandbox struct {
	result  backends.Result
	rich    []backends.RichResult
	err     error
	write   error
	calls   []string
	command backends.Command
	code    backends.SourceCode
}

func (a *attachedSandbox) RunCommand(_ context.Context, command backends.Command) (backends.Result, error) {
	a.calls, a.command = append(a.calls, "command"), command
	return a.result, a.err
}

func (a *attachedSandbox) RunCode(_ context.Context, code backends.SourceCode) (backends.CodeResult, error) {
	a.calls, a.code = append(a.calls, "code"), code
	return backends.CodeResult{Result: a.result, Rich: a.rich}, a.err
}

func (a *attachedSandbox) WriteFile(_ context.Context, path string, content []byte, mode fs.FileMode) error {
	a.calls = append(a.calls, fmt.Sprintf("write %s %s %s", path, content, mode))
	return a.write
}

var keepSome = Keep{Head: 4, Tail: 2}

func TestAnAttachedCommandHasAllThatItsProgramSays(t *testing.T) {
	sandbox := &attachedSandbox{result: backends.Result{ExitCode: 7, Stdout: []byte("0123456789"), Stderr: []byte("e")}}
	program := Program{
		Argv: []string{"a", "b"}, WorkingDir: "/w", Env: map[string]string{"K": "V"}, Stdin: []byte("in"), Timeout: time.Minute,
		SecretsDigest: "given", Inputs: []Input{
			{Path: "/i", Content: []byte("x"), Mode: 0o600}, {Path: "/j", Content: []byte("y"), Mode: 0o755},
		},
	}
	end, rich, err := Attach(t.Context(), sandbox, program, keepSome, Keep{})
	if err != nil || rich != nil {
		t.Fatalf("got %v, %v", rich, err)
	}
	if want := []string{"write /i x -rw-------", "write /j y -rwxr-xr-x", "command"}; !reflect.DeepEqual(sandbox.calls, want) {
		t.Errorf("the calls were %q, want %q", sandbox.calls, want)
	}
	c := sandbox.command
	if !reflect.DeepEqual(c.Argv, program.Argv) || c.WorkingDir != "/w" || c.Env["K"] != "V" || string(c.Stdin) != "in" ||
		c.Timeout != time.Minute {
		t.Errorf("the command was %+v", c)
	}
	if end.ExitCode != 7 || end.Cause != CauseExited || end.SecretsDigest != "given" {
		t.Errorf("the end is %+v", end)
	}
	out := end.Stdout
	if string(out.Head) != "0123" || string(out.Tail) != "89" || !out.Truncated || out.Bytes != 10 || len(out.SHA256) != 64 {
		t.Errorf("stdout is %+v", out)
	}
	if !end.Stderr.Truncated || end.Stderr.Bytes != 1 || len(end.Stderr.Head) > 0 {
		t.Errorf("stderr is %+v", end.Stderr)
	}
}

func TestAttachedCodeBringsItsRichResults(t *testing.T) {
	sandbox := &attachedSandbox{rich: []backends.RichResult{{Name: "plot"}}}
	program := Program{
		Code: &Code{Language: "python", Source: "1"}, WorkingDir: "/w", Env: map[string]string{"K": "V"}, Timeout: time.Minute,
	}
	_, rich, err := Attach(t.Context(), sandbox, program, keepSome, keepSome)
	if err != nil || len(rich) != 1 || rich[0].Name != "plot" {
		t.Fatalf("got %v, %v", rich, err)
	}
	c := sandbox.code
	if c.Language != "python" || c.Source != "1" || c.WorkingDir != "/w" || c.Env["K"] != "V" || c.Timeout != time.Minute {
		t.Errorf("the code was %+v", c)
	}
}

func TestAnAttachedTimeoutIsTold(t *testing.T) {
	sandbox := &attachedSandbox{result: backends.Result{TimedOut: true, ExitCode: 137, Stdout: []byte("so far"), StdoutTruncated: true}}
	end, _, err := Attach(t.Context(), sandbox, shellLine("x"), Keep{Head: 100}, keepSome)
	if err != nil || end.Cause != CauseTimedOut || string(end.Stdout.Head) != "so far" || !end.Stdout.Truncated || end.Stdout.SHA256 != "" {
		t.Fatalf("got %+v, %v", end, err)
	}
}

func TestOnlyErrorsThatPromiseItSayThatNothingWasStarted(t *testing.T) {
	for code, notStarted := range map[backends.Code]bool{
		backends.NotFound: true, backends.NotRunning: true, backends.Invalid: true, backends.Unsupported: true, backends.Unauthorized: true,
		backends.RateLimited: true, backends.Unavailable: false, backends.Ambiguous: false,
	} {
		sandbox := &attachedSandbox{err: backends.Errorf(code, "memory", "run", "no")}
		_, _, err := Attach(t.Context(), sandbox, shellLine("x"), keepSome, keepSome)
		if errors.Is(err, ErrNotStarted) != notStarted || !errors.Is(err, code) {
			t.Errorf("%s: got %v", code, err)
		}
	}
	_, _, err := Attach(t.Context(), &attachedSandbox{err: context.Canceled}, shellLine("x"), keepSome, keepSome)
	if errors.Is(err, ErrNotStarted) {
		t.Error("a call that was cut is no proof")
	}
}

func TestAnInputThatCantBeWrittenKeepsAnAttachedProgramFromRunning(t *testing.T) {
	sandbox := &attachedSandbox{write: &fs.PathError{Op: "write", Path: "/i", Err: fs.ErrPermission}}
	program := shellLine("x")
	program.Inputs = []Input{{Path: "/i"}}
	_, _, err := Attach(t.Context(), sandbox, program, keepSome, keepSome)
	if !errors.Is(err, ErrNotStarted) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "/i") ||
		len(sandbox.calls) != 1 {
		t.Fatalf("got %v after %q", err, sandbox.calls)
	}
}
