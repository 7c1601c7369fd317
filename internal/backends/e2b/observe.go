// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	operationGet  = "get"
	operationList = "list"
	// pageSize is the most that E2B puts on a page.
	pageSize = 100
	// mostPages ends a list whose pages have no end.
	mostPages = 10_000
)

// Get implements backends.Backend. It only reads: E2B's connect would resume a paused sandbox, and put off its end.
func (b *backend) Get(ctx context.Context, id string) (backends.Remote, error) {
	found, err := b.look(ctx, operationGet, id)
	if err != nil {
		return backends.Remote{}, err
	}
	return found.remote(), nil
}

func (b *backend) look(ctx context.Context, operation, id string) (described, error) {
	var found described
	err := b.ofSandbox(ctx, operation, http.MethodGet, id, "", nil, &found)
	return found, err
}

// List implements backends.Backend.
func (b *backend) List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error) {
	query := url.Values{"state": {"running,paused"}}
	if wanted := filterOf(filter); len(wanted) > 0 {
		query.Set("metadata", filterParameter(wanted))
	}
	var remotes []backends.Remote
	seen := map[string]bool{}
	call := request{operation: operationList, method: http.MethodGet, path: "/v2/sandboxes", query: query}
	for page, err := range pages[described](ctx, b, call) {
		if err != nil {
			return nil, err
		}
		for _, one := range page {
			// A sandbox that was paused between two pages may be on both. One that the filter does not select is no match to the
			// operator, whatever the provider made of the query.
			if remote := one.remote(); !seen[remote.ID] && filter.Matches(remote.Mark) {
				seen[remote.ID] = true
				remotes = append(remotes, remote)
			}
		}
	}
	return remotes, nil
}

// pages reads a list to its last page.
func pages[Item any](ctx context.Context, b *backend, r request) iter.Seq2[[]Item, error] {
	return func(yield func([]Item, error) bool) {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}}
		maps.Copy(query, r.query)
		r.query = query
		for range mostPages {
			var page []Item
			header, err := b.ask(ctx, r, &page)
			if !yield(page, err) || err != nil {
				return
			}
			next := header.Get("X-Next-Token")
			if next == "" {
				return
			}
			if err := backends.NextPage(ctx); err != nil {
				yield(nil, b.client.Trouble(r.operation, err, false))
				return
			}
			query.Set("nextToken", next)
		}
		yield(nil, backends.Errorf(backends.Unavailable, Name, r.operation, "the list has no end"))
	}
}
