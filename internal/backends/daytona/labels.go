// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"net/http"
	"net/url"
)

// SetLabels implements backends.Labeler. The server replaces all labels, so the mark, and what else is the operator's, is read and
// written again.
func (b *backend) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	found, err := b.read(ctx, operationSetLabels, id)
	if err != nil {
		return err
	}
	wanted := labelsOf(found.mark(), labels)
	if signed, asked := found.Labels[signedLabel]; asked {
		wanted[signedLabel] = signed
	}
	body := map[string]any{"labels": wanted}
	return b.call(ctx, request{
		operation: operationSetLabels, method: http.MethodPut, path: "/sandbox/" + url.PathEscape(id) + "/labels", body: body, effect: true,
	}, nil)
}
