// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package files are the plugin's commands for files in a sandbox: cp, cat, ls, rm and mkdir.
//
// What they do there is done by small shell scripts (scripts/), each of which runs as a SandboxExec (errand.go). Content goes in
// through Secrets and comes back through Secrets, in pieces of what one Secret takes; all of them belong to the run that needs
// them, and go with it. cp.go is the command, place.go its SANDBOX:PATH; upload.go and download.go move content and see that it
// is the same at the other end; local.go puts it where it belongs on this machine; progress.go draws the bar. cat.go, list.go,
// remove.go and make.go are the others.
package files

import (
	"context"
	"errors"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Commands are all of this package.
func Commands(f *cli.Factory) []*cobra.Command {
	return []*cobra.Command{copyCommand(f), catCommand(f), listCommand(f), removeCommand(f), makeCommand(f)}
}

// CodeFailed is the exit code where the sandbox, or this machine, could not do it: as of cp, ls and the like.
const CodeFailed = 1

// cancelled is the failure of who was interrupted; what else went wrong stays as it is.
func cancelled(ctx context.Context, err error, what string) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &cli.Failure{Problem: "cancelled: " + what, Code: cli.CodeCancelled, Cause: err}
}

// printing is the failure of a write to standard output: nobody needs to be told that he stopped reading.
func printing(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return cli.Exit(cli.CodeBrokenPipe)
	}
	return localFailure(err)
}
