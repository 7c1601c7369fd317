// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"path"

	"github.com/spf13/cobra"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

func removeCommand(f *cli.Factory) *cobra.Command {
	var recursive, force bool
	command := &cobra.Command{
		Use:   "rm SANDBOX:PATH...",
		Short: "Remove files and directories in a sandbox",
		Example: "  kubectl sandbox rm box:/workspace/data.csv\n" +
			"  kubectl sandbox rm -r box:/workspace/cache",
		Args: atLeastOne("rm SANDBOX:PATH..."),
		RunE: func(command *cobra.Command, arguments []string) error {
			for _, argument := range arguments {
				if path.Clean("/"+parsePlace(argument).path) == "/" {
					return cli.Fail("name what is to go; kubectl sandbox delete takes the whole sandbox away",
						"%q is all that there is", argument)
				}
			}
			ctx, stop := cli.UntilInterrupted(command.Context())
			defer stop()
			return cancelled(ctx, atOnePlace(ctx, f, "remove.sh", []string{yes(recursive), yes(force)}, arguments), "some may be gone")
		},
	}
	command.Flags().BoolVarP(&recursive, "recursive", "r", false, "Remove directories, with all that is in them.")
	command.Flags().BoolVarP(&force, "force", "f", false, "Say nothing of what is not there.")
	return command
}

// atOnePlace runs a script on paths of one sandbox.
func atOnePlace(ctx context.Context, f *cli.Factory, script string, options, arguments []string) error {
	sandbox, paths, err := remotes(arguments)
	if err != nil {
		return err
	}
	e, err := newErrands(ctx, f, sandbox)
	if err != nil {
		return err
	}
	_, err = e.do(ctx, errand{script: script, arguments: append(options, paths...)})
	return err
}
