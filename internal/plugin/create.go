// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// createFlags say what to create.
type createFlags struct {
	f       *cli.Factory
	command *cobra.Command

	file                  string
	env, envFrom, ports   []string
	workingDir            string
	lifetime, idle        time.Duration
	pauseWhenIdle, serial bool
	wait, dryRun          bool
	waitTime              time.Duration

	sandbox sandboxFlags
	print   *cli.PrintFlags
}

func createCommand(f *cli.Factory) *cobra.Command {
	o := &createFlags{f: f}
	command := &cobra.Command{
		Use:   "create NAME [flags]",
		Short: "Create a sandbox that stays until it is deleted",
		Example: `  kubectl sandbox create box --wait
  kubectl sandbox create box --image python:3.13 --memory 1Gi --port web=8080
  kubectl sandbox create box --idle-timeout 30m --pause-when-idle
  kubectl sandbox create -f box.yaml
  kubectl sandbox create box --image alpine --dry-run -o yaml > box.yaml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              o.run,
	}
	flags := command.Flags()
	flags.StringVarP(&o.file, "filename", "f", "", "Manifest of the Sandbox, or - for standard input, instead of flags.")
	flags.StringArrayVarP(&o.env, "env", "e", nil, "Environment variable, NAME=VALUE; NAME alone takes the value from here.")
	flags.StringArrayVar(&o.envFrom, "env-from", nil, "Environment from all keys of secret/NAME or configmap/NAME.")
	flags.StringArrayVar(&o.ports, "port", nil, "Port that shall have a URL, such as 8080 or web=8080.")
	flags.StringVarP(&o.workingDir, "workdir", "w", ownWorkingDir, "Directory that its commands start in; it is made.")
	flags.DurationVar(&o.lifetime, "lifetime", 0, "Destroy it so long after it was made.")
	flags.DurationVar(&o.idle, "idle-timeout", 0, "Destroy it when nobody used it for so long.")
	flags.BoolVar(&o.pauseWhenIdle, "pause-when-idle", false, "Pause it instead; the next command resumes it.")
	flags.BoolVar(&o.serial, "serial", false, "Let its commands run one after another.")
	flags.BoolVar(&o.dryRun, "dry-run", false, "Create nothing, and print what would be created.")
	addWaitFlags(command, &o.wait, &o.waitTime, "Wait until it is Ready.")
	o.sandbox.add(f, command)
	o.print = cli.AddPrintFlags(command, false)
	return command
}

// addWaitFlags adds --wait and how long.
func addWaitFlags(command *cobra.Command, wait *bool, most *time.Duration, what string) {
	command.Flags().BoolVar(wait, "wait", *wait, what)
	command.Flags().DurationVar(most, "wait-timeout", 5*time.Minute, "How long to wait at most.")
}

func (o *createFlags) run(command *cobra.Command, arguments []string) error {
	o.command = command
	if err := o.print.Check(); err != nil {
		return err
	}
	if len(arguments) == 0 && o.file == "" {
		return cli.Fail("kubectl sandbox create NAME", "the sandbox has no name")
	}
	c, namespace, err := o.f.Cluster()
	if err != nil {
		return err
	}
	ctx := command.Context()
	sandbox, err := o.make(ctx, c, namespace)
	if err != nil {
		return err
	}
	if len(arguments) > 0 {
		sandbox.Name = arguments[0]
	}
	if o.dryRun {
		if o.print.ForPeople() {
			o.print.Output = "yaml"
		}
		return o.print.Object(o.f, sandbox)
	}
	if err := c.Create(ctx, sandbox); err != nil {
		return cli.Explain(err)
	}
	if o.wait {
		if err := untilReady(ctx, c, sandbox, o.waitTime); err != nil {
			return err
		}
	}
	return o.print.Done(o.f, sandbox, "created")
}

func (o *createFlags) make(ctx context.Context, c client.Client, namespace string) (*v1alpha1.Sandbox, error) {
	if o.file != "" {
		return o.read(namespace)
	}
	spec, err := o.sandbox.spec(ctx, c, namespace)
	if err != nil {
		return nil, err
	}
	spec.WorkingDir = o.workingDir
	if spec.Env, err = environment(o.env, os.LookupEnv); err != nil {
		return nil, err
	}
	if spec.EnvFrom, err = environmentFrom(o.envFrom); err != nil {
		return nil, err
	}
	if spec.Ports, err = portsOf(o.ports); err != nil {
		return nil, err
	}
	if o.serial {
		spec.ExecConcurrency = v1alpha1.ExecSerial
	}
	if spec.Lifetime, err = o.lifetimeSpec(); err != nil {
		return nil, err
	}
	return &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: *spec}, nil
}

func (o *createFlags) lifetimeSpec() (*v1alpha1.SandboxLifetime, error) {
	lifetime, err := seconds(o.command, "lifetime", o.lifetime)
	if err != nil {
		return nil, err
	}
	idle, err := seconds(o.command, "idle-timeout", o.idle)
	if err != nil {
		return nil, err
	}
	if o.pauseWhenIdle && idle == nil {
		return nil, cli.Fail("say when: --idle-timeout 30m", "--pause-when-idle is given without a time")
	}
	if lifetime == nil && idle == nil {
		return nil, nil //nolint:nilnil // the provider's own default
	}
	spec := &v1alpha1.SandboxLifetime{}
	if lifetime != nil {
		spec.TimeoutSeconds = *lifetime
	}
	if idle != nil {
		spec.IdleTimeoutSeconds = *idle
	}
	if o.pauseWhenIdle {
		spec.OnIdle = v1alpha1.OnIdlePause
	}
	return spec, nil
}

// read reads the Sandbox of a manifest. A field that there is not is an error.
func (o *createFlags) read(namespace string) (*v1alpha1.Sandbox, error) {
	var text []byte
	var err error
	if o.file == "-" {
		text, err = io.ReadAll(o.f.In)
	} else {
		text, err = os.ReadFile(o.file)
	}
	if err != nil {
		return nil, unreadable(o.file, err)
	}
	sandbox := &v1alpha1.Sandbox{}
	if err := yaml.UnmarshalStrict(text, sandbox); err != nil {
		return nil, cli.Fail("kubectl explain sandbox.spec has the fields; kubectl apply -f takes more than one object",
			"%s is no manifest of one Sandbox: %v", o.file, err)
	}
	if sandbox.Kind != "Sandbox" || sandbox.APIVersion != v1alpha1.GroupVersion.String() {
		return nil, cli.Fail("kubectl apply -f takes every kind", "%s has a %s of %s, and no Sandbox",
			o.file, sandbox.Kind, sandbox.APIVersion)
	}
	if sandbox.Namespace == "" {
		sandbox.Namespace = namespace
	}
	return sandbox, nil
}
