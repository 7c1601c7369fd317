// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/test/docs/page"
)

const text = "# Title\n\n<!-- ends: a=Failed/Exited -->\n<!-- with: NAME=box -->\n" +
	"```console\n$ kubectl get sbx NAME\nbox\n\n$ echo \\\n  two\n" +
	"two\n```\n\n1. A list\n\n   ```sh\n   one\n     two\n   ```\n"

func TestBlocksHaveTheirNotesAndPlaces(t *testing.T) {
	g := NewWithT(t)
	p := page.Page{Name: "x.md", Text: text}
	blocks := p.Blocks()
	g.Expect(blocks).To(HaveLen(2))
	console := blocks[0]
	g.Expect(console.Line).To(Equal(5))
	g.Expect(console.Notes).To(Equal(map[string]string{page.NoteEnds: "a=Failed/Exited", page.NoteWith: "NAME=box"}))
	g.Expect(text[console.Start:console.End]).To(Equal(console.Text))
	g.Expect(console.Fill("NAME")).To(Equal("box"))
	g.Expect(blocks[1].Notes).To(BeEmpty())
	g.Expect(blocks[1].Text).To(Equal("one\n  two"))
}

func TestEntriesAreCommandsWithTheirOutput(t *testing.T) {
	g := NewWithT(t)
	block := page.Page{Text: text}.Blocks()[0]
	g.Expect(block.Entries()).To(Equal([]page.Entry{
		{Command: "kubectl get sbx NAME", Output: "box"}, {Command: "echo \\\n  two", Output: "two"},
	}))
	g.Expect(page.Console(block.Entries())).To(Equal(block.Text))
}

func TestWhatPassesIsNotCompared(t *testing.T) {
	g := NewWithT(t)
	was := "NAME    SANDBOX            MILLIS   AGE   MESSAGE\n" +
		"hello   hello-510e50d11f   40       1s    it ended\n" +
		"waits   box                         14s   it waits"
	is := "NAME    SANDBOX            MILLIS   AGE     MESSAGE\n" +
		"hello   hello-00ff00ff00   1040     11m1s   it ended\n" +
		"waits   box                         4s      it waits"
	g.Expect(page.Lasting(was)).To(Equal(page.Lasting(is)))
	other := "NAME    SANDBOX            MILLIS   AGE     MESSAGE\n" +
		"hello   hello-00ff00ff00            11m1s   it ended\n" +
		"waits   box                         4s      it waits"
	g.Expect(page.Lasting(was)).NotTo(Equal(page.Lasting(other)), "a number that is missing is a difference")
	g.Expect(page.Lasting("made sbx-32496ff5-d4a3-46b6-8a5c-cb2e76200f27-1")).
		To(Equal(page.Lasting("made sbx-00000000-d4a3-46b6-8a5c-cb2e76200f27-1")))
	g.Expect(page.Lasting("one")).NotTo(Equal(page.Lasting("two")))
}
