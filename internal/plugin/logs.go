// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

func logsCommand(f *cli.Factory) *cobra.Command {
	var follow bool
	command := &cobra.Command{
		Use:   "logs EXEC",
		Short: "Print the output of a run",
		Long: "Print the output of a run, standard output and standard error apart, as far as it is kept. Of a run that goes on,\n" +
			"that is the last 4 KiB of each, where it shows progress. With -f, go on until it ends, and end with its exit code;\n" +
			"Ctrl-C then leaves, and the run goes on.",
		Example:           "  kubectl sandbox logs run-x7k2m9qp\n  kubectl sandbox logs -f run-x7k2m9qp",
		ValidArgsFunction: completeExecs(f, 1),
		RunE: func(command *cobra.Command, arguments []string) error {
			if len(arguments) != 1 {
				return cli.Fail("kubectl sandbox logs NAME; kubectl sandbox get execs lists them", "one run is to be named")
			}
			c, namespace, err := f.Cluster()
			if err != nil {
				return err
			}
			exec := &v1alpha1.SandboxExec{}
			if err := c.Get(command.Context(), client.ObjectKey{Namespace: namespace, Name: arguments[0]}, exec); err != nil {
				return cli.Explain(err)
			}
			runner := &runs.Runner{Client: c, Notes: f.ErrOut}
			if follow {
				return runner.Watch(command.Context(), exec, runs.Streams{Out: f.Out, Err: f.ErrOut})
			}
			return runner.Show(command.Context(), exec, runs.Streams{Out: f.Out, Err: f.ErrOut})
		},
	}
	command.Flags().BoolVarP(&follow, "follow", "f", false, "Go on until the run ends, and end with its exit code.")
	return command
}
