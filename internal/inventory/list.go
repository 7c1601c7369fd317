// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inventory lists what each account has, and compares it with what the Sandboxes of the cluster say that it should
// have: remotes that changed or are missing, orphans that no Sandbox has any more, and surplus that a Sandbox has beside its
// own. It destroys nothing and wakes nobody: what follows from a [Verdict] is for the controllers to do, after they have
// asked the provider, or the API server, once more.
//
// list.go makes one list call an account and period, judge.go compares.
package inventory

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Door is what is needed of a provider.Door.
type Door interface {
	// Account tells one account from another.
	Account() string
	// List is that of the backend.
	List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error)
}

// Snapshot is what an account has, at one time.
type Snapshot struct {
	// Sequence grows with every list of the account.
	Sequence int64
	// At is when the list was asked for.
	At time.Time
	// Remotes are those of this installation, and, where the list was asked for everything, all others, too.
	Remotes []backends.Remote
	// everything says that the list has remotes without a mark.
	everything bool
}

// Lists keeps the latest list of each account, so that the providers that share one make one call a period. It is safe for
// concurrent use.
type Lists struct {
	// Clock tells how old a list is.
	Clock clock.PassiveClock
	// Installation selects the remotes of this installation.
	Installation string
	// Period is how often an account is listed.
	Period time.Duration

	mutex    sync.Mutex
	accounts map[string]*list
}

// list is one account's. Its turn is held while it is listed.
type list struct {
	turn     chan struct{}
	snapshot Snapshot
}

// Get returns what the account has: the latest list, if it is of this period, or else a new one. Everything asks for remotes
// without a mark, too, such as those that were adopted.
func (l *Lists) Get(ctx context.Context, door Door, everything bool) (Snapshot, error) {
	account := l.account(door.Account())
	select {
	case account.turn <- struct{}{}:
		defer func() { <-account.turn }()
	case <-ctx.Done():
		return Snapshot{}, ctx.Err()
	}
	now, latest := l.Clock.Now(), account.snapshot
	if latest.Sequence > 0 && now.Sub(latest.At) < l.Period*3/4 && (latest.everything || !everything) {
		return latest, nil
	}
	filter := backends.Filter{Installation: l.Installation}
	if everything {
		filter = backends.Filter{}
	}
	remotes, err := door.List(ctx, filter)
	if err != nil {
		return Snapshot{}, err
	}
	account.snapshot = Snapshot{Sequence: latest.Sequence + 1, At: now, Remotes: remotes, everything: everything}
	return account.snapshot, nil
}

func (l *Lists) account(key string) *list {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.accounts == nil {
		l.accounts = map[string]*list{}
	}
	if l.accounts[key] == nil {
		l.accounts[key] = &list{turn: make(chan struct{}, 1)}
	}
	return l.accounts[key]
}
