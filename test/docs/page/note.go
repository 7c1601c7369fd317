// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import "strings"

// What a comment `<!-- KEY: VALUE -->` right before a block can tell. Readers of the page don't see it.
const (
	// NoteEnds says how runs that are made there end, where not with Succeeded/Exited: "NAME=OUTCOME/REASON ...".
	NoteEnds = "ends"
	// NoteNotRun gives the reason why a block is not tried at all.
	NoteNotRun = "not run"
	// NoteDryRun gives the reason why the API server is asked whether it would take the manifests, and no more.
	NoteDryRun = "dry run"
	// NoteVaries gives the reason why what the commands print is not compared.
	NoteVaries = "varies"
	// NoteExits is the exit code of a script that does not end with 0.
	NoteExits = "exits"
	// NoteBefore is a command that a reader has typed before, on another page, say.
	NoteBefore = "before"
	// NoteWith has what a reader puts for words such as NAME: "NAME=demo ...".
	NoteWith = "with"
)

// Notes are all keys that there are.
var Notes = []string{NoteEnds, NoteNotRun, NoteDryRun, NoteVaries, NoteExits, NoteBefore, NoteWith}

// addNote adds the note of a line. A line that is none ends the notes.
func addNote(notes map[string]string, line string) map[string]string {
	inner, isComment := strings.CutPrefix(line, "<!-- ")
	inner, ends := strings.CutSuffix(inner, " -->")
	key, value, hasKey := strings.Cut(inner, ": ")
	if !isComment || !ends || !hasKey {
		return nil
	}
	if notes == nil {
		notes = map[string]string{}
	}
	notes[key] = value
	return notes
}

// Fill puts what a reader would put for the words of the note "with".
func (b Block) Fill(text string) string {
	for pair := range strings.FieldsSeq(b.Notes[NoteWith]) {
		word, value, _ := strings.Cut(pair, "=")
		text = strings.ReplaceAll(text, word, value)
	}
	return text
}
