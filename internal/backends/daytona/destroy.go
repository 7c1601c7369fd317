// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Destroy implements backends.Backend. The server accepts, and frees the name at once; the ID is found until all is gone. A sandbox that
// is busy can't be destroyed yet: that is Unavailable, unless what it is busy with is being destroyed.
func (b *backend) Destroy(ctx context.Context, id string) error {
	call := request{
		operation: operationDestroy, method: http.MethodDelete, path: "/sandbox/" + url.PathEscape(id), effect: true,
	}
	err := b.call(ctx, call, nil)
	if err == nil || errors.Is(err, backends.NotFound) {
		b.places.forget(id)
		return err
	}
	if !errors.Is(err, backends.Unavailable) {
		return err
	}
	found, readErr := b.read(ctx, operationDestroy, id)
	switch {
	case errors.Is(readErr, backends.NotFound):
		return readErr
	case readErr == nil && (found.State == stateDestroying || found.DesiredState == stateDestroyed):
		return nil
	}
	return err
}
