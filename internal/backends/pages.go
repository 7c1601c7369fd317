// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import "context"

type pagesKey struct{}

// WithPages returns a context for a List, in which [NextPage] calls wait.
func WithPages(ctx context.Context, wait func(context.Context) error) context.Context {
	return context.WithValue(ctx, pagesKey{}, wait)
}

// NextPage is called by a List before each page but the first, which the caller has accounted for: it waits until the account's
// rate lets another call through. It returns an error where the context ends before.
func NextPage(ctx context.Context) error {
	if wait, ok := ctx.Value(pagesKey{}).(func(context.Context) error); ok {
		return wait(ctx)
	}
	return ctx.Err()
}
