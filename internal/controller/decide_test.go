// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func TestDecideSandbox(t *testing.T) {
	running := func(change func(*sandboxFacts)) sandboxFacts {
		f := sandboxFacts{
			now: noon, deletionDeadline: time.Minute, held: true, bound: true, state: v1alpha1.SandboxRunning, equipped: true,
			current: true,
		}
		change(&f)
		return f
	}
	deleted := func(ago time.Duration, change func(*sandboxFacts)) sandboxFacts {
		return running(func(f *sandboxFacts) {
			f.deletedAt = noon.Add(-ago)
			change(f)
		})
	}
	for name, c := range map[string]struct {
		facts sandboxFacts
		want  sandboxAction
	}{
		"a new object is created":            {sandboxFacts{now: noon, equipped: true}, sandboxCreate},
		"an open journal is searched first":  {sandboxFacts{now: noon, held: true, journalOpen: true}, sandboxFind},
		"a sandbox as declared rests":        {running(func(*sandboxFacts) {}), sandboxRest},
		"a changed spec is brought to it":    {running(func(f *sandboxFacts) { f.current = false }), sandboxConform},
		"a lost finalizer is put back":       {running(func(f *sandboxFacts) { f.held = false }), sandboxHold},
		"a suspect is probed":                {running(func(f *sandboxFacts) { f.suspect = true }), sandboxProbe},
		"one that is being made is probed":   {running(func(f *sandboxFacts) { f.state = v1alpha1.SandboxCreating }), sandboxProbe},
		"files that are missing are written": {running(func(f *sandboxFacts) { f.equipped = false }), sandboxEquip},
		"a signed URL is replaced in time":   {running(func(f *sandboxFacts) { f.resignAt = noon }), sandboxEquip},
		"a signed URL is kept while it holds": {
			running(func(f *sandboxFacts) { f.resignAt = noon.Add(time.Second) }), sandboxRest,
		},
		"a stopped one gets no files": {
			running(func(f *sandboxFacts) { f.state, f.equipped = v1alpha1.SandboxStopped, false }), sandboxRest,
		},
		"a deleted one is destroyed":        {deleted(0, func(*sandboxFacts) {}), sandboxDestroy},
		"one without our finalizer is left": {deleted(0, func(f *sandboxFacts) { f.held = false }), sandboxRest},
		"another installation's is left alone": {
			running(func(f *sandboxFacts) { f.foreign, f.suspect, f.current = true, true, false }), sandboxDisown,
		},
		"another installation's is left alone at deletion": {
			deleted(0, func(f *sandboxFacts) { f.foreign, f.lost, f.state = true, true, v1alpha1.SandboxGone }), sandboxRelease,
		},
		"one that another installation began is begun anew": {
			sandboxFacts{now: noon, held: true, equipped: true, foreign: true}, sandboxCreate,
		},
		"one that never had a remote goes": {deleted(0, func(f *sandboxFacts) { f.bound = false }), sandboxRelease},
		"one whose remote was ended goes": {
			deleted(0, func(f *sandboxFacts) { f.state, f.finished = v1alpha1.SandboxGone, true }), sandboxRelease,
		},
		"one whose remote was lost is destroyed all the same": {
			deleted(0, func(f *sandboxFacts) { f.state, f.finished, f.lost = v1alpha1.SandboxGone, true, true }), sandboxDestroy,
		},
		"one whose remote was lost is not retained": {
			deleted(0, func(f *sandboxFacts) { f.state, f.lost, f.retain = v1alpha1.SandboxGone, true, true }), sandboxRelease,
		},
		"a retained one is left":              {deleted(0, func(f *sandboxFacts) { f.retain = true }), sandboxRetain},
		"an abandoned one goes, and says so":  {deleted(0, func(f *sandboxFacts) { f.abandon = true }), sandboxAbandon},
		"after the deadline it is given up":   {deleted(2*time.Minute, func(*sandboxFacts) {}), sandboxAbandon},
		"abandoning what is gone is no event": {deleted(0, func(f *sandboxFacts) { f.abandon, f.bound = true, false }), sandboxRelease},
		"at deletion an open journal is searched": {
			deleted(0, func(f *sandboxFacts) { f.bound, f.journalOpen = false, true }), sandboxDestroyFound,
		},
		"an open journal is searched even where the old remote is gone": {
			deleted(0, func(f *sandboxFacts) { f.state, f.journalOpen = v1alpha1.SandboxGone, true }), sandboxDestroyFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decideSandbox(c.facts); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestDecideExec(t *testing.T) {
	waiting := execFacts{now: noon, startDeadline: noon.Add(time.Minute)}
	with := func(base execFacts, change func(*execFacts)) execFacts {
		change(&base)
		return base
	}
	waiting.turn = true
	ready := with(waiting, func(f *execFacts) { f.sandboxExists, f.sandboxReady = true, true })
	oneShot := with(waiting, func(f *execFacts) { f.oneShot = true })
	started := with(waiting, func(f *execFacts) { f.started, f.sandboxReady, f.sameSandbox = true, true, true })
	seen := with(started, func(f *execFacts) { f.seen = true })
	finished := execFacts{now: noon, finished: true, started: true, current: true}
	for name, c := range map[string]struct {
		facts execFacts
		want  execAction
	}{
		"it waits for its sandbox":        {waiting, execWait},
		"it starts in a ready sandbox":    {with(waiting, func(f *execFacts) { f.sandboxReady = true }), execStart},
		"it ends when its sandbox failed": {with(waiting, func(f *execFacts) { f.sandboxFailed = true }), execSandboxFailed},
		"a cancelled one never starts": {
			with(waiting, func(f *execFacts) { f.sandboxReady, f.cancelled = true, true }), execNeverStarted,
		},
		"after the start deadline it ends":   {with(waiting, func(f *execFacts) { f.now = noon.Add(time.Hour) }), execGiveUp},
		"a start that was not seen is tried": {started, execStartAgain},
		"after the deadline the fence is taken": {
			with(started, func(f *execFacts) { f.now = noon.Add(time.Hour) }), execPrevent,
		},
		"cancelled before its start was seen, it is killed or the fence is taken": {
			with(started, func(f *execFacts) { f.cancelled = true }), execCancel,
		},
		"a running one is looked at":             {seen, execLook},
		"a running one outlives its deadline":    {with(seen, func(f *execFacts) { f.now = noon.Add(time.Hour) }), execLook},
		"a cancelled one is killed":              {with(seen, func(f *execFacts) { f.cancelled = true }), execCancel},
		"another sandbox is not the same":        {with(seen, func(f *execFacts) { f.sameSandbox = false }), execSandboxLost},
		"a deleted one is killed":                {with(seen, func(f *execFacts) { f.deleting = true }), execKill},
		"a deleted one without a sandbox goes":   {with(seen, func(f *execFacts) { f.deleting, f.sameSandbox = true, false }), execLetGo},
		"a deleted one of others' holding rests": {with(started, func(f *execFacts) { f.deleting = true }), execRest},
		"a finished one rests":                   {finished, execRest},
		"a finished one sees a changed spec":     {with(finished, func(f *execFacts) { f.current = false }), execRecord},
		"a finished one is let go":               {with(finished, func(f *execFacts) { f.seen = true }), execLetGo},
		"a finished one expires":                 {with(finished, func(f *execFacts) { f.expiresAt = noon }), execExpire},
		"a finished one is compacted":            {with(finished, func(f *execFacts) { f.compactAt = noon }), execExpire},
		"it waits for its turn":                  {with(ready, func(f *execFacts) { f.turn = false }), execWaitForTurn},
		"a one-shot makes its sandbox":           {oneShot, execMake},
		"a one-shot makes one sandbox":           {with(oneShot, func(f *execFacts) { f.sandboxExists = true }), execWait},
		"a one-shot takes nobody else's sandbox": {with(oneShot, func(f *execFacts) { f.conflict = true }), execConflict},
		"a cancelled one-shot makes no sandbox":  {with(oneShot, func(f *execFacts) { f.cancelled = true }), execNeverStarted},
		"a finished one-shot's sandbox goes": {
			with(finished, func(f *execFacts) { f.oneShot, f.sandboxExists = true, true }), execDiscard,
		},
		"its sandbox goes after the finalizer": {
			with(finished, func(f *execFacts) { f.oneShot, f.sandboxExists, f.seen = true, true, true }), execLetGo,
		},
		"the sandbox of an attempt that is over goes first": {
			with(oneShot, func(f *execFacts) { f.leftover = true }), execDiscard,
		},
		"the finalizer of an attempt that is over goes first": {with(ready, func(f *execFacts) { f.seen = true }), execLetGo},
		"the next attempt waits": {
			with(ready, func(f *execFacts) { f.startAt = noon.Add(time.Second) }), execBackOff,
		},
		"one that waits for the next attempt is cancelled": {
			with(ready, func(f *execFacts) { f.startAt, f.cancelled = noon.Add(time.Second), true }), execNeverStarted,
		},
		"a run within one call is asked for its end": {with(started, func(f *execFacts) { f.attached = true }), execTake},
		"a run within one call is never started again": {
			with(started, func(f *execFacts) { f.attached, f.now = true, noon.Add(time.Hour) }), execTake,
		},
		"a run within one call of another sandbox ends": {
			with(started, func(f *execFacts) { f.attached, f.sameSandbox = true, false }), execTake,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decideExec(c.facts); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLooksComeSoonAtFirstAndThenSeldom(t *testing.T) {
	for ran, want := range map[time.Duration]time.Duration{
		0: 300 * time.Millisecond, 2 * time.Second: 300 * time.Millisecond, 20 * time.Second: time.Second,
		time.Hour: 10 * time.Second,
	} {
		if got := lookDelay(ran); got != want {
			t.Errorf("after %s the next look comes in %s, want %s", ran, got, want)
		}
	}
}

func TestRedactionTakesSecretsOutWhereverACutGoesThrough(t *testing.T) {
	r := newRedaction([]string{"hunter2-and-more", "hunter2", "abc", " padded-secret\n"})
	for name, c := range map[string]struct{ got, want string }{
		"whole":             {string(r.whole([]byte("x hunter2 y hunter2-and-more z"))), "x [redacted] y [redacted] z"},
		"too short to hide": {string(r.whole([]byte("abc"))), "abc"},
		"padding":           {string(r.whole([]byte("padded-secret"))), "[redacted]"},
		"head":              {string(r.head([]byte("out hunter2-and-"))), "out [redacted]"},
		"head, cut early":   {string(r.head([]byte("out padded-s"))), "out [redacted]"},
		"tail":              {string(r.tail([]byte("ed-secret out"))), "[redacted] out"},
		"message":           {r.text("failed with hunter2"), "failed with [redacted]"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", name, c.got, c.want)
		}
	}
}

func TestKeptOutputIsValidText(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{string(trimEnd([]byte("gr\xc3"))), "gr"},
		{string(trimEnd([]byte("grü"))), "grü"},
		{string(trimEnd([]byte("a\xe2\x82"))), "a"},
		{string(trimEnd([]byte("\xff"))), "\xff"},
		{string(trimStart([]byte("\xbc\xbcn"))), "n"},
		{string(trimStart([]byte("ün"))), "ün"},
		{asText([]byte("a\xff\xfeb")), "a�b"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
