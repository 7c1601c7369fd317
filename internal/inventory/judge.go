// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"slices"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Sandbox is what the cluster says of a Sandbox's remote.
type Sandbox struct {
	// UID of the object.
	UID string
	// Provider is the UID of the provider that has the remote.
	Provider string
	// ID of the remote that the status names, and Incarnation of it.
	ID          string
	Incarnation int64
	// Adopts is the ID that the spec names.
	Adopts string
	// JournalOpen says that there may be a remote which the status does not name.
	JournalOpen bool
	// State as recorded; empty = the remote is known to be gone.
	State backends.State
	// CreatedAt is when the remote was made; ExpiresAt is when it shall end, zero = never.
	CreatedAt, ExpiresAt time.Time
	// Leaving says that the object is being deleted, and still held because of its remote.
	Leaving bool
}

// Input is what a judgement is made from.
type Input struct {
	// Provider is the UID of the provider that is judged for.
	Provider string
	// Installation is this one's ID.
	Installation string
	// Snapshot is what the account has.
	Snapshot Snapshot
	// Sandboxes are all of the cluster, by UID, as they were before the list and are after it, so that one which went or came
	// meanwhile is there.
	Sandboxes map[string]Sandbox
	// Keeps says whether this provider, of those that share the account, has to deal with a remote that no Sandbox has.
	Keeps func(mark backends.Mark) bool
	// Forgiven says that this remote is no orphan, whatever its mark says: it was retained, or is dealt with elsewhere.
	Forgiven func(remote backends.Remote) bool
	// Grace is how old an orphan must be, and Visibility how long a new remote may be missing from a list.
	Grace, Visibility time.Duration
	// AccountChanged says that the credentials or the endpoint changed since the account was last known to be the right one, or
	// that the last judgement found it changed.
	AccountChanged bool
	// LossesAccepted says that what is missing is missing, and what is too much is too much.
	LossesAccepted bool
	// LeasesLapsed says that the operator was away for so long that remotes ended by themselves: that they are missing at the
	// first list is no surprise.
	LeasesLapsed bool
	// Reported are the IDs of orphans that are known of already.
	Reported []string
}

// Memory is what a judgement needs of the ones before. The zero value is that of a provider which was never judged.
type Memory struct {
	// latest is what the latest list showed, and previous the one before that; nil = there was none.
	latest, previous *findings
	// missing and orphans are what was missing and too much when the account was last as it should be.
	missing, orphans map[string]bool
}

// findings are the IDs of what one list showed to be too much.
type findings struct {
	sequence         int64
	orphans, surplus map[string]bool
}

// Verdict is what a judgement found.
type Verdict struct {
	// First says that the provider was not judged before in this process: nothing is destroyed on such a word.
	First bool
	// Changed says that so much is missing or too much that it may be another account: nothing is declared lost, or destroyed.
	Changed bool
	// Expected is how many remotes there should be, Known those of them that are old enough for any list, and Visible how many are
	// there. Missing and Turned are how many were
	// found missing, and to be orphans, since the last time that the account was as it should be.
	Expected, Known, Visible, Missing, Turned int
	// Stirred are the UIDs of Sandboxes whose remote is missing though it was made before the list, is in another state than recorded, or
	// should have ended.
	Stirred []string
	// Orphans and Surplus may be destroyed unless First or Changed; the oldest come first.
	Orphans, Surplus []backends.Remote
}

// Judge compares what an account has with what it should have, and remembers what the next judgement needs. A list that was
// judged already finds nothing new.
func Judge(memory *Memory, in Input) Verdict {
	orphans, surplus := candidates(in)
	if memory.latest == nil {
		memory.orphans = set(in.Reported)
	}
	if memory.latest == nil || memory.latest.sequence != in.Snapshot.Sequence {
		memory.previous = memory.latest
		memory.latest = &findings{in.Snapshot.Sequence, set(idsOf(orphans)), set(idsOf(surplus))}
	}
	v := Verdict{First: memory.previous == nil}
	missing := v.compare(in)
	if v.First {
		v.Orphans = orphans
	} else {
		// A list may lag: what it shows once may have been destroyed just before.
		v.Orphans, v.Surplus = seenBefore(orphans, memory.previous.orphans), seenBefore(surplus, memory.previous.surplus)
	}
	v.Missing, v.Turned = countNew(missing, memory.missing), countNew(idsOf(v.Orphans), memory.orphans)
	v.Changed = !in.LossesAccepted && v.suspicious(in)
	if !v.Changed {
		memory.missing, memory.orphans = set(missing), set(idsOf(v.Orphans))
	}
	return v
}

// suspicious says that the account may be another than it was.
func (v *Verdict) suspicious(in Input) bool {
	ours := 0
	for i := range in.Snapshot.Remotes {
		if in.Snapshot.Remotes[i].Mark.Installation == in.Installation {
			ours++
		}
	}
	excused := v.First && in.LeasesLapsed
	return (v.Missing > tolerable(v.Known) && !excused) || v.Turned > tolerable(ours) ||
		(in.AccountChanged && v.Expected > 0 && v.Visible == 0)
}

