// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package providers are the plugin's commands about providers: providers.go lists them with their health, and orphans.go lists
// remotes that no Sandbox has any more, and has the operator destroy them. read.go reads both kinds of provider as one.
package providers

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/advice"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Commands are all of this package.
func Commands(f *cli.Factory) []*cobra.Command {
	return []*cobra.Command{listCommand(f), orphansCommand(f)}
}

// row is what is told of one provider.
type row struct {
	Kind      v1alpha1.ProviderKind `json:"kind"`
	Namespace string                `json:"namespace,omitempty"`
	Name      string                `json:"name"`
	Backend   string                `json:"backend"`
	// Default says whether it is the one of sandboxes that name none.
	Default bool `json:"default"`
	// Ready is the status of that condition, and Reason and Message its own; Unknown where no operator has seen it.
	Ready   string `json:"ready"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Sandboxes is how many it has, Most how many it may; nil where nobody has counted, or there is no limit.
	Sandboxes *int32 `json:"sandboxes,omitempty"`
	Most      *int32 `json:"maxSandboxes,omitempty"`
	Orphans   int32  `json:"orphans"`
	Abandoned int    `json:"abandoned"`
	// Capabilities are what its backend can do beyond the required.
	Capabilities []string `json:"capabilities,omitempty"`
	// Next is what to do where it is not Ready.
	Next string `json:"next,omitempty"`
}

func listCommand(f *cli.Factory) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "providers",
		Short: "List the providers of the cluster and of the namespace: health, capabilities, counts, orphans",
		Long: "List the providers of the cluster and of the namespace, with their health as of their last real call, what they can,\n" +
			"and how many sandboxes and orphans they have. The default is marked with a star.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if output != "" && output != "json" && output != "wide" {
				return cli.Fail("it is json or wide", "-o %s is no format", output)
			}
			all, problems, err := read(command.Context(), f)
			if err != nil {
				return err
			}
			for _, problem := range problems {
				fmt.Fprintln(f.ErrOut, "kubectl sandbox: "+problem)
			}
			rows := make([]row, 0, len(all))
			for i := range all {
				rows = append(rows, rowOf(&all[i]))
			}
			if output == "json" {
				encoder := json.NewEncoder(f.Out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(rows)
			}
			return printRows(f, rows, output == "wide")
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "Print json, or wide for capabilities and messages, too.")
	return command
}

// rowOf tells of one provider.
func rowOf(p *Provider) row {
	r := row{
		Kind: p.Kind, Namespace: p.Meta.Namespace, Name: p.Meta.Name, Backend: p.Spec.Backend, Ready: "Unknown",
		Default:   p.Meta.Annotations[v1alpha1.DefaultProviderAnnotation] == "true",
		Sandboxes: p.Status.SandboxCount, Abandoned: len(p.Status.Abandoned), Capabilities: p.Status.Capabilities,
	}
	if p.Spec.Limits != nil {
		r.Most = p.Spec.Limits.MaxSandboxes
	}
	if p.Status.OrphanCount != nil {
		r.Orphans = *p.Status.OrphanCount
	}
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		r.Next = "no operator has seen it yet: kubectl sandbox doctor says whether one works"
		return r
	}
	r.Ready, r.Reason, r.Message = string(ready.Status), ready.Reason, cli.Visible(ready.Message)
	if ready.Status != metav1.ConditionTrue {
		r.Next = advice.Next(ready.Reason, p.About())
	}
	return r
}

// printRows shows a table, and below it what to do about those that are not well.
func printRows(f *cli.Factory, rows []row, wide bool) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(f.ErrOut, "No provider is there. To begin: docs/api-by-example.md#a-provider")
		return err
	}
	columns := cli.Columns(f.Out)
	header := "NAME\tSCOPE\tBACKEND\tREADY\tREASON\tSANDBOXES\tORPHANS\tABANDONED"
	if wide {
		header += "\tCAPABILITIES"
	}
	fmt.Fprintln(columns, header)
	for i := range rows {
		r := &rows[i]
		name, scope := r.Name, "cluster"
		if r.Default {
			name += " *"
		}
		if r.Namespace != "" {
			scope = r.Namespace
		}
		line := []string{name, scope, r.Backend, r.Ready, dash(r.Reason), r.count(), fmt.Sprint(r.Orphans), fmt.Sprint(r.Abandoned)}
		if wide {
			line = append(line, dash(strings.Join(r.Capabilities, ",")))
		}
		fmt.Fprintln(columns, strings.Join(line, "\t"))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	painter := cli.PainterFor(f.Out)
	for i := range rows {
		if r := &rows[i]; r.Next != "" {
			fmt.Fprintf(f.Out, "\n%s: %s\n  -> %s\n", painter.Paint(cli.Red, r.Name), dash(r.Message), r.Next)
		}
	}
	return nil
}

func (r *row) count() string {
	switch {
	case r.Sandboxes == nil:
		return "-"
	case r.Most != nil:
		return fmt.Sprintf("%d/%d", *r.Sandboxes, *r.Most)
	}
	return fmt.Sprint(*r.Sandboxes)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
