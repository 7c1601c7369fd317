// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

const (
	// stuckTime is how long a run may wait for what does not come by itself.
	stuckTime = 2 * time.Second
	// waitingTime is after how long it is said what a run waits for.
	waitingTime = 4 * time.Second
	// pollPeriod is how often a run is looked at by who may not watch, or lost the watch.
	pollPeriod = 500 * time.Millisecond
	// offlineTime is how long an API server may be away.
	offlineTime = 2 * time.Minute
)

// errOutOfSight is the cause of a Failure where the run can't be followed any more, and goes on.
var errOutOfSight = errors.New("out of sight")

// GoesOn says whether the error of Follow means that the run is out of sight, and not over: it is to be left alone.
func GoesOn(err error) bool { return errors.Is(err, errOutOfSight) }

// errUnprinted is the cause of a Failure where the run ended, and not all of its output could be printed here.
var errUnprinted = errors.New("unprinted")

// IsUnprinted says whether the error of Follow means that some output is nowhere but in the cluster: the run is to be kept.
func IsUnprinted(err error) bool { return errors.Is(err, errUnprinted) }

// IsFinished says whether the run has an outcome.
func IsFinished(exec *v1alpha1.SandboxExec) bool {
	return meta.IsStatusConditionTrue(exec.Status.Conditions, v1alpha1.ConditionFinished)
}

// follower is one run on its way to its end.
type follower struct {
	*Runner
	exec     *v1alpha1.SandboxExec
	out, err *stream
	began    time.Time
	// stuckSince is since when it waits for what does not come by itself; zero = it does not.
	stuckSince time.Time
	// said is what was last said of its waiting.
	said string
	// interrupted says that it was asked to end, and onlooker that nobody asks for that here.
	interrupted, onlooker bool
	// unprinted is the first failure of a write that is not that of a pipe whose reader went away: such as of a full disk.
	unprinted error
}

// OperatorCommand shows whether an operator runs in the cluster.
const OperatorCommand = "kubectl get pods -A -l app.kubernetes.io/name=sandbox-operator"

// Show prints what there is of a run's output now: all that is kept where it has ended, else what it printed last.
func (r *Runner) Show(ctx context.Context, exec *v1alpha1.SandboxExec, streams Streams) error {
	f := r.follower(exec, streams)
	f.onlooker = true
	if IsFinished(exec) {
		return f.finish(ctx)
	}
	for _, s := range f.streams() {
		if s.status != nil {
			if err := s.print([]byte(s.status.Tail)); err != nil {
				return f.printing(err)
			}
		}
	}
	return nil
}

// Watch is Follow for one who only looks: it cancels nothing, however it ends.
func (r *Runner) Watch(ctx context.Context, exec *v1alpha1.SandboxExec, streams Streams) error {
	f := r.follower(exec, streams)
	f.onlooker, f.out.late, f.err.late = true, f.notef, f.notef
	return f.run(ctx)
}

// Follow prints the run's output as it comes, until it has ended, and keeps exec up to date. The error is that of Outcome, or
// why it could not be followed any longer: then the run may still go on, unless it was never seen by an operator, or waits for
// what does not come by itself. Those, and runs that were left by a second Ctrl-C, are cancelled. exec's outputs are to be read
// before the caller calls Clear, which is not to be where GoesOn or IsUnprinted says so.
func (r *Runner) Follow(ctx context.Context, exec *v1alpha1.SandboxExec, streams Streams) error {
	return r.follower(exec, streams).run(ctx)
}

func (r *Runner) follower(exec *v1alpha1.SandboxExec, streams Streams) *follower {
	return &follower{
		Runner: r, exec: exec, out: newStream("stdout", streams.Out), err: newStream("stderr", streams.Err), began: time.Now(),
	}
}

// run follows it beside a watch, which ends first.
func (f *follower) run(ctx context.Context) error {
	following, stop := context.WithCancel(ctx)
	changes, ended := make(chan change), make(chan struct{})
	seen := f.exec.DeepCopy()
	go func() {
		defer close(ended)
		f.watch(following, seen, changes)
	}()
	defer func() {
		stop()
		<-ended
	}()
	return f.follow(following, changes)
}

