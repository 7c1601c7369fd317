// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/inventory"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

const hour = time.Hour

// world is what a provider has, and what the cluster says.
type world struct {
	remotes   []backends.Remote
	sandboxes map[string]inventory.Sandbox
	memory    inventory.Memory
	sequence  int64
}

// remote puts a remote of a Sandbox in place, an hour old.
func (w *world) remote(id, uid string, change func(*backends.Remote)) {
	r := backends.Remote{
		ID: id, State: backends.StateRunning, CreatedAt: noon.Add(-hour),
		Mark: backends.Mark{Installation: "us", Namespace: "ns", Name: uid, UID: uid, Incarnation: 1, DeletionPolicy: "Delete"},
	}
	if change != nil {
		change(&r)
	}
	w.remotes = append(w.remotes, r)
}

// sandbox puts a Sandbox in place that has a remote.
func (w *world) sandbox(uid, id string, change func(*inventory.Sandbox)) {
	s := inventory.Sandbox{
		UID: uid, Provider: "p", ID: id, Incarnation: 1, State: backends.StateRunning, CreatedAt: noon.Add(-hour),
	}
	if change != nil {
		change(&s)
	}
	if w.sandboxes == nil {
		w.sandboxes = map[string]inventory.Sandbox{}
	}
	w.sandboxes[uid] = s
}

// both puts n Sandboxes with their remotes in place.
func (w *world) both(n int) {
	for i := range n {
		w.remote(fmt.Sprintf("r%d", i), fmt.Sprintf("u%d", i), nil)
		w.sandbox(fmt.Sprintf("u%d", i), fmt.Sprintf("r%d", i), nil)
	}
}

// judge judges a new list.
func (w *world) judge(change func(*inventory.Input)) inventory.Verdict {
	w.sequence++
	return w.judgeAgain(change)
}

func (w *world) judgeAgain(change func(*inventory.Input)) inventory.Verdict {
	in := inventory.Input{
		Provider: "p", Installation: "us", Snapshot: inventory.Snapshot{Sequence: w.sequence, At: noon, Remotes: slices.Clone(w.remotes)},
		Sandboxes: w.sandboxes, Keeps: func(backends.Mark) bool { return true }, Forgiven: func(backends.Remote) bool { return false },
		Grace: 10 * time.Minute, Visibility: time.Second,
	}
	if change != nil {
		change(&in)
	}
	return inventory.Judge(&w.memory, in)
}

func names(remotes []backends.Remote) string {
	var ids []string
	for _, r := range remotes {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func TestWhatIsAnOrphan(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(*world)
		orphans string
		surplus string
	}{
		"a remote whose Sandbox lives": {func(w *world) { w.both(1) }, "", ""},
		"a remote that no Sandbox has": {func(w *world) { w.remote("o", "gone", nil) }, "o", ""},
		"one within the grace period": {func(w *world) {
			w.remote("o", "gone", func(r *backends.Remote) { r.CreatedAt = noon })
		}, "", ""},
		"one that was retained": {func(w *world) {
			w.remote("o", "gone", func(r *backends.Remote) { r.Mark.DeletionPolicy = "Retain" })
		}, "", ""},
		"one of another installation": {func(w *world) {
			w.remote("o", "gone", func(r *backends.Remote) { r.Mark.Installation = "them" })
		}, "", ""},
		"one without a mark": {func(w *world) {
			w.remote("o", "gone", func(r *backends.Remote) { r.Mark = backends.Mark{} })
		}, "", ""},
		"one that a Sandbox wants to adopt": {func(w *world) {
			w.remote("o", "gone", nil)
			w.sandbox("u", "", func(s *inventory.Sandbox) { s.Adopts = "o" })
		}, "", ""},
		"one that another Sandbox's status names": {func(w *world) {
			w.remote("o", "gone", nil)
			w.sandbox("u", "o", nil)
		}, "", ""},
		"one of a Sandbox that is being deleted": {func(w *world) {
			w.remote("o", "u", nil)
			w.sandbox("u", "o", func(s *inventory.Sandbox) { s.Leaving = true })
		}, "", ""},
		"one that is just being bound": {func(w *world) {
			w.remote("o", "u", nil)
			w.sandbox("u", "", func(s *inventory.Sandbox) { s.Incarnation, s.JournalOpen = 0, true })
		}, "", ""},
		"the next incarnation, just being bound": {func(w *world) {
			w.remote("new", "u", func(r *backends.Remote) { r.Mark.Incarnation = 2 })
			w.sandbox("u", "old", func(s *inventory.Sandbox) { s.JournalOpen, s.State = true, "" })
		}, "", ""},
		"an earlier incarnation": {func(w *world) {
			w.remote("old", "u", nil)
			w.remote("new", "u", func(r *backends.Remote) { r.Mark.Incarnation = 2 })
			w.sandbox("u", "new", func(s *inventory.Sandbox) { s.Incarnation = 2 })
		}, "", "old"},
		"an earlier incarnation while the next is made": {func(w *world) {
			w.remote("old", "u", nil)
			w.sandbox("u", "mid", func(s *inventory.Sandbox) { s.Incarnation, s.JournalOpen, s.State = 2, true, "" })
		}, "", "old"},
		"a second remote of one incarnation": {func(w *world) {
			w.remote("a", "u", nil)
			w.remote("b", "u", nil)
			w.sandbox("u", "a", nil)
		}, "", "b"},
		"a surplus one that was retained": {func(w *world) {
			w.remote("a", "u", nil)
			w.remote("b", "u", func(r *backends.Remote) { r.Mark.DeletionPolicy = "Retain" })
			w.sandbox("u", "a", nil)
		}, "", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			var w world
			c.arrange(&w)
			if first := w.judge(nil); !first.First || names(first.Orphans) != c.orphans || len(first.Surplus) > 0 {
				t.Errorf("the first list finds %q and surplus %q", names(first.Orphans), names(first.Surplus))
			}
			second := w.judge(nil)
			if second.First || second.Changed || names(second.Orphans) != c.orphans || names(second.Surplus) != c.surplus {
				t.Errorf("the second list finds orphans %q and surplus %q, want %q and %q",
					names(second.Orphans), names(second.Surplus), c.orphans, c.surplus)
			}
		})
	}
}

