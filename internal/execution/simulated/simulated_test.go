// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package simulated_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"go.uber.org/goleak"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
	"github.com/sandbox-operator/sandbox-operator/internal/execution/simulated"
)

// sandbox is the way of package execution to a simulated remote.
type sandbox struct {
	runner *simulated.Runner
	root   string
}

func (s sandbox) RunCommand(ctx context.Context, command backends.Command) (backends.Result, error) {
	return s.runner.RunCommand(ctx, backends.Remote{ID: "remote"}, command)
}

func (s sandbox) SpoolRoot() string { return s.root }

// start returns a run whose program the function stands for, and the runner.
func start(t *testing.T, program simulated.Func) (execution.Run, *simulated.Runner) {
	t.Helper()
	runner := simulated.New(program)
	t.Cleanup(func() {
		runner.Close()
		goleak.VerifyNone(t)
	})
	keep := execution.Keep{Head: 10, Tail: 10}
	return execution.Run{Sandbox: sandbox{runner, t.TempDir()}, Name: "uid-1", Stdout: keep, Stderr: keep, Progress: 100}, runner
}

var program = execution.Program{Argv: []string{"program"}, SecretsDigest: "digest"}

func hang(ctx context.Context, run simulated.Run) int {
	_, _ = fmt.Fprint(run.Stdout, "begun")
	<-ctx.Done()
	return 0
}

func TestAProgramIsStartedOnceAndItsEndIsReportedAsOften(t *testing.T) {
	g := NewWithT(t)
	var started atomic.Int32
	long := strings.Repeat("0123456789", 10)
	run, _ := start(t, func(_ context.Context, r simulated.Run) int {
		started.Add(1)
		_, _ = fmt.Fprint(r.Stdout, long)
		_, _ = fmt.Fprint(r.Stderr, strings.Join(r.Program.Argv, " "))
		return 3
	})
	for range 2 {
		report, err := run.Start(t.Context(), program)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(report.State).To(Equal(execution.StateExited))
		g.Expect([]any{report.End.ExitCode, report.End.Cause, report.End.SecretsDigest}).To(Equal([]any{3, execution.CauseExited, "digest"}))
		g.Expect([]any{report.End.Stdout.Bytes, report.End.Stdout.Truncated}).To(Equal([]any{int64(100), true}))
		g.Expect(string(report.End.Stdout.Head) + string(report.End.Stdout.Tail)).To(Equal("01234567890123456789"))
		sum := sha256.Sum256([]byte(long))
		g.Expect(report.End.Stdout.SHA256).To(Equal(hex.EncodeToString(sum[:])))
		g.Expect(string(report.End.Stderr.Head)).To(Equal("program"))
	}
	g.Expect(started.Load()).To(BeEquivalentTo(1))
}

func TestAProgramThatRunsIsFollowedAndKilled(t *testing.T) {
	g := NewWithT(t)
	run, _ := start(t, hang)
	report, err := run.Start(t.Context(), program)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.State).To(Equal(execution.StateRunning))
	g.Expect(string(report.Progress.Stdout.Tail)).To(Equal("begun"))
	report, err = run.Prevent(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.State).To(Equal(execution.StateRunning), "what has started goes on")
	report, err = run.Cancel(t.Context(), true)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.State).To(Equal(execution.StateExited))
	g.Expect([]any{report.End.ExitCode, report.End.Cause}).To(Equal([]any{143, execution.CauseCancelled}))
}

func TestAProgramEndsWithItsTime(t *testing.T) {
	g := NewWithT(t)
	run, _ := start(t, hang)
	limited := program
	limited.Timeout = 50 * time.Millisecond
	report, err := run.Start(t.Context(), limited)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.End.Cause).To(Equal(execution.CauseTimedOut))
}

func TestWhatWasPreventedNeverStarts(t *testing.T) {
	g := NewWithT(t)
	run, _ := start(t, func(context.Context, simulated.Run) int { panic("it runs") })
	report, err := run.Look(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.State).To(Equal(execution.StateAbsent))
	for _, call := range []func() (execution.Report, error){
		func() (execution.Report, error) { return run.Cancel(t.Context(), false) },
		func() (execution.Report, error) { return run.Start(t.Context(), program) },
	} {
		report, err = call()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(report.State).To(Equal(execution.StateNever))
	}
}

func TestAProgramEndsWithItsSandbox(t *testing.T) {
	g := NewWithT(t)
	run, runner := start(t, hang)
	_, err := run.Start(t.Context(), program)
	g.Expect(err).NotTo(HaveOccurred())
	runner.Forget("remote")
	report, err := run.Look(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(report.State).To(Equal(execution.StateAbsent))
}
