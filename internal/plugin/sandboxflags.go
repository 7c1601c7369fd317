// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// sandboxFlags say what a sandbox is to be: one that create makes, or one of a run's own.
type sandboxFlags struct {
	provider, image, template, snapshot string
	cpu, memory, disk, network, user    string
	allowHosts                          []string

	set *pflag.FlagSet
}

func (s *sandboxFlags) add(f *cli.Factory, command *cobra.Command) {
	s.set = pflag.NewFlagSet("sandbox", pflag.ContinueOnError)
	s.set.StringVar(&s.provider, "provider", "", "Provider of the sandbox; without it, the default one.")
	s.set.StringVar(&s.image, "image", "", "Container image that it starts from.")
	s.set.StringVar(&s.template, "template", "", "The provider's own template that it starts from.")
	s.set.StringVar(&s.snapshot, "snapshot", "", "The provider's own snapshot that it starts from.")
	s.set.StringVar(&s.cpu, "cpu", "", "Limit of CPUs, such as 500m or 2.")
	s.set.StringVar(&s.memory, "memory", "", "Limit of memory, such as 512Mi.")
	s.set.StringVar(&s.disk, "disk", "", "Limit of what it may write, such as 4Gi.")
	s.set.StringVar(&s.network, "network", "", "What it may reach: allow (everything) or deny (nothing).")
	s.set.StringSliceVar(&s.allowHosts, "allow-host", nil, "Host that it may reach, and nothing else; may be given again.")
	s.set.StringVarP(&s.user, "user", "u", "", "User that its commands run as, by name or number.")
	command.Flags().AddFlagSet(s.set)
	_ = command.RegisterFlagCompletionFunc("provider", completeProviders(f))
	_ = command.RegisterFlagCompletionFunc("network", cobra.FixedCompletions([]string{"allow", "deny"}, cobra.ShellCompDirectiveNoFileComp))
}

// given names the first of the flags that was given; empty = none was.
func (s *sandboxFlags) given() string {
	name := ""
	s.set.Visit(func(flag *pflag.Flag) { name = flag.Name })
	return name
}

// spec is the Sandbox that the flags ask for.
func (s *sandboxFlags) spec(ctx context.Context, c client.Client, namespace string) (*v1alpha1.SandboxSpec, error) {
	spec := &v1alpha1.SandboxSpec{User: s.user}
	if s.image != "" || s.template != "" || s.snapshot != "" {
		spec.Source = &v1alpha1.SandboxSource{Image: s.image, Template: s.template, Snapshot: s.snapshot}
	}
	var err error
	if spec.Resources, err = s.resources(); err != nil {
		return nil, err
	}
	if spec.Network, err = s.networkSpec(); err != nil {
		return nil, err
	}
	if s.provider != "" {
		spec.ProviderRef, err = providerReference(ctx, c, namespace, s.provider)
	}
	return spec, err
}

func (s *sandboxFlags) resources() (*v1alpha1.SandboxResources, error) {
	resources := &v1alpha1.SandboxResources{}
	for _, limit := range []struct {
		flag, value string
		to          **resource.Quantity
	}{{"cpu", s.cpu, &resources.CPU}, {"memory", s.memory, &resources.Memory}, {"disk", s.disk, &resources.Disk}} {
		if limit.value == "" {
			continue
		}
		quantity, err := resource.ParseQuantity(limit.value)
		if err != nil {
			return nil, cli.Fail("write it like 500m, 2 or 512Mi", "--%s %s is no quantity", limit.flag, limit.value)
		}
		*limit.to = &quantity
	}
	if *resources == (v1alpha1.SandboxResources{}) {
		return nil, nil //nolint:nilnil // no limits are an answer
	}
	return resources, nil
}

func (s *sandboxFlags) networkSpec() (*v1alpha1.SandboxNetwork, error) {
	switch {
	case len(s.allowHosts) > 0 && s.network == "":
		return &v1alpha1.SandboxNetwork{Policy: v1alpha1.NetworkRestricted, Hosts: s.allowHosts}, nil
	case len(s.allowHosts) > 0:
		return nil, cli.Fail("leave one of them out", "--allow-host and --network exclude each other")
	case s.network == "":
		return nil, nil //nolint:nilnil // the provider's own default
	case s.network == "allow":
		return &v1alpha1.SandboxNetwork{Policy: v1alpha1.NetworkAllow}, nil
	case s.network == "deny":
		return &v1alpha1.SandboxNetwork{Policy: v1alpha1.NetworkDeny}, nil
	}
	return nil, cli.Fail("it is allow or deny; --allow-host names single hosts", "--network %s is neither", s.network)
}