func TestAnOrphanIsOneOnlyWhenTwoListsShowIt(t *testing.T) {
	var w world
	w.both(1)
	w.judge(nil)
	w.remote("o", "gone", nil)
	if v := w.judge(nil); len(v.Orphans) > 0 {
		t.Error("one list was enough, though it may lag behind a deletion")
	}
	if v := w.judgeAgain(nil); len(v.Orphans) > 0 {
		t.Error("the same list counted twice")
	}
	if v := w.judge(nil); names(v.Orphans) != "o" || v.Turned != 1 {
		t.Errorf("two lists show it, and it is not found: %+v", v)
	}
	if v := w.judge(nil); v.Turned != 0 {
		t.Error("what is known is news again")
	}
}

func TestTheFirstListOnlyReportsHoweverOftenItIsJudged(t *testing.T) {
	var w world
	w.remote("o", "gone", nil)
	w.judge(nil)
	if v := w.judgeAgain(nil); !v.First {
		t.Error("the same list, judged again, is not the first any more")
	}
}

func TestSandboxesAreStirredByWhatChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*inventory.Sandbox)
		remote  backends.State
		stirred bool
	}{
		"as recorded":              {nil, backends.StateRunning, false},
		"another state":            {nil, backends.StatePaused, true},
		"missing":                  {nil, "", true},
		"made while the list came": {func(s *inventory.Sandbox) { s.CreatedAt = noon.Add(time.Minute) }, "", false},
		"too new for the list":     {func(s *inventory.Sandbox) { s.CreatedAt = noon.Add(-time.Second) }, "", false},
		"too new for its state":    {func(s *inventory.Sandbox) { s.CreatedAt = noon }, backends.StatePaused, true},
		"made, by a wrong clock":   {func(s *inventory.Sandbox) { s.CreatedAt = noon.Add(time.Hour) }, "", true},
		"missing and known gone":   {func(s *inventory.Sandbox) { s.State = "" }, "", false},
		"missing and leaving":      {func(s *inventory.Sandbox) { s.Leaving = true }, "", false},
		"of another provider":      {func(s *inventory.Sandbox) { s.Provider = "q" }, "", false},
		"its time is over":         {func(s *inventory.Sandbox) { s.ExpiresAt = noon }, backends.StateRunning, true},
		"its time is not over yet": {func(s *inventory.Sandbox) { s.ExpiresAt = noon.Add(1) }, backends.StateRunning, false},
	} {
		t.Run(name, func(t *testing.T) {
			var w world
			w.sandbox("u", "r", c.change)
			if c.remote != "" {
				w.remote("r", "u", func(r *backends.Remote) { r.State = c.remote })
			}
			if v := w.judge(nil); (len(v.Stirred) == 1) != c.stirred {
				t.Errorf("stirred %v", v.Stirred)
			}
		})
	}
}

