// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"
	"slices"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func listingChecks() []Check {
	return []Check{
		{"lists exactly the remotes that the filter selects", filtersSelect},
		{"keeps every field of a mark and the user's labels", marksRoundTrip},
		{"never lets a user's label forge the mark", labelsDontForgeMarks},
		{"keeps nothing in the process: another instance finds, runs and destroys", anotherInstance},
	}
}

func (t *T) list(b backends.Backend, filter backends.Filter) []backends.Remote {
	listed, err := b.List(t.ctx, filter)
	if err != nil {
		t.Fatalf("listing with %+v: %v", filter, err)
	}
	return listed
}

// listed waits until the list with the filter has all wanted remotes, and returns it. Some providers' lists lag.
func (t *T) listed(b backends.Backend, filter backends.Filter, want ...string) []backends.Remote {
	var listed []backends.Remote
	t.eventually("List does not have all remotes that match", func() bool {
		listed = t.list(b, filter)
		for _, id := range want {
			if !slices.ContainsFunc(listed, func(r backends.Remote) bool { return r.ID == id }) {
				return false
			}
		}
		return true
	})
	return listed
}

func filtersSelect(t *T) {
	first, second, elsewhere, unmarked := t.request(), t.request(), t.request(), t.request()
	elsewhere.Mark.Installation, elsewhere.Mark.UID = t.installation+"-other", first.Mark.UID
	unmarked.Mark = backends.Mark{}
	a, b, c := t.create(first).ID, t.create(second).ID, t.create(elsewhere).ID
	ours := []string{a, b, c}
	d := ""
	if created, err := t.Backend.Create(t.ctx, unmarked); err == nil {
		d = created.ID
		ours = append(ours, d)
		t.Cleanup(func() { t.destroy(d) })
	} else {
		t.wantCode("Create without a mark", err, backends.Invalid)
	}
	for _, filter := range []struct {
		backends.Filter
		want []string
	}{
		{backends.Filter{}, ours},
		{backends.Filter{Installation: t.installation}, []string{a, b}},
		{backends.Filter{Installation: t.installation + "-other"}, []string{c}},
		{backends.Filter{UID: first.Mark.UID}, []string{a, c}},
		{backends.Filter{Installation: t.installation, UID: first.Mark.UID}, []string{a}},
		{backends.Filter{Installation: t.installation, UID: unique()}, nil},
		{backends.Filter{Installation: unique()}, nil},
	} {
		t.wantListed(filter.Filter, ours, filter.want)
	}
}

// wantListed complains where a list has other remotes, of those given, than wanted, or has one twice.
func (t *T) wantListed(filter backends.Filter, ours, want []string) {
	var got []string
	for _, remote := range t.listed(t.Backend, filter, want...) {
		if slices.Contains(ours, remote.ID) {
			got = append(got, remote.ID)
		}
		if !filter.Matches(remote.Mark) {
			t.Errorf("the list with %+v has a remote with mark %+v", filter, remote.Mark)
		}
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("the list with %+v has %q of this check's remotes, not %q", filter, got, want)
	}
}

func marksRoundTrip(t *T) {
	request := t.request()
	request.Mark.Namespace = strings.Repeat("n", 63)
	request.Mark.Name = strings.Repeat("long.", 50) + "abc" // 253: the longest name of an object
	request.Mark.Incarnation = 1234567
	request.Mark.DeletionPolicy = "Retain"
	request.Labels = map[string]string{
		"plain": "value", "example.com/with-prefix": "v", "empty": "", "spaces": "two words", "quotes": `it's "quoted"`,
		"shell": "$HOME `id` \\", "unicode": "ünïcödé 世界", "equals": "a=b,c=d", "long": strings.Repeat("x", 63),
		"UPPER_case.and-dots": "1",
	}
	created := t.create(request)
	t.wantSame("Create", created, created, request)
	t.wantSame("Get", t.get(created.ID), created, request)
	filter := backends.Filter{Installation: t.installation, UID: request.Mark.UID}
	for _, remote := range t.listed(t.Backend, filter, created.ID) {
		t.wantSame("List", remote, created, request)
	}
}

func labelsDontForgeMarks(t *T) {
	request := t.request()
	request.Labels = map[string]string{backends.MarkUID: "forged", backends.MarkInstallation: "forged"}
	created, err := t.Backend.Create(t.ctx, request)
	if errors.Is(err, backends.Invalid) {
		return
	}
	if err != nil {
		t.Fatalf("creating a remote: %v", err)
	}
	t.Cleanup(func() { t.destroy(created.ID) })
	if mark := t.get(created.ID).Mark; mark != request.Mark {
		t.Errorf("a user's label changed the mark to %+v: the remote looks like somebody else's", mark)
	}
}

func anotherInstance(t *T) {
	request := t.request()
	created := t.create(request)
	filter := backends.Filter{Installation: t.installation, UID: request.Mark.UID}
	for _, remote := range t.listed(t.Another, filter, created.ID) {
		t.wantSame("List of another instance", remote, created, request)
	}
	remote, err := t.Another.Get(t.ctx, created.ID)
	if err != nil {
		t.Fatalf("another instance does not get the remote: %v", err)
	}
	t.wantSame("Get of another instance", remote, created, request)
	result, err := t.Another.RunCommand(t.ctx, created.ID, backends.Command{Argv: []string{"echo", "here"}})
	if err != nil || string(result.Stdout) != "here\n" {
		t.Errorf("another instance can't run a command: %q, %v", result.Stdout, err)
	}
	if one, other := backends.SpoolRoot(t.Backend, created.ID), backends.SpoolRoot(t.Another, created.ID); one != other {
		t.Errorf("the spool root is %q, and %q for another instance: a restarted operator loses running commands", one, other)
	}
	if err := t.Another.Destroy(t.ctx, created.ID); err != nil {
		t.Errorf("another instance can't destroy the remote: %v", err)
	}
	t.untilGone(created.ID)
}
