// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// Resources of the operator that get shows.
const (
	sandboxes        = "sandboxes"
	execs            = "sandboxexecs"
	providers        = "sandboxproviders"
	clusterProviders = "clustersandboxproviders"
)

// words are what users call the resources.
var words = map[string][]string{
	sandboxes:        {"sandboxes", "sandbox", "sbx"},
	execs:            {"execs", "exec", "sandboxexecs", "sandboxexec", "sbxe", "runs", "run"},
	providers:        {"sandboxproviders", "sandboxprovider", "sbxp"},
	clusterProviders: {"clustersandboxproviders", "clustersandboxprovider", "csbxp", "providers", "provider"},
}

// resourceOf is the resource of a word; empty where it is none.
func resourceOf(word string) string {
	for resource, names := range words {
		if slices.Contains(names, word) {
			return resource
		}
	}
	return ""
}

// getFlags say what to show.
type getFlags struct {
	f         *cli.Factory
	all       bool
	noHeaders bool
	selector  string
	print     *cli.PrintFlags
}

func getCommand(f *cli.Factory) *cobra.Command {
	o := &getFlags{f: f}
	command := &cobra.Command{
		Use:   "get [sandboxes|execs|providers] [NAME...]",
		Short: "Show sandboxes, runs or providers, and what state they are in",
		Example: `  kubectl sandbox get
  kubectl sandbox get box -o wide
  kubectl sandbox get execs -A
  kubectl sandbox get providers`,
		ValidArgsFunction: func(command *cobra.Command, arguments []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			names, directive := completeSandboxes(f, 100)(command, arguments, toComplete)
			if len(arguments) == 0 {
				names = append(names, "sandboxes", "execs", "providers")
			} else if resourceOf(arguments[0]) == execs {
				names, directive = completeExecs(f, 100)(command, arguments, toComplete)
			}
			return names, directive
		},
		RunE: o.run,
	}
	flags := command.Flags()
	flags.BoolVarP(&o.all, "all-namespaces", "A", false, "Show those of all namespaces.")
	flags.BoolVar(&o.noHeaders, "no-headers", false, "Print no headers.")
	flags.StringVarP(&o.selector, "selector", "l", "", "Show those with these labels, such as team=a.")
	o.print = cli.AddPrintFlags(command, true)
	return command
}

func (o *getFlags) run(command *cobra.Command, arguments []string) error {
	if err := o.print.Check(); err != nil {
		return err
	}
	resource, names := sandboxes, arguments
	if len(arguments) > 0 && resourceOf(arguments[0]) != "" {
		resource, names = resourceOf(arguments[0]), arguments[1:]
	}
	namespace, err := o.f.CurrentNamespace()
	if err != nil {
		return err
	}
	if resource == clusterProviders || o.all {
		namespace = ""
	}
	switch {
	case o.all && len(names) > 0:
		return cli.Fail("name its namespace with -n", "one of a name can't be looked for in all namespaces")
	case !o.print.ForPeople():
		return o.objects(command.Context(), resource, namespace, names)
	case len(names) == 0:
		names = []string{""}
	}
	return each(o.f, names, func(name string) error { return o.table(command.Context(), resource, namespace, name) })
}

// table prints the API server's own rows: its columns say what state each is in.
func (o *getFlags) table(ctx context.Context, resource, namespace, name string) error {
	table, err := o.f.Table(ctx, resource, namespace, name, o.selector)
	if err != nil {
		return cli.Explain(err)
	}
	if len(table.Rows) == 0 {
		where := "."
		if namespace != "" {
			where = " in namespace " + namespace + "."
		}
		fmt.Fprintf(o.f.ErrOut, "There are no %s%s\n", resource, where)
		return nil
	}
	if err := o.print.Table(o.f.Out, table, o.all && resource != clusterProviders, o.noHeaders); err != nil {
		return err
	}
	// Of several names, the first table has the headers.
	o.noHeaders = true
	return nil
}

// objects prints them for machines.
func (o *getFlags) objects(ctx context.Context, resource, namespace string, names []string) error {
	c, err := o.f.Client()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return each(o.f, names, func(name string) error {
			object := objectOf(resource)
			if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object); err != nil {
				return cli.Explain(err)
			}
			return o.print.Object(o.f, object)
		})
	}
	options := &client.ListOptions{Namespace: namespace, Limit: cli.PageSize}
	if options.LabelSelector, err = selectorOf(o.selector); err != nil {
		return err
	}
	list, err := inPages(ctx, c, resource, options)
	if err != nil {
		return cli.Explain(err)
	}
	return o.print.Object(o.f, list)
}

// inPages lists all, in as many requests as the limit asks for.
func inPages(ctx context.Context, c client.Reader, resource string, options *client.ListOptions) (client.ObjectList, error) {
	var all []runtime.Object
	for {
		page := listOf(resource)
		if err := c.List(ctx, page, options); err != nil {
			return nil, err
		}
		items, err := meta.ExtractList(page)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return page, meta.SetList(page, all)
		}
	}
}

func objectOf(resource string) client.Object {
	switch resource {
	case execs:
		return &v1alpha1.SandboxExec{}
	case providers:
		return &v1alpha1.SandboxProvider{}
	case clusterProviders:
		return &v1alpha1.ClusterSandboxProvider{}
	}
	return &v1alpha1.Sandbox{}
}

func listOf(resource string) client.ObjectList {
	switch resource {
	case execs:
		return &v1alpha1.SandboxExecList{}
	case providers:
		return &v1alpha1.SandboxProviderList{}
	case clusterProviders:
		return &v1alpha1.ClusterSandboxProviderList{}
	}
	return &v1alpha1.SandboxList{}
}