// change is what became of the run: its new state, or why there is none.
type change struct {
	exec *v1alpha1.SandboxExec
	err  error
}

func (f *follower) follow(ctx context.Context, changes <-chan change) error {
	clock := time.NewTicker(250 * time.Millisecond)
	defer clock.Stop()
	if done, err := f.see(ctx); done {
		return err
	}
	for {
		select {
		case c := <-changes:
			if c.err != nil {
				return c.err
			}
			c.exec.DeepCopyInto(f.exec)
			if done, err := f.see(ctx); done {
				return err
			}
		case <-f.Interrupts:
			if err := f.interrupt(ctx); err != nil {
				return err
			}
		case <-clock.C:
			if err := f.patience(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// see takes a new state of the run in, and says whether it is the last.
func (f *follower) see(ctx context.Context) (done bool, err error) {
	if IsFinished(f.exec) {
		err := f.finish(ctx)
		if err == nil {
			err = f.outcome()
		}
		return true, err
	}
	for _, s := range f.streams() {
		if err := f.printed(s.stream, s.soFar(s.status)); err != nil {
			f.giveUp(ctx)
			return true, err
		}
	}
	return false, nil
}

// outcome is that of the run; where not all was printed, the line says that, beside the exit code of the command.
func (f *follower) outcome() error {
	err := Outcome(f.exec)
	if f.unprinted == nil {
		return err
	}
	unprinted := cli.Fail(fmt.Sprintf("kubectl sandbox logs -n %s %s has it, %s", f.exec.Namespace, f.exec.Name, KeptFor(f.exec)),
		"printing the output: %v", f.unprinted)
	unprinted.Cause = errUnprinted
	if failure, ok := errors.AsType[*cli.Failure](err); ok {
		unprinted.Code = failure.Code
		if failure.Problem != "" {
			f.notef("%v", failure)
		}
	}
	return unprinted
}

// shown is a stream with what status has of it.
type shown struct {
	*stream
	status *v1alpha1.StreamStatus
}

func (f *follower) streams() []shown {
	return []shown{{f.out, f.exec.Status.Stdout}, {f.err, f.exec.Status.Stderr}}
}

// finish prints what is left of the output.
func (f *follower) finish(ctx context.Context) error {
	for _, s := range f.streams() {
		if s.shut {
			continue
		}
		if err := f.printed(s.stream, s.rest(f.whole(ctx, f.exec.Namespace, s.status), f.notef)); err != nil {
			return err
		}
	}
	return nil
}

// printed judges a write: only a reader that went away wants no more of the run. Where a disk is full, the command goes on, and
// its output waits in the cluster.
func (f *follower) printed(s *stream, err error) error {
	if err == nil {
		return nil
	}
	if f.onlooker || errors.Is(err, syscall.EPIPE) {
		return f.printing(err)
	}
	s.shut = true
	if f.unprinted == nil {
		f.unprinted = err
		f.notef("printing the output: %v; nothing more of %s is printed, and the run is kept", err, s.name)
	}
	return nil
}

// printing is the failure of a write.
func (*follower) printing(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return cli.Exit(cli.CodeBrokenPipe)
	}
	return cli.Fail("", "printing the output: %v", err)
}

// giveUp cancels the run, unless it is another's.
func (f *follower) giveUp(ctx context.Context) {
	if f.onlooker {
		return
	}
	if err := f.Cancel(ctx, f.exec); err != nil {
		f.notef("the run could not be cancelled: %v", cli.Explain(err))
	}
}

// interrupt cancels the run, and the second time leaves it.
func (f *follower) interrupt(ctx context.Context) error {
	if f.interrupted {
		f.notef("left; the run was told to end")
		return cli.Exit(cli.CodeCancelled)
	}
	f.interrupted = true
	f.notef("cancelling; Ctrl-C again leaves at once")
	f.giveUp(ctx)
	return nil
}

// patience says what the run waits for, and gives up what does not come by itself.
func (f *follower) patience(ctx context.Context) error {
	now := time.Now()
	if f.exec.Status.ObservedGeneration < 0 || len(f.exec.Status.Conditions) == 0 {
		return f.unseen(ctx, now)
	}
	stuck := stuckOn(f.exec)
	switch {
	case stuck == nil:
		f.stuckSince = time.Time{}
	case f.stuckSince.IsZero():
		f.stuckSince = now
	case now.Sub(f.stuckSince) >= stuckTime && !f.onlooker:
		f.giveUp(ctx)
		return stuck
	}
	if message := waitsFor(f.exec); message != "" && message != f.said && now.Sub(f.began) > waitingTime && !f.Quiet {
		f.said = message
		f.notef("waiting: %s", message)
	}
	return nil
}

// unseen is a run that no operator has seen yet.
func (f *follower) unseen(ctx context.Context, now time.Time) error {
	within := f.ObservedWithin
	if within == 0 {
		within = ObservedWithin
	}
	if now.Sub(f.began) > within && !f.onlooker {
		f.giveUp(ctx)
		return cli.Fail(OperatorCommand+" shows whether one runs", "no operator has seen the run within %s",
			within.Round(time.Second))
	}
	if now.Sub(f.began) > waitingTime && f.said == "" && !f.Quiet {
		f.said = "no operator has seen the run yet; " + OperatorCommand + " shows whether one runs"
		f.notef("%s", f.said)
	}
	return nil
}

// watch sends each new state of the run, until the context is over or it can't be seen any more.
func (r *Runner) watch(ctx context.Context, exec *v1alpha1.SandboxExec, changes chan<- change) {
	send := func(c change) bool {
		select {
		case changes <- c:
			return c.err == nil
		case <-ctx.Done():
			return false
		}
	}
	lastSeen := time.Now()
	for ctx.Err() == nil {
		_ = r.watchOnce(ctx, exec, send)
		if ctx.Err() != nil {
			return
		}
		// Who may not watch looks.
		seen := &v1alpha1.SandboxExec{}
		err := r.Client.Get(ctx, client.ObjectKeyFromObject(exec), seen)
		switch {
		case apierrors.IsNotFound(err), err == nil && seen.UID != exec.UID:
			send(change{err: cli.Fail("", "the SandboxExec %s was deleted before its end was seen", exec.Name)})
			return
		case err == nil:
			lastSeen = time.Now()
			seen.DeepCopyInto(exec)
			if !send(change{exec: seen}) {
				return
			}
		case time.Since(lastSeen) > offlineTime, apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			explained := cli.Explain(err)
			failure := cli.Fail(fmt.Sprintf("it goes on: kubectl sandbox logs -f -n %s %s", exec.Namespace, exec.Name),
				"the run can't be followed any more: %v", explained)
			failure.Cause = errOutOfSight
			send(change{err: failure})
			return
		}
		select {
		case <-time.After(pollPeriod):
		case <-ctx.Done():
		}
	}
}

// watchOnce sends what a watch has, until that ends. exec is kept up to date.
func (r *Runner) watchOnce(ctx context.Context, exec *v1alpha1.SandboxExec, send func(change) bool) error {
	watching, err := r.Client.Watch(ctx, &v1alpha1.SandboxExecList{}, &client.ListOptions{
		Namespace: exec.Namespace, FieldSelector: fields.OneTermEqualSelector("metadata.name", exec.Name),
		Raw: &metav1.ListOptions{ResourceVersion: exec.ResourceVersion},
	})
	if err != nil {
		return err
	}
	defer watching.Stop()
	for {
		var event watch.Event
		// Not every watch ends with its context, and who called waits for this.
		select {
		case event = <-watching.ResultChan():
		case <-ctx.Done():
			return nil
		}
		// The zero event of a watch that has ended has no object.
		seen, ok := event.Object.(*v1alpha1.SandboxExec)
		if !ok || event.Type == watch.Deleted {
			return nil
		}
		if seen.UID != exec.UID {
			continue
		}
		seen.DeepCopyInto(exec)
		if !send(change{exec: seen}) {
			return nil
		}
	}
}