// providerReference finds the provider of a name: of the namespace, before one of the cluster, as the operator looks for
// defaults; sbxp/NAME and csbxp/NAME say which.
func providerReference(ctx context.Context, c client.Client, namespace, name string) (*v1alpha1.ProviderReference, error) {
	if kind, bare, ok := strings.Cut(name, "/"); ok {
		switch {
		case slices.Contains([]string{"sbxp", "sandboxprovider"}, kind):
			return &v1alpha1.ProviderReference{Kind: v1alpha1.KindSandboxProvider, Name: bare}, nil
		case slices.Contains([]string{"csbxp", "clustersandboxprovider"}, kind):
			return &v1alpha1.ProviderReference{Kind: v1alpha1.KindClusterSandboxProvider, Name: bare}, nil
		}
		return nil, cli.Fail("write sbxp/NAME or csbxp/NAME, or the name alone", "%s is no kind of provider", kind)
	}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &v1alpha1.SandboxProvider{})
	if err == nil {
		return &v1alpha1.ProviderReference{Kind: v1alpha1.KindSandboxProvider, Name: name}, nil
	}
	if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return nil, cli.Explain(err)
	}
	err = c.Get(ctx, client.ObjectKey{Name: name}, &v1alpha1.ClusterSandboxProvider{})
	// Who may not look may still use it: the operator knows.
	if err == nil || apierrors.IsForbidden(err) {
		return &v1alpha1.ProviderReference{Kind: v1alpha1.KindClusterSandboxProvider, Name: name}, nil
	}
	return nil, cli.Explain(err)
}

// environment reads --env NAME=VALUE, or NAME alone, which takes the value of this program's own environment.
func environment(arguments []string, lookup func(string) (string, bool)) ([]v1alpha1.EnvVar, error) {
	var env []v1alpha1.EnvVar
	for _, argument := range arguments {
		name, value, ok := strings.Cut(argument, "=")
		if !ok {
			if value, ok = lookup(name); !ok {
				return nil, cli.Fail("write --env NAME=VALUE, or export it",
					"--env %s has no value, and there is no variable of that name here", name)
			}
		}
		// The last of a name wins, as in a shell.
		env = slices.DeleteFunc(env, func(e v1alpha1.EnvVar) bool { return e.Name == name })
		env = append(env, v1alpha1.EnvVar{Name: name, Value: new(value)})
	}
	return env, nil
}

// environmentFrom reads --env-from secret/NAME or configmap/NAME.
func environmentFrom(arguments []string) ([]v1alpha1.EnvFromSource, error) {
	var sources []v1alpha1.EnvFromSource
	for _, argument := range arguments {
		kind, name, _ := strings.Cut(argument, "/")
		switch {
		case name != "" && kind == "secret":
			sources = append(sources, v1alpha1.EnvFromSource{SecretRef: &v1alpha1.LocalReference{Name: name}})
		case name != "" && (kind == "configmap" || kind == "cm"):
			sources = append(sources, v1alpha1.EnvFromSource{ConfigMapRef: &v1alpha1.LocalReference{Name: name}})
		default:
			return nil, cli.Fail("write secret/NAME or configmap/NAME", "--env-from %s names neither a Secret nor a ConfigMap", argument)
		}
	}
	return sources, nil
}

// portsOf reads --port 8080, or NAME=8080.
func portsOf(arguments []string) ([]v1alpha1.SandboxPort, error) {
	var ports []v1alpha1.SandboxPort
	for _, argument := range arguments {
		name, number, ok := strings.Cut(argument, "=")
		if !ok {
			name, number = "port-"+argument, argument
		}
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil || port == 0 {
			return nil, cli.Fail("write --port 8080, or --port web=8080", "--port %s is no port", argument)
		}
		ports = append(ports, v1alpha1.SandboxPort{Name: name, Port: int32(port)})
	}
	return ports, nil
}

// seconds is a duration as the API has it; nil where the flag was not given.
func seconds(command *cobra.Command, flag string, value time.Duration) (*int32, error) {
	if !command.Flags().Changed(flag) {
		return nil, nil //nolint:nilnil // the API's own default
	}
	const most = 30 * 24 * time.Hour
	if value < 0 || value > most || value%time.Second != 0 {
		return nil, cli.Fail(fmt.Sprintf("give whole seconds, at most %d hours", int(most.Hours())), "--%s %s can't be", flag, value)
	}
	return new(int32(value / time.Second)), nil
}
