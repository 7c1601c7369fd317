// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit codes of the plugin. A command in a sandbox ends with its own; docs/kubectl-sandbox.md has the table.
const (
	// CodeTimedOut: the command's time was over, as with timeout(1).
	CodeTimedOut = 124
	// CodeFault: the plugin, the cluster, the operator or the provider failed, or the command line is wrong; the command may
	// not have run.
	CodeFault = 125
	// CodeCancelled: it was cancelled, as with a shell's Ctrl-C.
	CodeCancelled = 130
	// CodeBrokenPipe: who read the output went away, as with a shell's SIGPIPE.
	CodeBrokenPipe = 141
)

// Failure is an error as the user sees it: one line that says what is wrong and what to type next, and the exit code.
type Failure struct {
	// Problem is what is wrong. Without it nothing is printed: the exit code says all, as where a command in a sandbox ended
	// with one of its own.
	Problem string
	// Next is what to do about it; empty where Problem says it.
	Next string
	// Code is the exit code; 0 is CodeFault.
	Code int
	// Cause is the error that it was made of; nil where there is none.
	Cause error
}

// Fail makes a Failure that ends with CodeFault.
func Fail(next, problem string, arguments ...any) *Failure {
	return &Failure{Problem: fmt.Sprintf(problem, arguments...), Next: next}
}

// Exit makes one that prints nothing.
func Exit(code int) *Failure { return &Failure{Code: code} }

// Error implements error: it is the line.
func (f *Failure) Error() string {
	line := f.Problem
	if f.Next != "" {
		line += "; " + f.Next
	}
	return strings.Join(strings.Fields(line), " ")
}

// Unwrap implements the interface of errors.
func (f *Failure) Unwrap() error { return f.Cause }

// ExitCode prints the line of an error, explained, and returns the exit code.
func ExitCode(err error, to io.Writer) int {
	if err == nil {
		return 0
	}
	var failure *Failure
	if !errors.As(err, &failure) {
		failure = explained(err)
	}
	if failure.Problem != "" {
		fmt.Fprintln(to, "error: "+failure.Error())
	}
	if failure.Code == 0 {
		return CodeFault
	}
	return failure.Code
}
