// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"github.com/spf13/cobra"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

func makeCommand(f *cli.Factory) *cobra.Command {
	var parents bool
	command := &cobra.Command{
		Use:     "mkdir SANDBOX:PATH...",
		Short:   "Make directories in a sandbox",
		Example: "  kubectl sandbox mkdir -p box:/workspace/in/2026",
		Args:    atLeastOne("mkdir SANDBOX:PATH..."),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, stop := cli.UntilInterrupted(command.Context())
			defer stop()
			return cancelled(ctx, atOnePlace(ctx, f, "make.sh", []string{yes(parents)}, arguments), "some may have been made")
		},
	}
	command.Flags().BoolVarP(&parents, "parents", "p", false, "Make the directories above, too; one that is there is fine.")
	return command
}
