// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import "context"

// SetLabels implements backends.Labeler.
func (b *backend) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	return b.annotate(ctx, operationSetLabels, id, remoteLabels, ownLabels(labels))
}
