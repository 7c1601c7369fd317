// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// ConfirmationsAtOnce is how many reads of one provider may be under way. With one, who asked waited for up to two of them; with four,
// it is a read for every fifth Sandbox of a burst of 500 in place of every tenth.
const ConfirmationsAtOnce = 4

// Confirmer asks the API server itself whether a provider still stands as it was written down. What is asked for by many at once is
// read for all of them together where ConfirmationsAtOnce reads are under way, but never from a read that began before somebody asked:
// what he wrote before that is older than the answer. The zero value with a Reader is ready for use.
type Confirmer struct {
	// Reader reads from the API server, not from a cache.
	Reader client.Reader

	mutex   sync.Mutex
	readers map[string]*confirmations
}

// confirmations are those of one provider.
type confirmations struct {
	// turns are held by the reads that are under way.
	turns chan struct{}
	// next is the read that has not begun, and users are all who wait for any.
	next  *confirmation
	users int
}

// confirmation is one read, and what came of it once done is closed.
type confirmation struct {
	done  chan struct{}
	found metav1.PartialObjectMetadata
	err   error
}

// Confirm fails where the provider is gone, another of its name, or being deleted: with a *SetupError, as Finder does. Where nobody keeps
// it, it fails as ConfirmKept does.
func (c *Confirmer) Confirm(ctx context.Context, namespace string, id v1alpha1.ProviderIdentity) error {
	key := types.NamespacedName{Namespace: namespace, Name: id.Name}
	if id.Kind == v1alpha1.KindClusterSandboxProvider {
		key.Namespace = ""
	}
	found, err := c.read(ctx, id.Kind, key)
	switch {
	case apierrors.IsNotFound(err):
		return setupErrorf(v1alpha1.ReasonProviderNotFound, "%s %q does not exist any more", id.Kind, id.Name)
	case err != nil:
		return fmt.Errorf("reading %s %q: %w", id.Kind, id.Name, err)
	case string(found.UID) != id.UID:
		return setupErrorf(v1alpha1.ReasonProviderNotFound, "%s %q was deleted, and another has its name", id.Kind, id.Name)
	case !found.DeletionTimestamp.IsZero():
		return setupErrorf(v1alpha1.ReasonProviderNotFound, "%s %q is being deleted", id.Kind, id.Name)
	}
	return ConfirmKept(found, id)
}

// ConfirmKept fails with a conflict where a provider, as it was read after the journal, has lost the finalizer that keeps it: its deletion
// would not wait for what is in the journal.
func ConfirmKept(found client.Object, id v1alpha1.ProviderIdentity) error {
	if controllerutil.ContainsFinalizer(found, v1alpha1.InUseFinalizer) {
		return nil
	}
	resource, _ := meta.UnsafeGuessKindToResource(v1alpha1.GroupVersion.WithKind(string(id.Kind)))
	return apierrors.NewConflict(resource.GroupResource(), id.Name, errors.New("somebody took its finalizer away"))
}

func (c *Confirmer) read(ctx context.Context, kind v1alpha1.ProviderKind, key types.NamespacedName) (*metav1.PartialObjectMetadata, error) {
	for {
		all, mine, leads := c.join(string(kind) + "/" + key.String())
		if leads {
			c.lead(ctx, all, mine, kind, key)
		}
		var err error
		select {
		case <-mine.done:
			err = mine.err
		case <-ctx.Done():
			err = ctx.Err()
		}
		c.leave(all, string(kind)+"/"+key.String())
		if err != nil && ctx.Err() == nil && isOver(err) {
			// Who read for all was called off, and not the others.
			continue
		}
		return &mine.found, err
	}
}

// join takes part in the next read; who is the first has to lead it.
func (c *Confirmer) join(key string) (all *confirmations, mine *confirmation, leads bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.readers == nil {
		c.readers = map[string]*confirmations{}
	}
	if all = c.readers[key]; all == nil {
		all = &confirmations{turns: make(chan struct{}, ConfirmationsAtOnce)}
		c.readers[key] = all
	}
	all.users++
	if leads = all.next == nil; leads {
		all.next = &confirmation{done: make(chan struct{})}
	}
	return all, all.next, leads
}

// lead waits until there is a turn, and reads for all who have joined by then.
func (c *Confirmer) lead(
	ctx context.Context, all *confirmations, mine *confirmation, kind v1alpha1.ProviderKind, key types.NamespacedName,
) {
	defer close(mine.done)
	var held bool
	select {
	case all.turns <- struct{}{}:
		held = true
	case <-ctx.Done():
		mine.err = ctx.Err()
	}
	c.mutex.Lock()
	all.next = nil
	c.mutex.Unlock()
	if !held {
		return
	}
	defer func() { <-all.turns }()
	mine.found.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(string(kind)))
	mine.err = c.Reader.Get(ctx, key, &mine.found)
}

func (c *Confirmer) leave(all *confirmations, key string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if all.users--; all.users == 0 {
		delete(c.readers, key)
	}
}

func isOver(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
