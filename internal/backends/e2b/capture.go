// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bytes"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// capture keeps what fits of a stream, and finds the word that ends it, with the report behind it. Neither a limit nor the
// borders of messages hide the word.
type capture struct {
	word      []byte
	kept      []byte
	room      int64
	truncated bool
	// pending is what came last and may be the beginning of the word, or the report after it.
	pending []byte
	found   bool
	// report is the line after the word.
	report string
	whole  bool
}

func newCapture(word string, limit int64) *capture {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	return &capture{word: []byte(word), room: limit}
}

func (c *capture) write(data []byte) {
	if c.whole || len(data) == 0 {
		return
	}
	c.pending = append(c.pending, data...)
	if !c.found {
		c.search()
	}
	if c.found {
		c.readReport()
	}
}

// search keeps what is certainly before the word.
func (c *capture) search() {
	at := bytes.Index(c.pending, c.word)
	if at < 0 {
		certain := len(c.pending) - c.beginning()
		c.keep(c.pending[:certain])
		c.pending = append(c.pending[:0], c.pending[certain:]...)
		return
	}
	c.keep(c.pending[:at])
	c.pending = append([]byte(nil), c.pending[at+len(c.word):]...)
	c.found = true
}

// beginning is how many bytes at the end may be the beginning of the word.
func (c *capture) beginning() int {
	for n := min(len(c.word)-1, len(c.pending)); n > 0; n-- {
		if bytes.HasSuffix(c.pending, c.word[:n]) {
			return n
		}
	}
	return 0
}

func (c *capture) readReport() {
	if line, _, ok := bytes.Cut(c.pending, []byte("\n")); ok {
		c.report, c.whole, c.pending = string(bytes.TrimSpace(line)), true, nil
	}
}

func (c *capture) keep(data []byte) {
	fits := min(int64(len(data)), c.room)
	c.kept = append(c.kept, data[:fits]...)
	c.room -= fits
	c.truncated = c.truncated || fits < int64(len(data))
}
