// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// What stat says in a sandbox is the sandbox's word.
func FuzzDirectoryListing(f *testing.F) {
	f.Add([]byte("/81a4/5/1700000000/a.txt\n/41ed/4096/1700000000/dir\n"))
	f.Add([]byte("/a1ff/1/-1/\n\n"))
	f.Add([]byte("stat: cannot stat"))
	f.Fuzz(func(t *testing.T, output []byte) {
		entries, err := parseEntries("readdir", output)
		for _, entry := range entries {
			if strings.Contains(entry.Name, "/") || err != nil {
				t.Errorf("entry %+v, %v", entry, err)
			}
		}
	})
}

func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		`{}`, "null", `{"template":"a","size":3}`, `{"Template":1}`, `{"size":1e99}`, `{"size":{}}`, `[1]`, `{"template":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := DecodeParameters[struct {
			Template string            `json:"template"`
			Size     int32             `json:"size"`
			Labels   map[string]string `json:"labels"`
		}](raw)
		if err != nil && (len(err.Error()) > 1024 || err.Error() == "") {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	})
}

// Labels of a remote are whatever its provider says.
func FuzzMark(f *testing.F) {
	f.Add(MarkUID, "u", MarkIncarnation, "1")
	f.Add(MarkIncarnation, "99999999999999999999", "x", "y")
	f.Fuzz(func(t *testing.T, key, value, otherKey, otherValue string) {
		mark, own := SplitLabels(map[string]string{key: value, otherKey: otherValue})
		if mark.Incarnation < 0 {
			t.Errorf("incarnation %d", mark.Incarnation)
		}
		for _, name := range []string{MarkInstallation, MarkUID, MarkIncarnation} {
			if _, ok := own[name]; ok && mark.UID != "" {
				t.Errorf("%s is the user's own", name)
			}
		}
	})
}

func FuzzBounded(f *testing.F) {
	f.Add("plain", 100)
	f.Add("\x1b[31m\u202e\xff\r\n", 6)
	f.Add("ééééé", 4)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 4 + limit&0xfff
		got := Bounded(text, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("%d bytes of at most %d: %q", len(got), limit, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Errorf("a terminal would obey %q", got)
		}
	})
}

// An ID goes into URLs.
func FuzzID(f *testing.F) {
	for _, seed := range []string{"sbx-1", "a/b/c", "../x", "a%2f", "a?b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if IsID(id) && (strings.Contains("/"+id+"/", "/../") || strings.ContainsAny(id, "?#%\\ \n\x1b") || id == "" || len(id) > 253) {
			t.Errorf("%q passes", id)
		}
	})
}
