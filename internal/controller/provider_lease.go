// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/inventory"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
)

// renewals is how many leases of one account are renewed at once.
const renewals = 8

// renewLeases moves the ends of those remotes of the provider that come near, or that are not where they should be. What is
// not done within a period is due again in the next, the nearest end first; creations wait meanwhile.
func (p *providerPass) renewLeases(ctx context.Context) {
	if len(p.due) == 0 {
		return
	}
	var renewed atomic.Int64
	defer func() { p.leasesDue -= int(renewed.Load()) }()
	done := p.door.Hurry()
	defer done()
	ctx, cancel := context.WithTimeout(ctx, p.options.Period)
	defer cancel()
	work := make(chan dueLease)
	var group sync.WaitGroup
	for range min(renewals, len(p.due)) {
		group.Go(func() {
			for lease := range work {
				if p.renew(ctx, lease) {
					renewed.Add(1)
				}
			}
		})
	}
	for _, lease := range p.due {
		select {
		case work <- lease:
		case <-ctx.Done():
		}
	}
	close(work)
	group.Wait()
}

// renew moves one end, and says whether nothing is left to be done about it.
func (p *providerPass) renew(ctx context.Context, due dueLease) bool {
	err := p.door.SetLifetime(ctx, due.id, due.lifetime)
	p.countRenewal(err)
	switch {
	case err == nil:
		p.renewed.note(p.door.Account()+" "+due.id, due.end, p.clock.Now())
	case errors.Is(err, provider.ErrBusy), errors.Is(err, backends.RateLimited):
		// It is due again at the next period.
	case errors.Is(err, backends.NotFound):
		p.stir(ctx, p.sandboxes[due.uid])
	default:
		ctrl.LoggerFrom(ctx).Info("Could not renew the lease of a sandbox", "sandboxID", due.id, "cause", err.Error())
	}
	return err == nil || errors.Is(err, backends.NotFound)
}

// dueLease is an end that is to be moved.
type dueLease struct {
	uid, id  string
	end      time.Time
	lifetime time.Duration
}

func (p *providerPass) dueLeases() []dueLease {
	if !p.door.Can(backends.CapabilityLifetime) {
		return nil
	}
	owners := make(map[string]inventory.Sandbox)
	for _, sandbox := range p.sandboxes {
		if p.isForeign(sandbox) {
			// A list of everything, as adoption needs it, shows the other installation's remotes, too.
			continue
		}
		if s := inventoried(sandbox); s.Provider == string(p.provider.Object.GetUID()) && s.State != "" && !s.Leaving {
			owners[s.ID] = s
		}
	}
	var due []dueLease
	for i := range p.snapshot.Remotes {
		remote := &p.snapshot.Remotes[i]
		s, ok := owners[remote.ID]
		if !ok || remote.State == backends.StateStopped || hasNoEnd(p.door, *remote) {
			continue
		}
		lifetime, ok := dueLifetime(p.door, remote.ExpiresAt, s, p.clock.Now())
		if ok && !p.renewed.futile(p.door.Account()+" "+remote.ID, remote.ExpiresAt, lifetime, p.clock.Now()) {
			due = append(due, dueLease{uid: s.UID, id: remote.ID, end: remote.ExpiresAt, lifetime: lifetime})
		}
	}
	slices.SortFunc(due, func(a, b dueLease) int { return a.end.Compare(b.end) })
	return due
}

// endSlack is within what two ends are the same.
const endSlack = 2 * time.Second

// renewed remembers ends that did not move when they were told to: a plan may allow a remote no more time, and says so to nobody. Such a
// one is tried again when half of the time is over that was left then.
type renewed struct {
	mutex sync.Mutex
	of    map[string]renewal
}

// renewal is one that the provider accepted, of a remote that ended at a time.
type renewal struct{ end, at time.Time }

func newRenewed() *renewed { return &renewed{of: map[string]renewal{}} }

func (r *renewed) note(remote string, end, now time.Time) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	maps.DeleteFunc(r.of, func(_ string, old renewal) bool { return old.end.Before(now) })
	r.of[remote] = renewal{end, now}
}

// futile says that the same was done for the same end, and not long ago. To bring an end nearer is not what plans forbid.
func (r *renewed) futile(remote string, end time.Time, lifetime time.Duration, now time.Time) bool {
	if end.Sub(now) > lifetime {
		return false
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	last, ok := r.of[remote]
	return ok && end.Sub(last.end).Abs() < endSlack && end.Sub(now) > last.end.Sub(last.at)/2
}

// hasNoEnd says that the remote, as it is, has no end that could be moved.
func hasNoEnd(door *provider.Door, remote backends.Remote) bool {
	return remote.State == backends.StatePaused && door.Registration().PausedRemotesStay
}

// dueLifetime says which lifetime, from now on, a remote shall be given that ends at a time (zero = never); false = none, it is
// good as it is.
func dueLifetime(door *provider.Door, end time.Time, s inventory.Sandbox, now time.Time) (time.Duration, bool) {
	var hard time.Duration
	if !s.ExpiresAt.IsZero() {
		if hard = s.ExpiresAt.Sub(now); hard <= 0 {
			return 0, false
		}
	}
	r := door.Registration()
	want := remoteLifetime(door.Lease(), hard, r)
	return want, isDue(end.Sub(now), end.IsZero(), want, r.MostLifetime, s.UID)
}

// remoteLifetime is how long from now on a remote shall live without being renewed, so that it outlives neither its lease nor,
// by more than the provider needs, its hard limit; 0 = without end.
func remoteLifetime(lease, hard time.Duration, r backends.Registration) time.Duration {
	if !slices.Contains(r.Capabilities, backends.CapabilityLifetime) {
		return 0
	}
	want := lease
	if hard > 0 && (want == 0 || hard < want) {
		want = hard
	}
	if want == 0 {
		return 0
	}
	want = max(want, r.LeastLifetime, time.Second)
	if r.MostLifetime > 0 {
		want = min(want, r.MostLifetime)
	}
	return want
}

// isDue says that an end which is left away (or endless) is too near or too far for the wanted lifetime. Ends that were set
// together come due apart from each other.
func isDue(left time.Duration, endless bool, want, most time.Duration, uid string) bool {
	const slack = endSlack
	switch {
	case want == 0 && most == 0:
		return !endless
	case want == 0:
		// The provider ends it at last in any case: that end is put off.
		return !endless && left < most/2
	case endless:
		return true
	case left > want+want/10+slack:
		return true
	default:
		return left < share(want, uid) && want-left > slack
	}
}

// share is 40 to 60 % of the duration, always the same for the same object.
func share(of time.Duration, uid string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid))
	return of*2/5 + time.Duration(int64(of/5)*int64(h.Sum32()%1000)/1000)
}
