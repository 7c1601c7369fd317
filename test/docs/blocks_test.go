// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/test/docs/page"
)

// typed is a line that a reader would type. Where it stands in a block that nobody tries, nobody notices when it is wrong.
var typed = regexp.MustCompile(`(?m)^ *(\$ )?(kubectl|make|helm|hack/\S+|bin/\S+|docker) `)

// shown are the languages of blocks that hold no command.
var shown = []string{"text", "mermaid", "go", "json", "diff", "promql"}

func TestEveryBlockIsTriedOrSaysWhyNot(t *testing.T) {
	all, err := page.ReadAll(root)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, p := range all {
		for _, block := range p.Blocks() {
			checkNotes(t, p, block)
			_, saysWhyNot := block.Notes[page.NoteNotRun]
			switch {
			case slices.Contains([]string{"yaml", "console", "sh", "python"}, block.Language):
				tried++
			case !slices.Contains(shown, block.Language):
				t.Errorf("%s:%d: a block in %q: test/docs/walk tries yaml, console, sh and python, and leaves %v alone",
					p.Name, block.Line, block.Language, shown)
			case typed.MatchString(block.Text) && !saysWhyNot:
				t.Errorf("%s:%d: commands in a block of %s: make it console or sh, so that they are tried, or say why not:"+
					" <!-- not run: REASON -->", p.Name, block.Line, block.Language)
			}
			if block.Language == "console" && !strings.HasPrefix(block.Text, "$ ") && !saysWhyNot {
				t.Errorf("%s:%d: a console block begins with a command, after \"$ \"", p.Name, block.Line)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d blocks are tried", tried)
	}
}

func checkNotes(t *testing.T, p page.Page, block page.Block) {
	t.Helper()
	for key, value := range block.Notes {
		if !slices.Contains(page.Notes, key) || value == "" {
			t.Errorf("%s:%d: nobody knows what the comment %q means; there are %v", p.Name, block.Line, key, page.Notes)
		}
	}
}
