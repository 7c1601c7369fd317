// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Watch implements backends.Watcher. The API server sends the pods that there are first, and ends each watch after a while.
func (b *backend) Watch(ctx context.Context, installation string, changed func(backends.Remote)) error {
	stream, err := b.pods.Watch(ctx, metav1.ListOptions{LabelSelector: selector(backends.Filter{Installation: installation})})
	if err != nil {
		return b.trouble(operationWatch, "pods", err, false)
	}
	defer stream.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-stream.ResultChan():
			if !open {
				return nil
			}
			if event.Type == watch.Error {
				return b.trouble(operationWatch, "pods", apierrors.FromObject(event.Object), false)
			}
			pod, ok := event.Object.(*corev1.Pod)
			if !ok {
				return errors.New("the watch sent something that is no pod")
			}
			remote := b.remote(pod)
			if event.Type == watch.Deleted {
				remote.State = ""
			}
			changed(remote)
		}
	}
}
