// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// StripFinished is the cache's transform: it leaves out what no reconciler reads, so that memory does not grow with what
// finished runs have printed. Objects that went through it are patched only, and by differences of what is left.
func StripFinished(object any) (any, error) {
	if o, ok := object.(client.Object); ok {
		o.SetManagedFields(nil)
	}
	exec, ok := object.(*v1alpha1.SandboxExec)
	if !ok || exec.Status.Outcome == "" {
		return object, nil
	}
	spec, status := &exec.Spec, &exec.Status
	spec.Command, spec.Env, spec.EnvFrom, spec.Stdin, spec.Inputs, spec.Outputs = nil, nil, nil, nil, nil, nil
	spec.Code, spec.Streams, spec.Retry = nil, nil, nil
	if spec.Sandbox != nil {
		spec.Sandbox = &v1alpha1.SandboxSpec{}
	}
	for _, stream := range []*v1alpha1.StreamStatus{status.Stdout, status.Stderr} {
		if stream != nil {
			stream.Head, stream.Tail, stream.SHA256 = "", "", ""
		}
	}
	for i := range status.Outputs {
		status.Outputs[i].Content, status.Outputs[i].Entries = "", nil
	}
	for i := range status.Conditions {
		// They all say the same, which is kept once.
		if i > 0 && status.Conditions[i].Message == status.Conditions[0].Message {
			status.Conditions[i].Message = status.Conditions[0].Message
		}
	}
	delete(exec.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	return object, nil
}

// compactAt is when the output of a finished run is dropped; zero = never, or there is none.
func (p *execPass) compactAt() time.Time {
	status := &p.exec.Status
	if p.options.CompactAfter <= 0 || status.CompletionTime == nil || !hasOutput(status) {
		return time.Time{}
	}
	return status.CompletionTime.Add(p.options.CompactAfter)
}

// hasOutput says that output of the run is in its status. The cache knows no more of it than that.
func hasOutput(status *v1alpha1.SandboxExecStatus) bool {
	return isKept(status.Stdout) || isKept(status.Stderr) || slices.ContainsFunc(status.Outputs, func(o v1alpha1.OutputStatus) bool {
		return o.State == v1alpha1.OutputKept || o.State == v1alpha1.OutputListed
	})
}

func isKept(stream *v1alpha1.StreamStatus) bool {
	if stream == nil || stream.Bytes == nil || *stream.Bytes == 0 {
		return false
	}
	switch stream.Retention {
	case v1alpha1.RetentionComplete, v1alpha1.RetentionTruncated, v1alpha1.RetentionUnknown:
		return true
	default:
		return false
	}
}

// compact drops the output of a run that finished long ago. The patch is written by hand, as the cache does not have what is
// to go; of the outputs it needs all the rest, so the live object says what that is.
func (p *execPass) compact(ctx context.Context) error {
	var live v1alpha1.SandboxExec
	if err := p.live.Get(ctx, client.ObjectKeyFromObject(p.exec), &live); err != nil {
		return client.IgnoreNotFound(err)
	}
	if live.UID != p.exec.UID || !hasOutput(&live.Status) || !p.options.Shard.Has(&live) {
		return nil
	}
	status := map[string]any{}
	for name, stream := range map[string]*v1alpha1.StreamStatus{stdoutName: live.Status.Stdout, stderrName: live.Status.Stderr} {
		if isKept(stream) {
			status[name] = map[string]any{"head": nil, "tail": nil, "retention": v1alpha1.RetentionCompacted}
		}
	}
	if len(live.Status.Outputs) > 0 {
		status["outputs"] = compacted(live.Status.Outputs)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": live.ResourceVersion}, "status": status})
	if err != nil {
		return fmt.Errorf("compacting a finished run: %w", err)
	}
	if err := p.client.Status().Patch(ctx, p.exec, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("compacting a finished run: %w", err)
	}
	return nil
}

func compacted(outputs []v1alpha1.OutputStatus) []v1alpha1.OutputStatus {
	for i := range outputs {
		if o := &outputs[i]; o.State == v1alpha1.OutputKept || o.State == v1alpha1.OutputListed {
			o.State, o.Content, o.Entries = v1alpha1.OutputCompacted, "", nil
		}
	}
	return outputs
}
