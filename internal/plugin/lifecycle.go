// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// stateCommand is pause or resume: both say what a sandbox shall be.
func stateCommand(f *cli.Factory, use, short, done string, state v1alpha1.SandboxDesiredState) *cobra.Command {
	var wait bool
	var most time.Duration
	var printing *cli.PrintFlags
	command := &cobra.Command{
		Use: use + " SANDBOX...", Short: short, Example: "  kubectl sandbox " + use + " box --wait",
		Args: needNames(use), ValidArgsFunction: completeSandboxes(f, 100),
		RunE: func(command *cobra.Command, names []string) error {
			if err := printing.Check(); err != nil {
				return err
			}
			c, namespace, err := f.Cluster()
			if err != nil {
				return err
			}
			return each(f, names, func(name string) error {
				sandbox, err := desire(command.Context(), c, namespace, name, state)
				if err == nil && wait {
					err = untilReady(command.Context(), c, sandbox, most)
				}
				if err != nil {
					return err
				}
				return printing.Done(f, sandbox, done)
			})
		},
	}
	addWaitFlags(command, &wait, &most, "Wait until it is so.")
	printing = cli.AddPrintFlags(command, false)
	return command
}

func pauseCommand(f *cli.Factory) *cobra.Command {
	return stateCommand(f, "pause", "Pause sandboxes: what they have stays, what they run stands still", "will be paused",
		v1alpha1.DesiredPaused)
}

func resumeCommand(f *cli.Factory) *cobra.Command {
	return stateCommand(f, "resume", "Resume paused sandboxes", "will be resumed", v1alpha1.DesiredRunning)
}

func desire(
	ctx context.Context, c client.Client, namespace, name string, state v1alpha1.SandboxDesiredState,
) (*v1alpha1.Sandbox, error) {
	sandbox := &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"desiredState":%q}}`, state))
	if err := c.Patch(ctx, sandbox, patch); err != nil {
		return nil, cli.Explain(err)
	}
	return sandbox, nil
}

// needNames complains where nothing is named.
func needNames(use string) cobra.PositionalArgs {
	return func(_ *cobra.Command, names []string) error {
		if len(names) == 0 {
			return cli.Fail("kubectl sandbox "+use+" NAME; kubectl sandbox get lists them", "nothing is named")
		}
		return nil
	}
}

// each does something to each name. The failures of all but the last are printed at once, so that one does not hide another.
func each(f *cli.Factory, names []string, do func(name string) error) error {
	var last error
	for _, name := range names {
		err := do(name)
		if err == nil {
			continue
		}
		if last != nil {
			cli.ExitCode(last, f.ErrOut)
		}
		last = err
	}
	return last
}

func deleteCommand(f *cli.Factory) *cobra.Command {
	wait, most := true, time.Duration(0)
	var printing *cli.PrintFlags
	command := &cobra.Command{
		Use:   "delete NAME...",
		Short: "Delete sandboxes and destroy what they have, or runs",
		Long: "Delete sandboxes, and with them what the provider has of them. exec/NAME is a run: its command is killed, where it still\n" +
			"runs, and its result is gone.",
		Example: "  kubectl sandbox delete box\n  kubectl sandbox delete exec/run-x7k2m9qp",
		Args:    needNames("delete"), ValidArgsFunction: completeSandboxes(f, 100),
		RunE: func(command *cobra.Command, names []string) error {
			if err := printing.Check(); err != nil {
				return err
			}
			c, namespace, err := f.Cluster()
			if err != nil {
				return err
			}
			var deleted []client.Object
			err = each(f, names, func(name string) error {
				object, err := named(namespace, name)
				if err != nil {
					return err
				}
				if err := remove(command.Context(), c, object); err != nil {
					return err
				}
				deleted = append(deleted, object)
				return printing.Done(f, object, "deleted")
			})
			if wait {
				err = errors.Join(untilGone(command.Context(), c, deleted, most), err)
			}
			return err
		},
	}
	addWaitFlags(command, &wait, &most, "Wait until they are gone, and what the provider has of them.")
	printing = cli.AddPrintFlags(command, false)
	return command
}

// named is the object of NAME, which is a sandbox, or KIND/NAME.
func named(namespace, name string) (client.Object, error) {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	kind, bare, ok := strings.Cut(name, "/")
	if !ok {
		return &v1alpha1.Sandbox{ObjectMeta: meta}, nil
	}
	meta.Name = bare
	switch resourceOf(kind) {
	case sandboxes:
		return &v1alpha1.Sandbox{ObjectMeta: meta}, nil
	case execs:
		return &v1alpha1.SandboxExec{ObjectMeta: meta}, nil
	}
	return nil, cli.Fail("write NAME, sbx/NAME or exec/NAME", "%s is neither a sandbox nor a run", name)
}

// remove deletes the object, and knows its UID afterwards.
func remove(ctx context.Context, c client.Client, object client.Object) error {
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return cli.Explain(err)
	}
	uid := object.GetUID()
	err := c.Delete(ctx, object, client.PropagationPolicy("Background"), client.Preconditions{UID: &uid})
	return cli.Explain(client.IgnoreNotFound(err))
}

// conditionsOf are those of a sandbox or a run.
func conditionsOf(object client.Object) []metav1.Condition {
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		return o.Status.Conditions
	case *v1alpha1.SandboxExec:
		return o.Status.Conditions
	}
	return nil
}