func TestTheMassGuard(t *testing.T) {
	vanish := func(w *world, n int) { w.remotes = w.remotes[n:] }
	forget := func(w *world, n int) {
		for i := range n {
			delete(w.sandboxes, fmt.Sprintf("u%d", i))
		}
	}
	leave := func(w *world) {
		for uid, s := range w.sandboxes {
			s.Leaving = true
			w.sandboxes[uid] = s
		}
	}
	for name, c := range map[string]struct {
		had     int
		then    func(*world)
		in      func(*inventory.Input)
		changed bool
	}{
		"nothing happened":                      {had: 10, then: func(*world) {}},
		"five of ten vanish":                    {had: 10, then: func(w *world) { vanish(w, 5) }},
		"six of ten vanish":                     {had: 10, then: func(w *world) { vanish(w, 6) }, changed: true},
		"a fifth of a hundred vanish":           {had: 100, then: func(w *world) { vanish(w, 20) }},
		"more than a fifth of a hundred vanish": {had: 100, then: func(w *world) { vanish(w, 21) }, changed: true},
		"their leases had lapsed, it seems, while the operator was there": {
			had: 10, then: func(w *world) { vanish(w, 10) }, in: leasesLapsed, changed: true,
		},
		"their time was over": {had: 10, then: func(w *world) {
			vanish(w, 10)
			for uid, s := range w.sandboxes {
				s.ExpiresAt = noon
				w.sandboxes[uid] = s
			}
		}},
		"they are too new for the list": {had: 10, then: func(w *world) {
			vanish(w, 10)
			for uid, s := range w.sandboxes {
				s.CreatedAt = noon.Add(-time.Second)
				w.sandboxes[uid] = s
			}
		}},
		"somebody says that they are lost": {
			had: 10, then: func(w *world) { vanish(w, 10) }, in: func(in *inventory.Input) { in.LossesAccepted = true },
		},
		"five of ten turn orphan":                    {had: 10, then: func(w *world) { forget(w, 5) }},
		"six of ten turn orphan":                     {had: 10, then: func(w *world) { forget(w, 6) }, changed: true},
		"the only one vanishes":                      {had: 1, then: func(w *world) { vanish(w, 1) }},
		"the only one vanishes with the credentials": {had: 1, then: func(w *world) { vanish(w, 1) }, in: accountChanged, changed: true},
		"the only one vanishes with the credentials, and is being deleted": {
			had: 1, then: func(w *world) { vanish(w, 1); leave(w) }, in: accountChanged, changed: true,
		},
		"ten vanish that are being deleted":       {had: 10, then: func(w *world) { vanish(w, 10); leave(w) }},
		"one of two is seen with new credentials": {had: 2, then: func(w *world) { vanish(w, 1) }, in: accountChanged},
		"new credentials, nothing to be seen":     {had: 0, then: func(*world) {}, in: accountChanged},
	} {
		t.Run(name, func(t *testing.T) {
			var w world
			w.both(c.had)
			w.judge(nil)
			c.then(&w)
			w.judge(c.in) // what turns orphan shows at the second list
			if v := w.judge(c.in); v.Changed != c.changed {
				t.Errorf("changed is %t: %+v", v.Changed, v)
			}
		})
	}
}

func leasesLapsed(in *inventory.Input) { in.LeasesLapsed = true }

func TestWhatDiedWhileTheOperatorWasAwayIsLost(t *testing.T) {
	var w world
	w.both(10)
	w.remotes = nil
	if v := w.judge(leasesLapsed); v.Changed || len(v.Stirred) != 10 {
		t.Errorf("it is not: %+v", v)
	}
	if v := w.judge(nil); v.Changed {
		t.Error("what was no surprise at the first list is one at the second")
	}
	var soon world
	soon.both(10)
	soon.remotes = nil
	if v := soon.judge(nil); !v.Changed {
		t.Error("all of them are missing, no lease has lapsed, and nobody wonders")
	}
}

func accountChanged(in *inventory.Input) { in.AccountChanged = true }

func TestTheMassGuardHoldsUntilTheAccountIsAsItWas(t *testing.T) {
	var w world
	w.both(10)
	w.judge(nil)
	all := w.remotes
	w.remotes = nil
	for range 3 {
		if v := w.judge(nil); !v.Changed {
			t.Fatal("time alone made the losses believable")
		}
	}
	w.remotes = all
	if v := w.judge(nil); v.Changed {
		t.Error("it does not end when everything is there again")
	}
}

func TestOrphansThatWereReportedBeforeARestartAreNoNews(t *testing.T) {
	var w world
	var reported []string
	for i := range 20 {
		w.remote(fmt.Sprintf("o%d", i), "gone", nil)
		reported = append(reported, fmt.Sprintf("o%d", i))
	}
	if v := w.judge(func(in *inventory.Input) { in.Reported = reported }); v.Changed || v.Turned != 0 {
		t.Errorf("they are: %+v", v)
	}
	var restored world
	restored.remotes = w.remotes
	if v := restored.judge(nil); !v.Changed {
		t.Error("a cluster that was restored from an old backup would destroy what it forgot")
	}
}
