// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin is kubectl-sandbox: root.go puts the commands together, and each has a file of its name. What they share is in
// cli, and what makes and follows runs in runs.
package plugin

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/describe"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/doctor"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/files"
	providerlist "github.com/sandbox-operator/sandbox-operator/internal/plugin/providers"
)

// Main runs the program's own arguments, and returns the exit code.
func Main(version string) int {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	return Run(context.Background(), os.Args[1:], streams, version)
}

// Run runs a command line, and returns the exit code. The one line that says what is wrong is printed.
func Run(ctx context.Context, arguments []string, streams genericiooptions.IOStreams, version string) int {
	root := NewCommand(cli.NewFactory(streams, version)) //nolint:contextcheck // commands have theirs from ExecuteContext
	root.SetArgs(arguments)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	return cli.ExitCode(root.ExecuteContext(ctx), streams.ErrOut)
}

// NewCommand is the root with all commands.
func NewCommand(f *cli.Factory) *cobra.Command {
	root := &cobra.Command{
		Use:   "sandbox",
		Short: "Run commands and code in sandboxes",
		Long: "Run commands and code in sandboxes of any provider, through the Kubernetes API alone.\n\n" +
			"Begin with: kubectl sandbox run -- echo hello",
		Annotations:                map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sandbox"},
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableAutoGenTag:          true,
		Args:                       unknownCommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	f.AddFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return cli.Fail(command.CommandPath()+" --help lists the flags", "%v", err)
	})
	root.AddCommand(
		runCommand(f), createCommand(f), execCommand(f), logsCommand(f), getCommand(f), urlCommand(f),
		pauseCommand(f), resumeCommand(f), deleteCommand(f),
		versionCommand(f),
	)
	root.AddCommand(files.Commands(f)...)
	root.AddCommand(providerlist.Commands(f)...)
	root.AddCommand(describe.Command(f), doctor.Command(f))
	return root
}

// unknownCommand says which commands there are.
func unknownCommand(root *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	next := root.CommandPath() + " --help lists the commands"
	if similar := root.SuggestionsFor(arguments[0]); len(similar) > 0 {
		next += " (did you mean " + strings.Join(similar, " or ") + "?)"
	}
	return cli.Fail(next, "there is no command %q", arguments[0])
}

// versionCommand prints the version of the plugin.
func versionCommand(f *cli.Factory) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the plugin's version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(f.Out, f.Version)
			return err
		},
	}
}