// tolerable is how many of so many may vanish, or turn orphan, at once.
func tolerable(of int) int { return max(5, of/5) }

// compare finds the Sandboxes of the provider whose remote is missing or changed, and returns the IDs of those that are
// missing without a reason.
func (v *Verdict) compare(in Input) (missing []string) {
	states := make(map[string]backends.State, len(in.Snapshot.Remotes))
	for i := range in.Snapshot.Remotes {
		states[in.Snapshot.Remotes[i].ID] = in.Snapshot.Remotes[i].State
	}
	for _, s := range in.Sandboxes {
		if s.Provider != in.Provider || s.ID == "" || s.State == "" {
			continue
		}
		state, there := states[s.ID]
		overdue := !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(in.Snapshot.At)
		v.count(there, overdue)
		if s.Leaving {
			// It tells whose account this is, and nothing else: it may be missing because it was destroyed. But an account that is
			// not its own would say so, too, and then it would be let go with its remote still there.
			continue
		}
		if overdue || state != s.State && (there || !in.isUnheard(s)) {
			v.Stirred = append(v.Stirred, s.UID)
		}
		switch {
		case there:
			v.Known++
		case in.isTooNew(s):
		case overdue:
			// It was to end by now.
		default:
			v.Known++
			missing = append(missing, s.ID)
		}
	}
	return missing
}

// count counts a remote that there should be, unless it was to end by now, and whether it can be seen.
func (v *Verdict) count(there, overdue bool) {
	if there {
		v.Visible++
	}
	if there || !overdue {
		v.Expected++
	}
}

// isTooNew says that a remote may be missing from the list because it was made too late for it.
func (in *Input) isTooNew(s Sandbox) bool {
	return s.CreatedAt.Add(in.Visibility + clockSkew).After(in.Snapshot.At)
}

// isUnheard says that the list says nothing of a remote that is missing, as it was made while the list came. What was made later than that
// was so by a clock that is wrong.
func (in *Input) isUnheard(s Sandbox) bool {
	return in.isTooNew(s) && s.CreatedAt.Before(in.Snapshot.At.Add(longestList))
}

// longestList is how long a list may take to come.
const longestList = 2 * time.Minute

// clockSkew is how far a provider's clock may be behind, and how much the seconds of a Kubernetes time leave out.
const clockSkew = 2 * time.Second

// candidates finds the remotes of this installation that no Sandbox has, and those that a Sandbox has beside its own.
func candidates(in Input) (orphans, surplus []backends.Remote) {
	named := map[string]bool{}
	for _, s := range in.Sandboxes {
		named[s.ID], named[s.Adopts] = true, true
	}
	for _, remote := range in.Snapshot.Remotes {
		mark := remote.Mark
		if mark.UID == "" || mark.Installation != in.Installation || named[remote.ID] || !in.Keeps(mark) || in.Forgiven(remote) {
			continue
		}
		switch s, lives := in.Sandboxes[mark.UID]; {
		case lives && isSurplus(s, mark):
			surplus = append(surplus, remote)
		case !lives && mark.DeletionPolicy != retain && !remote.CreatedAt.Add(in.Grace).After(in.Snapshot.At):
			orphans = append(orphans, remote)
		}
	}
	oldestFirst(orphans)
	oldestFirst(surplus)
	return orphans, surplus
}

// retain is the deletion policy of remotes that outlive their Sandbox.
const retain = "Retain"

// isSurplus says that a remote of a living Sandbox which the Sandbox does not name is not one that it is just being bound to.
func isSurplus(s Sandbox, mark backends.Mark) bool {
	return s.ID != "" && (mark.Incarnation < s.Incarnation || !s.JournalOpen)
}

func oldestFirst(remotes []backends.Remote) {
	slices.SortFunc(remotes, func(a, b backends.Remote) int {
		if order := a.CreatedAt.Compare(b.CreatedAt); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
}

func seenBefore(remotes []backends.Remote, before map[string]bool) []backends.Remote {
	var seen []backends.Remote
	for _, remote := range remotes {
		if before[remote.ID] {
			seen = append(seen, remote)
		}
	}
	return seen
}

func countNew(ids []string, known map[string]bool) int {
	n := 0
	for _, id := range ids {
		if !known[id] {
			n++
		}
	}
	return n
}

func idsOf(remotes []backends.Remote) []string {
	ids := make([]string, 0, len(remotes))
	for _, remote := range remotes {
		ids = append(ids, remote.ID)
	}
	return ids
}

func set(ids []string) map[string]bool {
	s := make(map[string]bool, len(ids))
	for _, id := range ids {
		s[id] = true
	}
	return s
}
