// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
)

// runs is how often a command ran.
func (c *scene) runs(name string) int {
	lines, _ := os.ReadFile(filepath.Join(c.runsDir(), name))
	return bytes.Count(lines, []byte("\n"))
}

// oneRemote waits until the Sandbox has exactly one remote, the one that its status names.
func (c *scene) oneRemote(ctx context.Context, sandbox *v1alpha1.Sandbox) error {
	var found []string
	err := c.wait(ctx, func() bool {
		found = c.remotes(ctx, func(r backends.Remote) bool { return r.Mark.UID == string(sandbox.UID) })
		return len(found) == 1 && found[0] == sandbox.Status.SandboxID || c.plan.loses() && len(found) == 0
	})
	if err != nil {
		return fmt.Errorf("%w: %s names the remote %q, and the provider has %q for it", err, sandbox.Name, sandbox.Status.SandboxID, found)
	}
	return nil
}

// swept waits until nothing of a Sandbox that is gone is left at the provider. A remote that the provider denied when it was asked
// is an orphan then, which the next sweep finds.
func (c *scene) swept(ctx context.Context, sandbox *v1alpha1.Sandbox) error {
	var found []string
	err := c.wait(ctx, func() bool {
		found = c.remotes(ctx, func(r backends.Remote) bool { return r.Mark.UID == string(sandbox.UID) })
		return len(found) == 0
	})
	if err != nil {
		return fmt.Errorf("%w: %s is gone, and LEAKED %q", err, sandbox.Name, found)
	}
	return nil
}

func (c *scene) remotes(ctx context.Context, matches func(backends.Remote) bool) []string {
	state, err := c.control.State(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	var ids []string
	for _, remote := range state.Remotes {
		if matches(remote) {
			ids = append(ids, remote.ID)
		}
	}
	return ids
}

// nothingIsLeft waits until neither the provider nor the operator's namespace has anything of the run.
func (c *scene) nothingIsLeft(ctx context.Context, _ *Run) error {
	var remotes, secrets []string
	err := c.wait(ctx, func() bool {
		remotes = c.remotes(ctx, func(backends.Remote) bool { return true })
		secrets = c.copiedSecrets(ctx)
		return len(remotes)+len(secrets) == 0
	})
	if err != nil {
		return fmt.Errorf("%w: LEAKED remotes %q and Secrets %q", err, remotes, secrets)
	}
	for _, name := range []string{"short", "long", "cancelled", "elsewhere", "orphaned", "patient"} {
		if ran := c.runs(name); ran > 1 {
			return fmt.Errorf("the command of %s RAN %d TIMES", name, ran)
		}
	}
	return nil
}

// copiedSecrets are those in the operator's namespace that are about a provider of this run.
func (c *scene) copiedSecrets(ctx context.Context) []string {
	var secrets corev1.SecretList
	if err := c.client.List(ctx, &secrets, client.InNamespace(operatorNamespace)); err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, secret := range secrets.Items {
		if about := fmt.Sprint(secret.Labels, secret.Annotations); strings.Contains(about, c.namespace) {
			names = append(names, secret.Name)
		}
	}
	return names
}

// The writes that the life needs without trouble, by resource, and what each kill and fault may add.
const (
	sandboxWrites = 5*4 + 6
	execWrites    = 6 * 5
	perTrouble    = 8
)

// withinBudget counts what the managers wrote about sandboxes and commands.
func (c *scene) withinBudget() error {
	trouble := (c.kills + len(c.plan.Faults)) * perTrouble
	for resource, budget := range map[string]int{"sandboxes": sandboxWrites, "sandboxexecs": execWrites} {
		writes := c.proxy.Since(0, func(r apiproxy.Request) bool { return apiproxy.IsWrite(r) && r.Resource == resource })
		if len(writes) > budget+trouble {
			return fmt.Errorf("the managers wrote %d times to %s; the budget is %d and %d for trouble",
				len(writes), resource, budget, trouble)
		}
	}
	return nil
}
