// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/archive"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// copying is one call of cp.
type copying struct {
	*cli.Factory
	quiet bool
}

func copyCommand(f *cli.Factory) *cobra.Command {
	c := &copying{Factory: f}
	command := &cobra.Command{
		Use:   "cp FROM TO",
		Short: "Copy files and directories into a sandbox, and out of one",
		Long: "Copy files and directories into a sandbox, and out of one. One of FROM and TO is SANDBOX:PATH, the other a path\n" +
			"here, or - for standard input or output. A relative PATH is below the sandbox's working directory. Where TO is a\n" +
			"directory, or ends with a slash, the copy goes into it; directories above TO are made. A file is replaced at once and\n" +
			"whole, and what arrives is compared with what was sent.\n\n" +
			"Everything goes through the Kubernetes API, in Secrets that are deleted at once, and is at most 128 MiB.",
		Example: "  kubectl sandbox cp data.csv box:/workspace/\n" +
			"  kubectl sandbox cp ./project box:/workspace/project\n" +
			"  kubectl sandbox cp box:/workspace/out ./results\n" +
			"  pg_dump shop | kubectl sandbox cp - box:/workspace/shop.sql",
		Args: exactly(2, "cp FROM TO"),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, stop := cli.UntilInterrupted(command.Context())
			defer stop()
			return cancelled(ctx, c.run(ctx, arguments[0], arguments[1]), "what was there before is as it was")
		},
	}
	command.Flags().BoolVarP(&c.quiet, "quiet", "q", false,
		"Draw no progress bar. Where standard error is no terminal, there is none anyway.")
	return command
}

// exactly wants so many arguments, and says which.
func exactly(count int, usage string) cobra.PositionalArgs {
	return func(command *cobra.Command, arguments []string) error {
		if len(arguments) != count {
			return cli.Fail(command.CommandPath()+" --help has examples", "it takes %d arguments (%s), and got %d", count, usage,
				len(arguments))
		}
		return nil
	}
}

func (c *copying) run(ctx context.Context, from, to string) error {
	source, target := parsePlace(from), parsePlace(to)
	switch {
	case source.sandbox == "" && target.sandbox == "":
		return cli.Fail("write SANDBOX:PATH for one of them, such as box:/workspace/data.csv", "neither %q nor %q is in a sandbox",
			from, to)
	case source.sandbox != "" && target.sandbox != "":
		return cli.Fail("copy to this machine first; a file here with a colon in its name is ./NAME", "both %q and %q are in sandboxes",
			from, to)
	case source.sandbox == "":
		return c.in(ctx, source, target)
	}
	return c.out(ctx, source, target)
}

// in copies from this machine.
func (c *copying) in(ctx context.Context, source, target place) error {
	bar := newProgress(c.ErrOut, c.quiet)
	defer bar.end()
	u := &upload{kind: kindFile, destination: target.path, mode: 0o644, bar: bar}
	content, err := c.content(ctx, source, u)
	if err != nil {
		return localFailure(err)
	}
	defer func() { _ = content.Close() }()
	if u.errands, err = newErrands(ctx, c.Factory, target.sandbox); err != nil {
		return err
	}
	return localFailure(u.send(ctx, content))
}

// content opens what is copied from this machine, and says in u what it is.
func (c *copying) content(ctx context.Context, source place, u *upload) (io.ReadCloser, error) {
	if source.path == "-" {
		if u.destination == "" || u.destination[len(u.destination)-1] == '/' {
			return nil, cli.Fail("name the file, such as box:/workspace/data.csv", "what comes from standard input has no name")
		}
		return io.NopCloser(c.In), nil
	}
	info, err := os.Stat(source.path)
	if err != nil {
		return nil, err
	}
	name := filepath.ToSlash(source.path)
	u.base, u.mode = place{path: name}.base(), info.Mode()
	switch {
	case info.IsDir():
		u.kind = kindDirectory
		size, err := sizeOf(source.path)
		if err == nil && size > MostCopied {
			err = tooLarge(source.path)
		}
		u.bar.expect(size)
		return c.packed(ctx, source.path), err
	case info.Mode().IsRegular() && info.Size() > MostCopied:
		return nil, tooLarge(source.path)
	case info.Mode().IsRegular():
		u.bar.expect(info.Size())
	default:
		u.mode = 0o644 // of a pipe or the like
	}
	return os.Open(source.path)
}

// packed is an archive of a directory that is made while it is read.
func (c *copying) packed(ctx context.Context, directory string) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(archive.Pack(ctx, writer, directory, c.warn)) }()
	return reader
}

func (c *copying) warn(text string) { fmt.Fprintln(c.ErrOut, "kubectl sandbox: "+cli.Visible(text)) }

// out copies to this machine.
func (c *copying) out(ctx context.Context, source, target place) error {
	e, err := newErrands(ctx, c.Factory, source.sandbox)
	if err != nil {
		return err
	}
	toStdout := target.path == "-"
	d, err := e.open(ctx, source.path, toStdout)
	if err != nil {
		return err
	}
	defer d.close(ctx)
	if toStdout {
		return d.print(ctx, c.Out)
	}
	bar := newProgress(c.ErrOut, c.quiet)
	defer bar.end()
	bar.expect(d.size)
	path, err := localTarget(target.path, source.base())
	if err != nil {
		return localFailure(err)
	}
	if d.kind == kindFile {
		return localFailure(replace(path, d.mode, func(file *os.File) error { return d.into(ctx, file, bar) }))
	}
	return localFailure(withTemporary("", func(file *os.File) error {
		if err := d.into(ctx, file, bar); err != nil {
			return err
		}
		return archive.Unpack(file, path, MostCopied, c.warn)
	}))
}

// localFailure is what went wrong on this machine; a failure in the cluster stays what it is.
func localFailure(err error) error {
	var failure *cli.Failure
	switch {
	case err == nil, errors.As(err, &failure), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, archive.ErrTooLarge):
		return tooLarge("what the archive holds")
	}
	return &cli.Failure{Problem: cli.Visible(err.Error()), Code: CodeFailed, Cause: err}
}
