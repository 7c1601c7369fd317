// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

// try runs a command in a sandbox of its own of the default provider: the one check that proves it all.
func (p *patient) try(ctx context.Context) Finding {
	const check, word, patience = "try", "works", 2 * time.Minute
	interrupted, stop := cli.UntilInterrupted(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(interrupted, patience)
	defer cancel()
	began := time.Now()
	said, err := p.echo(ctx, word)
	switch {
	case err != nil && interrupted.Err() != nil:
		return failed(check, "", "cancelled before the command had ended")
	case err != nil:
		return broken(check, err)
	case said != word:
		return failed(check, "kubectl sandbox run -- echo "+word, "a command printed %q, and not %q", said, word)
	}
	return fine(check, "a command ran in a sandbox of its own, in %s", time.Since(began).Round(10*time.Millisecond))
}

// echo has a sandbox print a word, and leaves nothing of it in the cluster.
func (p *patient) echo(ctx context.Context, word string) (string, error) {
	runner := &runs.Runner{Client: p.WithWatch, Notes: p.factory.ErrOut, Quiet: true}
	run := &v1alpha1.SandboxExec{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: runs.NewName("doctor")},
		Spec: v1alpha1.SandboxExecSpec{
			Sandbox: &v1alpha1.SandboxSpec{}, Command: []string{"echo", word},
			TTLSecondsAfterFinished: new(int32(runs.LeftBehindTTL.Seconds())),
		},
	}
	if err := runner.Create(ctx, run, nil); err != nil {
		if ctx.Err() != nil {
			runner.Clear(ctx, run) // only the answer may have been cut off
		}
		return "", err
	}
	defer runner.Clear(ctx, run)
	var out bytes.Buffer
	err := runner.Follow(ctx, run, runs.Streams{Out: &out})
	return strings.TrimSpace(out.String()), err
}
