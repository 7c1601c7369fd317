// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// whole is what there is of a stream whose command has ended: from status where that has all of it, exactly, else from where
// it is stored.
func (r *Runner) whole(ctx context.Context, namespace string, status *v1alpha1.StreamStatus) *whole {
	if status == nil || status.Bytes == nil {
		return nil
	}
	w := &whole{head: []byte(status.Head), tail: []byte(status.Tail), total: *status.Bytes}
	switch {
	case status.Retention == v1alpha1.RetentionComplete && status.Encoding == v1alpha1.EncodingUTF8:
		w.total = int64(len(w.head)) // Secrets that were taken out of it are not missing
		return w
	case status.StoredIn != nil:
		parts, err := r.Stored(ctx, namespace, status.StoredIn)
		if err == nil {
			return storedWhole(parts, w.total)
		}
		r.notef("the whole of a stream can't be read (%v)", err)
	}
	w.problem = problemOf(status)
	return w
}

// storedWhole is one part that is all, or beginning and end.
func storedWhole(parts [][]byte, total int64) *whole {
	if len(parts) == 1 {
		return &whole{head: parts[0], total: int64(len(parts[0]))}
	}
	return &whole{head: parts[0], tail: parts[1], total: total}
}

// problemOf says what is missing of a stream of which status alone is there.
func problemOf(status *v1alpha1.StreamStatus) string {
	switch status.Retention {
	case v1alpha1.RetentionComplete:
		return "bytes that are no UTF-8 are shown as U+FFFD, as it was not stored"
	case v1alpha1.RetentionTruncated:
		return fmt.Sprintf("of its %d bytes the middle is missing here, as it was not stored", *status.Bytes)
	case v1alpha1.RetentionUnknown:
		return "the disk of the sandbox was full: what came last may be missing"
	case v1alpha1.RetentionWithheld:
		return fmt.Sprintf("its %d bytes are withheld: a Secret that the command was given has changed since", *status.Bytes)
	case v1alpha1.RetentionCompacted:
		return fmt.Sprintf("its %d bytes are not kept any more: the run finished long ago", *status.Bytes)
	}
	return fmt.Sprintf("its %d bytes were not kept (%s)", *status.Bytes, status.Retention)
}

// Stored reads the parts of an output or a stream that was stored: one, or its beginning and its end.
func (r *Runner) Stored(ctx context.Context, namespace string, in *v1alpha1.StoredObject) ([][]byte, error) {
	data := map[string][]byte{}
	if in.ConfigMap != "" {
		configMap := &corev1.ConfigMap{}
		if err := r.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: in.ConfigMap}, configMap); err != nil {
			return nil, cli.Explain(err)
		}
		for key, text := range configMap.Data {
			data[key] = []byte(text)
		}
		maps.Copy(data, configMap.BinaryData)
	} else {
		secret := &corev1.Secret{}
		if err := r.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: in.Secret}, secret); err != nil {
			return nil, cli.Explain(err)
		}
		data = secret.Data
	}
	var parts [][]byte
	for _, key := range in.Keys {
		content, ok := data[key]
		if !ok {
			return nil, fmt.Errorf("%s%s has no key %s", in.ConfigMap, in.Secret, key)
		}
		parts = append(parts, content)
	}
	return parts, nil
}

// ErrNoOutput is the cause of a Failure of Output where there is no content to be had, now or later.
var ErrNoOutput = errors.New("no such output")

// Output is the content of one of the run's outputs.
func (r *Runner) Output(ctx context.Context, exec *v1alpha1.SandboxExec, path string) ([]byte, error) {
	for i := range exec.Status.Outputs {
		o := &exec.Status.Outputs[i]
		if o.Name != path {
			continue
		}
		switch o.State {
		case v1alpha1.OutputKept:
			return []byte(o.Content), nil
		case v1alpha1.OutputStored:
			parts, err := r.Stored(ctx, exec.Namespace, o.StoredIn)
			if err != nil {
				return nil, err
			}
			return parts[0], nil
		}
		return nil, &cli.Failure{Problem: lack(o), Cause: ErrNoOutput}
	}
	return nil, &cli.Failure{
		Problem: fmt.Sprintf("nothing is known of %s: the run ended before it was looked for", path), Cause: ErrNoOutput,
	}
}

// lack says why an output has no content.
func lack(o *v1alpha1.OutputStatus) string {
	switch {
	case o.State == v1alpha1.OutputMissing:
		return fmt.Sprintf("there is no %s in the sandbox", o.Name)
	case o.State == v1alpha1.OutputListed:
		return fmt.Sprintf("%s is a directory in the sandbox", o.Name)
	case o.Message != "":
		return fmt.Sprintf("%s: %s", o.Name, o.Message)
	}
	return fmt.Sprintf("%s is %s", o.Name, o.State)
}
