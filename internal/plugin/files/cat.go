// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

func catCommand(f *cli.Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "cat SANDBOX:PATH...",
		Short:   "Print files of a sandbox",
		Long:    "Print files of a sandbox, every byte as it is. Nothing is printed of a file before all of it has come over.",
		Example: "  kubectl sandbox cat box:/workspace/report.json",
		Args:    atLeastOne("cat SANDBOX:PATH..."),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, stop := cli.UntilInterrupted(command.Context())
			defer stop()
			return cancelled(ctx, catAll(ctx, f, arguments), "nothing more is printed")
		},
	}
}

// atLeastOne wants arguments.
func atLeastOne(usage string) cobra.PositionalArgs {
	return func(command *cobra.Command, arguments []string) error {
		if len(arguments) == 0 {
			return cli.Fail(command.CommandPath()+" --help has examples", "it takes arguments: %s", usage)
		}
		return nil
	}
}

func catAll(ctx context.Context, f *cli.Factory, arguments []string) error {
	for _, argument := range arguments {
		p, err := remote(argument, false)
		if err != nil {
			return err
		}
		e, err := newErrands(ctx, f, p.sandbox)
		if err != nil {
			return err
		}
		d, err := e.open(ctx, p.path, true)
		if err != nil {
			return err
		}
		if err := d.print(ctx, f.Out); err != nil {
			return err
		}
	}
	return nil
}

// print writes the content to standard output, when all of it is there and right.
func (d *download) print(ctx context.Context, to io.Writer) error {
	return withTemporary("", func(file *os.File) error {
		if err := d.into(ctx, file, nil); err != nil {
			return localFailure(err)
		}
		_, err := io.Copy(to, file)
		return printing(err)
	})
}
