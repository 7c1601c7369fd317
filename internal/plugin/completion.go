// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// completion is a function of cobra's.
type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completionTime bounds what a shell waits for.
const completionTime = 2 * time.Second

// completeNames completes the names of resources, with a column that says what each is. most is how many arguments are names;
// -1 = it is the value of a flag.
func completeNames(f *cli.Factory, most int, column string, resources ...string) completion {
	return func(command *cobra.Command, arguments []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(arguments) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		namespace, err := f.CurrentNamespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(command.Context(), completionTime)
		defer cancel()
		var names []string
		for _, resource := range resources {
			names = append(names, namesOf(ctx, f, resource, namespace, column)...)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// namesOf are rows of the API server: objects have their output in them, of which a name needs nothing.
func namesOf(ctx context.Context, f *cli.Factory, resource, namespace, column string) []string {
	if resource == clusterProviders {
		namespace = ""
	}
	table, err := f.Table(ctx, resource, namespace, "", "")
	if err != nil {
		return nil
	}
	has := func(name string) func(metav1.TableColumnDefinition) bool {
		return func(c metav1.TableColumnDefinition) bool { return c.Name == name }
	}
	name, what := slices.IndexFunc(table.ColumnDefinitions, has("Name")), slices.IndexFunc(table.ColumnDefinitions, has(column))
	if name < 0 || what < 0 {
		return nil
	}
	var names []string
	for _, row := range table.Rows {
		text, _ := row.Cells[what].(string)
		names = append(names, fmt.Sprintf("%v\t%s", row.Cells[name], text))
	}
	return names
}

func completeSandboxes(f *cli.Factory, most int) completion {
	return completeNames(f, most, "State", sandboxes)
}

func completeExecs(f *cli.Factory, most int) completion {
	return completeNames(f, most, "Outcome", execs)
}

// completeProviders completes those of the namespace and of the cluster.
func completeProviders(f *cli.Factory) completion {
	return completeNames(f, -1, "Backend", providers, clusterProviders)
}
