// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// PrintFlags choose how a command shows objects: for a person where nothing is said, else -o json, yaml, name or wide.
type PrintFlags struct {
	// Output is the format; empty = for a person.
	Output string
	// formats are those that the command takes.
	formats []string
}

// AddPrintFlags adds -o to a command. wide says whether there is more to see for a person.
func AddPrintFlags(command *cobra.Command, wide bool) *PrintFlags {
	p := &PrintFlags{formats: []string{"json", "yaml", "name"}}
	if wide {
		p.formats = append(p.formats, "wide")
	}
	command.Flags().StringVarP(&p.Output, "output", "o", "", "Print "+strings.Join(p.formats, ", ")+" instead of text for people.")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(p.formats, cobra.ShellCompDirectiveNoFileComp))
	return p
}

// Check complains of a format that there is not, before anything is done.
func (p *PrintFlags) Check() error {
	if p.Output != "" && !slices.Contains(p.formats, p.Output) {
		return Fail("it is one of "+strings.Join(p.formats, ", "), "-o %s is no format", p.Output)
	}
	return nil
}

// ForPeople says that no machine reads the output.
func (p *PrintFlags) ForPeople() bool { return p.Output == "" || p.Output == "wide" }

// Wide says whether a person wants to see more.
func (p *PrintFlags) Wide() bool { return p.Output == "wide" }

// Object prints an object, or a list, for machines. Its kind is filled in from the scheme.
func (p *PrintFlags) Object(f *Factory, object runtime.Object) error {
	gvk, err := apiutil.GVKForObject(object, f.Scheme())
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	object.GetObjectKind().SetGroupVersionKind(gvk)
	if p.Output == "name" && meta.IsListType(object) {
		return meta.EachListItem(object, func(item runtime.Object) error { return p.Object(f, item) })
	}
	var printer printers.ResourcePrinter
	switch p.Output {
	case "json":
		printer = &printers.JSONPrinter{}
	case "yaml":
		printer = &printers.YAMLPrinter{}
	default:
		printer = &printers.NamePrinter{}
	}
	if p.Output != "name" {
		printer = &printers.OmitManagedFieldsPrinter{Delegate: printer}
	}
	return printer.PrintObj(object, f.Out)
}

// Done prints what was done to an object: "sandbox/demo created" for people, the object in the format that was asked for else.
func (p *PrintFlags) Done(f *Factory, object client.Object, what string) error {
	if !p.ForPeople() {
		return p.Object(f, object)
	}
	gvk, err := apiutil.GVKForObject(object, f.Scheme())
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	fmt.Fprintf(f.Out, "%s/%s %s\n", strings.ToLower(gvk.Kind), object.GetName(), what)
	return nil
}

// Table prints rows of the API server as kubectl get does.
func (p *PrintFlags) Table(to io.Writer, table *metav1.Table, withNamespace, noHeaders bool) error {
	return printers.NewTablePrinter(printers.PrintOptions{Wide: p.Wide(), WithNamespace: withNamespace, NoHeaders: noHeaders}).
		PrintObj(table, to)
}

// Columns is a writer that aligns what tabs separate, as kubectl does. Flush it.
func Columns(to io.Writer) interface {
	io.Writer
	Flush() error
} {
	return printers.GetNewTabWriter(to)
}
