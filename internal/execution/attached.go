// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// AttachedSandbox is where a program runs within one call: nothing of it survives who calls, so it runs once at most, and when
// the caller dies its outcome is not known.
type AttachedSandbox interface {
	// RunCommand is that of backends.Backend, for one remote and without a bound of its own on the time.
	RunCommand(ctx context.Context, command backends.Command) (backends.Result, error)
	// RunCode is that of backends.CodeRunner, likewise; Unsupported where the backend is none.
	RunCode(ctx context.Context, code backends.SourceCode) (backends.CodeResult, error)
	// WriteFile is that of package backends.
	WriteFile(ctx context.Context, path string, content []byte, mode fs.FileMode) error
}

// ErrNotStarted is joined to errors after which the program certainly did not start.
var ErrNotStarted = errors.New("the program was not started")

type nameKey struct{}

// WithName gives an attached call the name of its run, which a run with a fence has by Run.Name.
func WithName(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, nameKey{}, name)
}

// NameOf returns the name of the run that an attached call is of, for sandboxes that run nothing and want to know whose code it is
// (pkg/sandboxtest); empty where the call has none.
func NameOf(ctx context.Context) string {
	name, _ := ctx.Value(nameKey{}).(string)
	return name
}

// attachedOutput bounds each stream of an attached run, in bytes.
const attachedOutput = 1 << 20

// Attach puts the inputs in place, runs the program within one call, and waits for its end. The rest of its streams beyond 1 MiB
// is lost, and not counted.
func Attach(ctx context.Context, sandbox AttachedSandbox, program Program, stdout, stderr Keep) (*End, []backends.RichResult, error) {
	for _, input := range program.Inputs {
		if err := sandbox.WriteFile(ctx, input.Path, input.Content, input.Mode); err != nil {
			return nil, nil, fmt.Errorf("%w: input %s: %w", ErrNotStarted, input.Path, err)
		}
	}
	began := time.Now()
	result, rich, err := attach(ctx, sandbox, program)
	if err != nil {
		if certainlyNotStarted(err) {
			err = errors.Join(ErrNotStarted, err)
		}
		return nil, nil, err
	}
	end := &End{
		ExitCode: result.ExitCode, Cause: CauseExited, Duration: time.Since(began), SecretsDigest: program.SecretsDigest,
		Stdout: streamOf(result.Stdout, result.StdoutTruncated, stdout), Stderr: streamOf(result.Stderr, result.StderrTruncated, stderr),
	}
	if result.TimedOut {
		end.Cause = CauseTimedOut
	}
	return end, rich, nil
}

func attach(ctx context.Context, sandbox AttachedSandbox, program Program) (backends.Result, []backends.RichResult, error) {
	if program.Code != nil {
		result, err := sandbox.RunCode(ctx, backends.SourceCode{
			Language: program.Code.Language, Source: program.Code.Source, WorkingDir: program.WorkingDir, Env: program.Env,
			Timeout: program.Timeout, OutputLimit: attachedOutput,
		})
		return result.Result, result.Rich, err
	}
	result, err := sandbox.RunCommand(ctx, backends.Command{
		Argv: program.Argv, WorkingDir: program.WorkingDir, Env: program.Env, Stdin: program.Stdin, Timeout: program.Timeout,
		OutputLimit: attachedOutput,
	})
	return result, nil, err
}

// certainlyNotStarted says what RunCommand and RunCode promise of their errors.
func certainlyNotStarted(err error) bool {
	switch backends.CodeOf(err) {
	case backends.NotFound, backends.NotRunning, backends.Invalid, backends.Unsupported, backends.Unauthorized, backends.RateLimited:
		return true
	default:
		return false
	}
}

// streamOf keeps beginning and end of what a call returned.
func streamOf(output []byte, truncated bool, keep Keep) Stream {
	s := Stream{Bytes: int64(len(output)), Head: output, Truncated: truncated}
	if !truncated {
		sum := sha256.Sum256(output)
		s.SHA256 = hex.EncodeToString(sum[:])
	}
	return s.Within(keep)
}
