// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

func urlCommand(f *cli.Factory) *cobra.Command {
	var wait bool
	var most time.Duration
	command := &cobra.Command{
		Use:   "url SANDBOX [PORT]",
		Short: "Print the URL of a port of a sandbox",
		Long: "Print the URL of a port, by name or number, that the sandbox was created with; without PORT, of all. Where requests need\n" +
			"headers, or a signed URL is kept in a Secret, a line on standard error says in which.",
		Example:           "  kubectl sandbox url box\n  curl \"$(kubectl sandbox url box web)\"",
		ValidArgsFunction: completeSandboxes(f, 1),
		RunE: func(command *cobra.Command, arguments []string) error {
			if len(arguments) == 0 || len(arguments) > 2 {
				return cli.Fail("kubectl sandbox url SANDBOX [PORT]", "there are %d arguments", len(arguments))
			}
			c, namespace, err := f.Cluster()
			if err != nil {
				return err
			}
			sandbox := &v1alpha1.Sandbox{}
			if err := c.Get(command.Context(), client.ObjectKey{Namespace: namespace, Name: arguments[0]}, sandbox); err != nil {
				return cli.Explain(err)
			}
			if wait {
				if err := untilReady(command.Context(), c, sandbox, most); err != nil {
					return err
				}
			}
			port := ""
			if len(arguments) > 1 {
				port = arguments[1]
			}
			return printURLs(f, sandbox, port)
		},
	}
	addWaitFlags(command, &wait, &most, "Wait until the sandbox is Ready.")
	return command
}

// printURLs prints the URL of one port alone, so that a script can take it, or of all with their names.
func printURLs(f *cli.Factory, sandbox *v1alpha1.Sandbox, port string) error {
	if len(sandbox.Spec.Ports) == 0 {
		return cli.Fail("kubectl sandbox create --port 8080 asks for one; or add it to spec.ports", "sandbox %s has no ports", sandbox.Name)
	}
	if len(sandbox.Spec.Ports) == 1 && port == "" {
		port = sandbox.Spec.Ports[0].Name
	}
	if port == "" {
		columns := cli.Columns(f.Out)
		for _, e := range sandbox.Status.Endpoints {
			fmt.Fprintf(columns, "%s\t%s\n", e.Name, e.URL)
		}
		return columns.Flush()
	}
	i := slices.IndexFunc(sandbox.Spec.Ports, func(p v1alpha1.SandboxPort) bool {
		return p.Name == port || strconv.Itoa(int(p.Port)) == port
	})
	if i < 0 {
		return cli.Fail("kubectl sandbox url "+sandbox.Name+" lists them", "sandbox %s has no port %s", sandbox.Name, port)
	}
	for _, e := range sandbox.Status.Endpoints {
		if e.Name == sandbox.Spec.Ports[i].Name {
			fmt.Fprintln(f.Out, e.URL)
			tellSecret(f, &e)
			return nil
		}
	}
	return cli.Fail("--wait waits for it; kubectl sandbox get "+sandbox.Name+" -o wide says what it waits for",
		"port %s has no URL yet", port)
}

func tellSecret(f *cli.Factory, e *v1alpha1.SandboxEndpoint) {
	if e.SecretRef != nil {
		fmt.Fprintf(f.ErrOut, "kubectl sandbox: what requests to it need is in Secret %s, under keys that begin with %s.\n",
			e.SecretRef.Name, e.Name)
	}
}

// selectorOf reads a label selector.
func selectorOf(text string) (labels.Selector, error) {
	selector, err := labels.Parse(text)
	if err != nil {
		return nil, cli.Fail("write it like team=a", "-l %s is no selector: %v", text, err)
	}
	return selector, nil
}
