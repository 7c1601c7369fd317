// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"os"
	"os/signal"
	"syscall"
)

// Interrupts are Ctrl-C, and the signals by which a terminal, a shell or a CI system ends a command; stop gives them back. From
// now on a write to a pipe whose reader went away is an error, and ends nobody.
func Interrupts() (interrupts <-chan os.Signal, stop func()) {
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		// What nohup and a shell's & had ignored stays so.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return signals, func() {
		signal.Stop(signals)
		signal.Stop(broken)
	}
}
