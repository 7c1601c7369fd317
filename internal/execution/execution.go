// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package execution starts, follows, cancels and collects one run of a command in a sandbox, with RunCommand alone, so
// that whoever calls it may be killed at any instruction: the command goes on, is not started again, and its whole result
// can be read later by somebody else.
//
// A run is known by its name. Its fence is the directory of that name under the spool root: who makes it may start the
// command, once and for ever. The files in it are the spool. A small shell program, the runner (runner.sh), does all of
// this inside the sandbox; this package writes what it is to run (script.go), calls it, reads what it reports (report.go), and
// collects the files that are wanted of it (collect.go). Where there is no shell, a program runs within one call
// (attached.go).
//
// Every call is safe to repeat. Start of a run that was started before only looks.
package execution

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Sandbox is where commands run: one remote, behind the door of its provider.
type Sandbox interface {
	// RunCommand is that of backends.Backend, for one remote.
	RunCommand(ctx context.Context, command backends.Command) (backends.Result, error)
	// SpoolRoot is the directory in the remote for fences and spools.
	SpoolRoot() string
}

// Patience is how long Start waits for the end of the command, so that a short one costs a single call.
const Patience = time.Second

// Program is what to run.
type Program struct {
	// Argv is the program and its arguments; empty where Code is set.
	Argv []string
	// Code is source text; nil where Argv is set.
	Code *Code
	// WorkingDir is absolute; empty means the sandbox's own.
	WorkingDir string
	// Env is exported to the program. Names are those that a shell can export.
	Env map[string]string
	// Stdin is what the program reads.
	Stdin []byte
	// Inputs are put in place before the program starts.
	Inputs []Input
	// Timeout ends the program with all that it started; whole seconds, 0 = none.
	Timeout time.Duration
	// SecretsDigest is kept with the spool and comes back with the result. It says which values of Secrets the program was
	// given, so that who reads the result knows whether it can redact them.
	SecretsDigest string
}

// Input is a file that is put into the sandbox before the program starts.
type Input struct {
	// Path is absolute and clean.
	Path string
	// Content is its bytes, and Mode its permission bits.
	Content []byte
	Mode    fs.FileMode
}

// Code is source text with the interpreters that can run it.
type Code struct {
	// Language is what a provider's own interpreter calls it.
	Language string
	// Interpreters are what may run it, the preferred first: the first whose program the sandbox has is used.
	Interpreters []Interpreter
	// Extension of the file that holds the source, without a dot; never empty.
	Extension string
	// Source is the text.
	Source string
	// Arguments stand after the path of the file.
	Arguments []string
}

// Interpreter is a program that runs source text.
type Interpreter struct {
	// Argv is the program with its arguments; the path of the source is appended.
	Argv []string
	// Check is a command that succeeds where the program can run this language; empty where it is enough that it exists.
	Check []string
	// Builds says that it makes a program of the source, which is run then: the path of that is appended before the source's.
	Builds bool
}

// FilesDigest is the name of the file under the spool root that says which values of Secrets stand in files of the sandbox.
// Who puts them there writes it, and every End brings it back.
const FilesDigest = "files.digest"

// ErrUnreadable is an answer of the runner that makes no sense: somebody tampers with the spool, or the sandbox's shell is none.
var ErrUnreadable = errors.New("the runner's answer can't be read")

// Keep is how many bytes of a stream to bring back from its beginning and its end.
type Keep struct {
	Head, Tail int64
}

// Run is one run in one sandbox.
type Run struct {
	// Sandbox in which it runs.
	Sandbox Sandbox
	// Name of the fence: letters, digits, dashes and dots.
	Name string
	// Stdout and Stderr are how much of each stream to bring back.
	Stdout, Stderr Keep
	// Progress is how many bytes of what each stream got last to bring back while the program runs.
	Progress int64
	// Spent are names of runs in this sandbox whose results are recorded: their spools are emptied on the way. Their fences
	// stay.
	Spent []string
}

//go:embed runner.sh
var runnerText string

// Start takes the fence and runs the program, or, where the fence was taken before, only looks. It waits up to Patience for
// the end. An error means that it is not known whether the program was started: call Start again, or Cancel. A program that
// does not pass Check is an error, too.
func (r Run) Start(ctx context.Context, program Program) (Report, error) {
	script, err := program.script(r.Name)
	if err != nil {
		return Report{}, err
	}
	return r.call(context.WithValue(ctx, programKey{}, &program), script, "start", strconv.Itoa(len(script)),
		seconds(program.Timeout), dash(program.SecretsDigest), seconds(Patience))
}

type programKey struct{}

// ProgramOf returns what a call of Start is to run, for sandboxes that run nothing (package simulated): its script is for a shell.
func ProgramOf(ctx context.Context) (Program, bool) {
	program, ok := ctx.Value(programKey{}).(*Program)
	if !ok {
		return Program{}, false
	}
	return *program, true
}

// Look reports how the run is, and changes nothing.
func (r Run) Look(ctx context.Context) (Report, error) {
	return r.call(ctx, nil, "look")
}

// Prevent keeps the program from ever starting (StateNever). One that has started goes on, and is reported.
func (r Run) Prevent(ctx context.Context) (Report, error) {
	return r.call(ctx, nil, "prevent")
}

// Cancel keeps the program from ever starting (StateNever), or kills it with all that it started and reports its end. An
// end that came before stays as it was. Where its start was seen, a spool that is gone is no proof that it never ran: what
// it started is killed all the same, and StateAbsent reported.
func (r Run) Cancel(ctx context.Context, seen bool) (Report, error) {
	if seen {
		return r.call(ctx, nil, "cancel", "1")
	}
	return r.call(ctx, nil, "cancel", "0")
}

func (r Run) call(ctx context.Context, stdin []byte, verb string, arguments ...string) (Report, error) {
	argv := make([]string, 0, 16)
	argv = append(argv, "/bin/sh", "-c", `eval "$1"`, "sh", backends.KillTreeFunction+runnerText,
		verb, r.Sandbox.SpoolRoot(), r.Name)
	argv = append(argv, arguments...)
	for _, n := range []int64{r.Stdout.Head, r.Stdout.Tail, r.Stderr.Head, r.Stderr.Tail, r.Progress} {
		argv = append(argv, strconv.FormatInt(n, 10))
	}
	argv = append(argv, strings.Join(r.Spent, ","))
	kept := max(r.Stdout.Head+r.Stdout.Tail+r.Stderr.Head+r.Stderr.Tail, 2*r.Progress)
	result, err := r.Sandbox.RunCommand(ctx, backends.Command{Argv: argv, Stdin: stdin, OutputLimit: kept + maxReportHeader})
	if err != nil {
		return Report{}, fmt.Errorf("calling the runner: %w", err)
	}
	return r.read(result)
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(d/time.Second), 10)
}

// dash stands for an empty argument, as a line of the spool must have a word.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
