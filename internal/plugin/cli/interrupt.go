// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// UntilInterrupted is over at the first Ctrl-C, or when a terminal, a shell or a CI system ends the command, so that what was
// begun is cleared away; the second ends the program at once. Until stop is called, a write to a pipe whose reader went away is
// an error: by itself it would end the program, with all that is still to be cleared away.
func UntilInterrupted(ctx context.Context) (until context.Context, stop context.CancelFunc) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	ends := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		// What nohup and a shell's & had ignored stays so.
		if !signal.Ignored(s) {
			ends = append(ends, s)
		}
	}
	ctx, giveBack := signal.NotifyContext(ctx, ends...)
	context.AfterFunc(ctx, giveBack)
	return ctx, func() {
		giveBack()
		signal.Stop(broken)
	}
}
