// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"maps"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

var exampleMark = backends.Mark{
	Installation: "install", Namespace: "team", Name: "sandbox", UID: "uid", Incarnation: 3, DeletionPolicy: "Retain",
}

func TestMarksRoundTripBesideTheUsersLabels(t *testing.T) {
	labels := exampleMark.Labels()
	labels["team"], labels["sandboxes.runner/x"] = "a", "b"
	mark, own := backends.SplitLabels(labels)
	if mark != exampleMark {
		t.Errorf("the mark is %+v, not %+v", mark, exampleMark)
	}
	if want := map[string]string{"team": "a", "sandboxes.runner/x": "b"}; !maps.Equal(own, want) {
		t.Errorf("the user's labels are %v, not %v", own, want)
	}
	if labels[backends.MarkUID] != "uid" {
		t.Error("the given labels were changed")
	}
}

func TestARemoteWithoutAReadableMarkHasNone(t *testing.T) {
	for what, spoil := range map[string]func(labels map[string]string){
		"no installation":     func(l map[string]string) { delete(l, backends.MarkInstallation) },
		"no UID":              func(l map[string]string) { delete(l, backends.MarkUID) },
		"no incarnation":      func(l map[string]string) { delete(l, backends.MarkIncarnation) },
		"incarnation of text": func(l map[string]string) { l[backends.MarkIncarnation] = "one" },
		"nothing":             func(l map[string]string) { clear(l) },
	} {
		labels := exampleMark.Labels()
		spoil(labels)
		if mark, own := backends.SplitLabels(labels); mark != (backends.Mark{}) || len(own) != 0 {
			t.Errorf("%s: the mark is %+v, the user's labels are %v", what, mark, own)
		}
	}
	if mark, own := backends.SplitLabels(nil); mark != (backends.Mark{}) || len(own) != 0 {
		t.Errorf("no labels: %+v, %v", mark, own)
	}
}

func TestFiltersMatchWhatTheyName(t *testing.T) {
	for _, c := range []struct {
		filter   backends.Filter
		mark     backends.Mark
		matching bool
	}{
		{backends.Filter{}, exampleMark, true},
		{backends.Filter{}, backends.Mark{}, true},
		{backends.Filter{Installation: "install"}, exampleMark, true},
		{backends.Filter{Installation: "other"}, exampleMark, false},
		{backends.Filter{Installation: "install", UID: "uid"}, exampleMark, true},
		{backends.Filter{Installation: "install", UID: "other"}, exampleMark, false},
		{backends.Filter{Installation: "other", UID: "uid"}, exampleMark, false},
		{backends.Filter{UID: "uid"}, exampleMark, true},
		{backends.Filter{UID: "uid"}, backends.Mark{}, false},
		{backends.Filter{Installation: "install"}, backends.Mark{}, false},
	} {
		if c.filter.Matches(c.mark) != c.matching {
			t.Errorf("%+v matching %+v is not %v", c.filter, c.mark, c.matching)
		}
	}
}
