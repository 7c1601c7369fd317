// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page reads the Markdown pages of the documentation: their blocks, and what the comments before a block tell the tests
// about it.
//
// page.go finds pages and blocks, note.go has the comments, and entry.go the commands of a console block with what they print.
package page

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Page is one Markdown file.
type Page struct {
	// Name is its path from the root of the repository.
	Name string
	Text string
}

// Block is a fenced block of a page.
type Block struct {
	// Line is that of its opening fence, from 1.
	Line int
	// Language is the first word after the opening fence; empty = none.
	Language string
	// Notes are the comments right before it, by their key.
	Notes map[string]string
	// Text is what is between the fences, without the fence's own indentation.
	Text string
	// Indent is how many blanks stand before the fence.
	Indent int
	// Start and End are the offsets of Text in the page, its last line feed not included. They are exact where Indent is 0.
	Start, End int
}

// Own are the pages outside of docs that are for readers.
var Own = []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}

// ReadAll reads every page below the root of the repository that is for readers, sorted by name.
func ReadAll(root string) ([]Page, error) {
	names := slices.Clone(Own)
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(name string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(name) == ".md" {
			relative, _ := filepath.Rel(root, name)
			names = append(names, filepath.ToSlash(relative))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []Page
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		all = append(all, Page{Name: name, Text: string(content)})
	}
	return all, nil
}

const fence = "```"

// Blocks are the fenced blocks of the page, in their order.
func (p Page) Blocks() []Block {
	var (
		found  []Block
		open   *Block
		notes  map[string]string
		offset int
		number int
	)
	for line := range strings.Lines(p.Text) {
		number++
		trimmed := strings.TrimSpace(line)
		switch {
		case open != nil && trimmed == fence:
			open.End = max(open.Start, offset-1)
			open.Text = strings.TrimSuffix(open.Text, "\n")
			found, open, notes = append(found, *open), nil, nil
		case open != nil:
			open.Text += strings.TrimPrefix(line, strings.Repeat(" ", open.Indent))
		case strings.HasPrefix(trimmed, fence):
			language, _, _ := strings.Cut(strings.TrimPrefix(trimmed, fence), " ")
			open = &Block{
				Line: number, Language: language, Notes: notes,
				Indent: len(line) - len(strings.TrimLeft(line, " ")), Start: offset + len(line),
			}
		default:
			notes = addNote(notes, trimmed)
		}
		offset += len(line)
	}
	return found
}
