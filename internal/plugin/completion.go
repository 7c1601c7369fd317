// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// completion is a function of cobra's.
type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completionTime bounds what a shell waits for.
const completionTime = 2 * time.Second

// completeNames completes the names that list finds. most is how many arguments are names; -1 = it is the value of a flag.
func completeNames(f *cli.Factory, most int, list func(context.Context, client.Client, string) []string) completion {
	return func(command *cobra.Command, arguments []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(arguments) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, namespace, err := f.Cluster()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(command.Context(), completionTime)
		defer cancel()
		return list(ctx, c, namespace), cobra.ShellCompDirectiveNoFileComp
	}
}

func completeSandboxes(f *cli.Factory, most int) completion {
	return completeNames(f, most, func(ctx context.Context, c client.Client, namespace string) []string {
		var list v1alpha1.SandboxList
		if c.List(ctx, &list, client.InNamespace(namespace)) != nil {
			return nil
		}
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name+"\t"+string(list.Items[i].Status.State))
		}
		return names
	})
}

func completeExecs(f *cli.Factory, most int) completion {
	return completeNames(f, most, func(ctx context.Context, c client.Client, namespace string) []string {
		var list v1alpha1.SandboxExecList
		if c.List(ctx, &list, client.InNamespace(namespace)) != nil {
			return nil
		}
		var names []string
		for i := range list.Items {
			names = append(names, list.Items[i].Name+"\t"+string(list.Items[i].Status.Outcome))
		}
		return names
	})
}

// completeProviders completes those of the namespace and of the cluster.
func completeProviders(f *cli.Factory) completion {
	return completeNames(f, -1, func(ctx context.Context, c client.Client, namespace string) []string {
		var names []string
		var own v1alpha1.SandboxProviderList
		if c.List(ctx, &own, client.InNamespace(namespace)) == nil {
			for i := range own.Items {
				names = append(names, own.Items[i].Name+"\t"+own.Items[i].Spec.Backend)
			}
		}
		var all v1alpha1.ClusterSandboxProviderList
		if c.List(ctx, &all) == nil {
			for i := range all.Items {
				names = append(names, all.Items[i].Name+"\t"+all.Items[i].Spec.Backend)
			}
		}
		return names
	})
}
