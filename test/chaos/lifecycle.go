// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

// step is a part of the life that every run goes through.
type step struct {
	name string
	do   func(ctx context.Context, run *Run) error
}

// live is the life: two providers; a sandbox that is lost and made again; a sandbox with files; commands, short, long and cancelled;
// pause and resume; a sandbox of the default provider, which changes meanwhile; and the end of everything, in the worst order.
func (c *scene) live(ctx context.Context, run *Run) error {
	for _, s := range []step{
		{"make the providers", c.makeProviders},
		{"make the sandbox phoenix, and end it", c.makePhoenix},
		{"make the sandbox box", c.makeBox},
		{"run a short command", func(ctx context.Context, run *Run) error { return c.command(ctx, run, "short", "box", "echo done") }},
		{"run a long command", func(ctx context.Context, run *Run) error {
			return c.command(ctx, run, "long", "box", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done")
		}},
		{"cancel a command", c.cancelCommand},
		{"pause box, and resume it for a command", c.pauseBox},
		{"see phoenix made again", c.seePhoenix},
		{"make the sandbox other, and change the default provider", c.makeOther},
		{"run a command in other", func(ctx context.Context, run *Run) error {
			return c.command(ctx, run, "elsewhere", "other", "echo done")
		}},
		{"delete box while a command runs in it", c.deleteBox},
		{"make the sandbox brief, and delete it at once", c.makeBrief},
		{"delete everything at once", c.deleteAll},
		{"look for what is left", c.nothingIsLeft},
	} {
		c.timeline.addf("chaos", "step: %s", s.name)
		if err := s.do(ctx, run); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return c.withinBudget()
}

func (c *scene) object(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: c.namespace, Name: name}
}

func (c *scene) makeProviders(ctx context.Context, _ *Run) error {
	return c.create(ctx,
		&corev1.Secret{ObjectMeta: c.object("credentials"), StringData: map[string]string{"token": token}},
		builders.MakeProvider(c.namespace, "first", c.plan.Flavour).Credentials("credentials").Parameters(`{"account":"first"}`).
			Default().Obj(),
		builders.MakeProvider(c.namespace, "second", c.plan.Flavour).Credentials("credentials").Parameters(`{"account":"second"}`).Obj(),
	)
}

func (c *scene) create(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		if err := c.client.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (c *scene) makeBox(ctx context.Context, _ *Run) error {
	box := builders.MakeSandbox(c.namespace, "box").NamespacedProvider("first").
		File(filepath.Join(c.dir, "file"), "content").Obj()
	if err := c.create(ctx, box); err != nil {
		return err
	}
	return c.ready(ctx, box)
}

// makePhoenix makes a sandbox that shall be made again when it is lost, and has the provider lose it.
func (c *scene) makePhoenix(ctx context.Context, _ *Run) error {
	phoenix := builders.MakeSandbox(c.namespace, "phoenix").NamespacedProvider("first").
		Lifetime(v1alpha1.SandboxLifetime{OnLoss: v1alpha1.OnLossRecreate}).Obj()
	if err := c.create(ctx, phoenix); err != nil {
		return err
	}
	if err := c.ready(ctx, phoenix); err != nil {
		return err
	}
	return c.control.Kill(ctx, phoenix.Status.SandboxID)
}

func (c *scene) seePhoenix(ctx context.Context, _ *Run) error {
	phoenix := &v1alpha1.Sandbox{ObjectMeta: c.object("phoenix")}
	err := c.until(ctx, phoenix, "have a second remote", func() bool { return phoenix.Status.Incarnation > 1 })
	if err != nil {
		return err
	}
	return c.ready(ctx, phoenix)
}

// pauseBox has a command wait for its sandbox, which its owner paused.
func (c *scene) pauseBox(ctx context.Context, run *Run) error {
	box := &v1alpha1.Sandbox{ObjectMeta: c.object("box")}
	if err := c.desire(ctx, box, v1alpha1.DesiredPaused); err != nil {
		return err
	}
	err := c.until(ctx, box, "pause", func() bool {
		ready := meta.FindStatusCondition(box.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == v1alpha1.ReasonPaused || c.isLost(box)
	})
	if err != nil {
		return err
	}
	patient := builders.MakeExec(c.namespace, "patient", "box").Shell(c.counted("patient", "echo done")).Obj()
	if err := c.create(ctx, patient); err != nil {
		return err
	}
	if err := c.desire(ctx, box, v1alpha1.DesiredRunning); err != nil {
		return err
	}
	if err := c.finished(ctx, patient); err != nil {
		return err
	}
	return c.judge(run, patient, v1alpha1.OutcomeSucceeded)
}

func (c *scene) desire(ctx context.Context, sandbox *v1alpha1.Sandbox, state v1alpha1.SandboxDesiredState) error {
	patch := fmt.Sprintf(`{"spec":{"desiredState":%q}}`, state)
	return c.client.Patch(ctx, sandbox, client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// makeOther makes a sandbox whose provider is the default, which is another before anybody can have finished with it.
func (c *scene) makeOther(ctx context.Context, _ *Run) error {
	other := builders.MakeSandbox(c.namespace, "other").Obj()
	if err := c.create(ctx, other); err != nil {
		return err
	}
	for _, change := range []struct{ provider, value string }{{"first", "null"}, {"second", `"true"`}} {
		provider := &v1alpha1.SandboxProvider{ObjectMeta: c.object(change.provider)}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, v1alpha1.DefaultProviderAnnotation, change.value)
		if err := c.client.Patch(ctx, provider, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			return err
		}
	}
	return c.ready(ctx, other)
}

// command runs a command, and judges how that went.
func (c *scene) command(ctx context.Context, run *Run, name, sandbox, line string) error {
	exec := builders.MakeExec(c.namespace, name, sandbox).Shell(c.counted(name, line)).Obj()
	if err := c.create(ctx, exec); err != nil {
		return err
	}
	if err := c.finished(ctx, exec); err != nil {
		return err
	}
	return c.judge(run, exec, v1alpha1.OutcomeSucceeded)
}

// counted is a command that leaves a line where no sandbox's end can take it away.
func (c *scene) counted(name, line string) string {
	return fmt.Sprintf("echo ran >>%s; %s", filepath.Join(c.runsDir(), name), line)
}

func (c *scene) cancelCommand(ctx context.Context, run *Run) error {
	exec := builders.MakeExec(c.namespace, "cancelled", "box").Shell(c.counted("cancelled", "sleep 60")).Obj()
	if err := c.create(ctx, exec); err != nil {
		return err
	}
	err := c.until(ctx, exec, "begin", func() bool {
		return meta.IsStatusConditionTrue(exec.Status.Conditions, v1alpha1.ConditionStarted) || isFinished(exec)
	})
	if err != nil {
		return err
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"Cancelled"}}`))
	if err := c.client.Patch(ctx, exec, patch); err != nil {
		return err
	}
	if err := c.finished(ctx, exec); err != nil {
		return err
	}
	return c.judge(run, exec, v1alpha1.OutcomeCancelled)
}

func (c *scene) deleteBox(ctx context.Context, _ *Run) error {
	exec := builders.MakeExec(c.namespace, "orphaned", "box").Shell(c.counted("orphaned", "sleep 60")).Obj()
	if err := c.create(ctx, exec); err != nil {
		return err
	}
	box := &v1alpha1.Sandbox{ObjectMeta: c.object("box")}
	if err := c.client.Get(ctx, client.ObjectKeyFromObject(box), box); err != nil {
		return err
	}
	if err := c.client.Delete(ctx, box); err != nil {
		return err
	}
	if err := c.gone(ctx, box); err != nil {
		return err
	}
	return c.swept(ctx, box)
}

// makeBrief makes a sandbox that is deleted as soon as something may have been made for it.
func (c *scene) makeBrief(ctx context.Context, _ *Run) error {
	brief := builders.MakeSandbox(c.namespace, "brief").NamespacedProvider("first").Obj()
	if err := c.create(ctx, brief); err != nil {
		return err
	}
	err := c.until(ctx, brief, "have a journal", func() bool { return brief.Annotations[v1alpha1.JournalAnnotation] != "" })
	if err != nil {
		return err
	}
	if err := c.client.Delete(ctx, brief); err != nil {
		return err
	}
	return c.gone(ctx, brief)
}

func (c *scene) deleteAll(ctx context.Context, _ *Run) error {
	namespaced := client.InNamespace(c.namespace)
	secret := &corev1.Secret{ObjectMeta: c.object("credentials")}
	err := errors.Join(
		c.client.Delete(ctx, secret), c.client.DeleteAllOf(ctx, &v1alpha1.SandboxProvider{}, namespaced),
		c.client.DeleteAllOf(ctx, &v1alpha1.SandboxExec{}, namespaced), c.client.DeleteAllOf(ctx, &v1alpha1.Sandbox{}, namespaced))
	if err != nil {
		return err
	}
	for _, object := range []client.Object{
		&v1alpha1.Sandbox{ObjectMeta: c.object("other")}, &v1alpha1.Sandbox{ObjectMeta: c.object("phoenix")},
		&v1alpha1.SandboxExec{ObjectMeta: c.object("patient")}, &v1alpha1.SandboxExec{ObjectMeta: c.object("short")},
		&v1alpha1.SandboxExec{ObjectMeta: c.object("long")}, &v1alpha1.SandboxExec{ObjectMeta: c.object("cancelled")},
		&v1alpha1.SandboxExec{ObjectMeta: c.object("elsewhere")}, &v1alpha1.SandboxExec{ObjectMeta: c.object("orphaned")},
		&v1alpha1.SandboxProvider{ObjectMeta: c.object("first")}, &v1alpha1.SandboxProvider{ObjectMeta: c.object("second")},
	} {
		if err := c.gone(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long anything may take; whatever takes longer is stuck.
const (
	patience = 45 * time.Second
	poll     = 30 * time.Millisecond
)

var errStuck = errors.New("stuck")

// until waits until the object is as it should be.
func (c *scene) until(ctx context.Context, object client.Object, what string, holds func() bool) error {
	var last error
	err := c.wait(ctx, func() bool {
		if last = c.client.Get(ctx, client.ObjectKeyFromObject(object), object); last != nil {
			return false
		}
		return holds()
	})
	if err != nil {
		return fmt.Errorf("%w: %s does not %s (reading it: %v): %s", err, object.GetName(), what, last, stateOf(object)) //nolint:errorlint // for a person
	}
	return nil
}

func (c *scene) wait(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !holds() {
		if c.died() {
			return errors.New("the manager ended by itself")
		}
		select {
		case <-ctx.Done():
			return errStuck
		case <-time.After(poll):
		}
	}
	return nil
}

func (c *scene) gone(ctx context.Context, object client.Object) error {
	err := c.wait(ctx, func() bool {
		return apierrors.IsNotFound(c.client.Get(ctx, client.ObjectKeyFromObject(object), object))
	})
	if err != nil {
		return fmt.Errorf("%w: %s is not gone: %s", err, object.GetName(), stateOf(object))
	}
	return nil
}

// ready waits until the Sandbox is Ready and has one remote, or, where it may be lost, is.
func (c *scene) ready(ctx context.Context, sandbox *v1alpha1.Sandbox) error {
	isLost := func() bool { return c.isLost(sandbox) }
	err := c.until(ctx, sandbox, "become Ready", func() bool {
		return isLost() || meta.IsStatusConditionTrue(sandbox.Status.Conditions, v1alpha1.ConditionReady)
	})
	if err != nil || isLost() {
		return err
	}
	return c.oneRemote(ctx, sandbox)
}

// isLost says whether the Sandbox lost its remote for good, where that may be.
func (c *scene) isLost(sandbox *v1alpha1.Sandbox) bool {
	stalled := meta.FindStatusCondition(sandbox.Status.Conditions, v1alpha1.ConditionStalled)
	return c.plan.loses() && stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason == v1alpha1.ReasonRemoteGone
}

func isFinished(exec *v1alpha1.SandboxExec) bool {
	return meta.IsStatusConditionTrue(exec.Status.Conditions, v1alpha1.ConditionFinished)
}

func (c *scene) finished(ctx context.Context, exec *v1alpha1.SandboxExec) error {
	return c.until(ctx, exec, "finish", func() bool { return isFinished(exec) })
}

// judge compares an outcome with how often the command ran.
func (c *scene) judge(run *Run, exec *v1alpha1.SandboxExec, wanted v1alpha1.ExecOutcome) error {
	outcome, ran := exec.Status.Outcome, c.runs(exec.Name)
	if ran > 1 {
		return fmt.Errorf("the command of %s ran %d times; its outcome is %s", exec.Name, ran, outcome)
	}
	switch outcome {
	case v1alpha1.OutcomeUnknown:
		run.Unknown = append(run.Unknown, exec.Name)
		return nil
	case v1alpha1.OutcomeStartFailed:
		if ran > 0 {
			return fmt.Errorf("%s says that its command never ran, but it did", exec.Name)
		}
	case v1alpha1.OutcomeSucceeded:
		if ran != 1 {
			return fmt.Errorf("%s says that its command succeeded, but it never ran", exec.Name)
		}
	}
	lost := []v1alpha1.ExecOutcome{v1alpha1.OutcomeSandboxLost, v1alpha1.OutcomeStartFailed}
	if outcome != wanted && (!c.plan.loses() || !slices.Contains(lost, outcome)) {
		return fmt.Errorf("the outcome of %s is %s, not %s: %s", exec.Name, outcome, wanted, stateOf(exec))
	}
	return nil
}
