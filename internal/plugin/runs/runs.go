// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package runs makes a SandboxExec, follows it, and has its output as it comes and what became of it. All of it goes through
// the Kubernetes API, with the rights of who calls.
//
// runs.go makes one and clears it away; cargo.go carries what does not fit into the object; follow.go watches, cancels and
// waits; stream.go prints what came so far without a byte twice or missing, and whole.go the rest of it from where it is
// stored; outcome.go makes an exit code and a sentence of the end; stuck.go knows what a run waits for in vain.
package runs

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// MadeByLabel on a SandboxExec says that the plugin made it.
const MadeByLabel = "app.kubernetes.io/created-by"

// MadeBy is the value of MadeByLabel.
const MadeBy = "kubectl-sandbox"

const (
	// ObservedWithin is how long a run may go unseen by an operator before it is given up.
	ObservedWithin = 30 * time.Second
	// LeftBehindTTL is how long a run is kept, once finished, whose maker was killed before it could delete it.
	LeftBehindTTL = time.Hour
)

// Runner makes and follows runs in a cluster.
type Runner struct {
	// Client is the cluster.
	Client client.WithWatch
	// Notes is where sentences for a person go: what a run waits for, what of its output is missing. io.Discard = nowhere.
	Notes io.Writer
	// Interrupts are Ctrl-C and the like: the first cancels the run, the second leaves at once. nil = there are none.
	Interrupts <-chan os.Signal
	// ObservedWithin is how long to wait for an operator to see the run; 0 = the constant of that name.
	ObservedWithin time.Duration
	// Quiet leaves out notes on waiting.
	Quiet bool
}

// Streams are where output goes as it comes.
type Streams struct {
	Out, Err io.Writer
}

// NewName makes a name for a run: there is none of it yet.
func NewName(prefix string) string { return prefix + "-" + rand.String(8) }

// Prepare has a run keep all of its output that the API takes, and show it as it comes: what is short in its status, the whole
// in ConfigMaps of its own.
func Prepare(exec *v1alpha1.SandboxExec) {
	const inStatus = 32 << 10
	keep := func(suffix string) *v1alpha1.StreamLimits {
		name := exec.Name + suffix
		return &v1alpha1.StreamLimits{
			HeadBytes: new(int32(inStatus)), TailBytes: new(int32(inStatus)),
			To: &v1alpha1.OutputDestination{ConfigMap: &v1alpha1.DestinationKey{Name: name}},
		}
	}
	exec.Spec.Streams = &v1alpha1.ExecStreams{
		Stdout: keep("-stdout"), Stderr: keep("-stderr"), Progress: v1alpha1.ProgressEnabled,
	}
}

// Create makes the run, and then what it carries, which belongs to it: it starts when that is there, and whatever is cut off
// leaves nothing. The first of Interrupts ends it, with CodeCancelled: an API server that does not answer keeps nobody. Where
// the run has no UID then, it isn't known whether there is one of its name, and the caller clears it.
func (r *Runner) Create(ctx context.Context, exec *v1alpha1.SandboxExec, cargo *Cargo) error {
	creating, interrupted := r.untilInterrupted(ctx)
	err := r.create(creating, exec, cargo)
	if !interrupted() {
		return err
	}
	if err == nil {
		r.Clear(ctx, exec)
	}
	return &cli.Failure{Problem: "cancelled while the run was being made", Code: cli.CodeCancelled}
}

// untilInterrupted is a context that is over at the first of Interrupts. The function ends it, and says whether there was one:
// those after it are left to who follows the run.
func (r *Runner) untilInterrupted(ctx context.Context) (context.Context, func() bool) {
	until, cancel := context.WithCancel(ctx)
	told := make(chan bool, 1)
	go func() {
		defer cancel()
		select {
		case <-r.Interrupts:
			told <- true
		case <-until.Done():
			told <- false
		}
	}()
	return until, func() bool {
		cancel()
		return <-told
	}
}

func (r *Runner) create(ctx context.Context, exec *v1alpha1.SandboxExec, cargo *Cargo) error {
	if exec.Labels == nil {
		exec.Labels = map[string]string{}
	}
	exec.Labels[MadeByLabel] = MadeBy
	if err := r.Client.Create(ctx, exec); err != nil {
		return cli.Explain(err)
	}
	if cargo.empty() {
		return nil
	}
	if err := r.deliver(ctx, exec, cargo); err != nil {
		r.Clear(ctx, exec)
		return err
	}
	return nil
}

// clearTime bounds what is done for a run whose user has left.
const clearTime = 5 * time.Second

// Clear deletes the run: what it carried and stored goes with it, and a command that still runs is killed. It does not wait for
// that. The context may be over.
func (r *Runner) Clear(ctx context.Context, exec *v1alpha1.SandboxExec) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTime)
	defer cancel()
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, exec, client.PropagationPolicy("Background"))); err != nil {
		r.notef("%s was not deleted (%v): kubectl delete sandboxexec -n %s %s", exec.Name, err, exec.Namespace, exec.Name)
	}
}

// Cancel asks for the end of the run.
func (r *Runner) Cancel(ctx context.Context, exec *v1alpha1.SandboxExec) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTime)
	defer cancel()
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"desiredState":"Cancelled"}}`))
	return client.IgnoreNotFound(r.Client.Patch(ctx, exec.DeepCopy(), patch))
}

// KeptFor says for how long a finished run stays that nobody deletes.
func KeptFor(exec *v1alpha1.SandboxExec) string {
	if exec.Spec.TTLSecondsAfterFinished == nil {
		return "until you delete it"
	}
	return fmt.Sprintf("until %s after the run's end", time.Duration(*exec.Spec.TTLSecondsAfterFinished)*time.Second)
}

// notef tells the person at the terminal.
func (r *Runner) notef(format string, arguments ...any) {
	if r.Notes != nil {
		fmt.Fprintf(r.Notes, "kubectl sandbox: "+format+"\n", arguments...)
	}
}
