// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor is the plugin's doctor: it looks at an installation as far as the user's rights go, and says what is wrong and
// what to do.
//
// doctor.go is the command. Each check reads a little and says what it found: schema.go the CRDs, rights.go what the user may do,
// manager.go whether an operator works, provider.go the providers, quota.go what limits the namespace, and try.go runs a command.
// finding.go is what a check says.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// codeSick is the exit code where a check failed.
const codeSick = 1

// patient is what the checks look at.
type patient struct {
	client.WithWatch
	factory   *cli.Factory
	namespace string
	now       time.Time
	// operatorNamespace is where the operator is expected.
	operatorNamespace string
}

// Command is doctor.
func Command(f *cli.Factory) *cobra.Command {
	var output, operatorNamespace string
	var try bool
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong with the installation, the rights, the providers, and say what to do",
		Long: "Find out what is wrong with the installation, the rights, the providers, and say what to do.\n" +
			"What you may not read is said, and not held against the cluster. The exit code is 1 where something failed. " +
			"Nothing is changed; --try runs a command in a\n" +
			"sandbox of its own, which is destroyed.",
		Example: "  kubectl sandbox doctor\n" +
			"  kubectl sandbox doctor --try -n team-a",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return cli.Fail("it is json", "-o %s is no format", output)
			}
			findings := examine(command.Context(), f, operatorNamespace, try)
			if err := show(f, findings, output == "json"); err != nil {
				return err
			}
			if worst(findings) == Failed {
				return cli.Exit(codeSick)
			}
			return nil
		},
	}
	command.Flags().BoolVar(&try, "try", false, "Run a command in a sandbox of its own, too.")
	command.Flags().StringVar(&operatorNamespace, "operator-namespace", "sandbox-operator-system", "Namespace of the operator.")
	command.Flags().StringVarP(&output, "output", "o", "", "Print json instead of text for people.")
	return command
}

// examine makes all checks. The first that makes the rest senseless is the last.
func examine(ctx context.Context, f *cli.Factory, operatorNamespace string, try bool) []Finding {
	const cluster = "cluster"
	c, namespace, err := connect(f)
	if err != nil {
		return []Finding{broken(cluster, err)}
	}
	p := &patient{WithWatch: c, factory: f, namespace: namespace, now: time.Now(), operatorNamespace: operatorNamespace}
	findings, ok := p.cluster()
	if !ok {
		return findings
	}
	findings = append(findings, p.schemas(ctx)...)
	findings = append(findings, p.rights(ctx)...)
	findings = append(findings, p.manager(ctx)...)
	findings = append(findings, p.providers(ctx)...)
	findings = append(findings, p.quota(ctx)...)
	if try {
		findings = append(findings, p.try(ctx))
	}
	return findings
}

// show prints the findings.
func show(f *cli.Factory, findings []Finding, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(f.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(findings)
	}
	painter := cli.PainterFor(f.Out)
	for _, finding := range findings {
		mark := painter.Paint(colours[finding.Level], fmt.Sprintf("%-4s", finding.Level))
		fmt.Fprintf(f.Out, "%s  %-12s %s\n", mark, finding.Check, cli.Visible(finding.Message))
		if finding.Next != "" {
			fmt.Fprintf(f.Out, "%19s-> %s\n", "", cli.Visible(finding.Next))
		}
	}
	return nil
}
