// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wrapper

import (
	"bytes"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Capture keeps what fits of a stream, and finds the word that ends it, with the report behind it. Neither a limit nor the
// borders of messages hide the word. It is for one goroutine at a time.
type Capture struct {
	Kept
	word []byte
	// pending is what came last and may be the beginning of the word, or the report after it.
	pending []byte
	found   bool
	// report is the line after the word.
	report string
	whole  bool
}

// Whole says that all of the stream has arrived, with the report.
func (c *Capture) Whole() bool { return c.whole }

// Report is what the script said behind the word; empty until all has arrived.
func (c *Capture) Report() string { return c.report }

func newCapture(word string, limit int64) *Capture {
	return &Capture{word: []byte(word), Kept: NewKept(limit)}
}

// Take takes the next bytes of the stream. What comes after the report is dropped.
func (c *Capture) Take(data []byte) {
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
func (c *Capture) search() {
	at := bytes.Index(c.pending, c.word)
	if at < 0 {
		certain := len(c.pending) - c.beginning()
		c.Keep(c.pending[:certain])
		c.pending = append(c.pending[:0], c.pending[certain:]...)
		return
	}
	c.Keep(c.pending[:at])
	c.pending = append([]byte(nil), c.pending[at+len(c.word):]...)
	c.found = true
}

// beginning is how many bytes at the end may be the beginning of the word.
func (c *Capture) beginning() int {
	for n := min(len(c.word)-1, len(c.pending)); n > 0; n-- {
		if bytes.HasSuffix(c.pending, c.word[:n]) {
			return n
		}
	}
	return 0
}

func (c *Capture) readReport() {
	if line, _, ok := bytes.Cut(c.pending, []byte("\n")); ok {
		c.report, c.whole, c.pending = string(bytes.TrimSpace(line)), true, nil
	}
}

// Kept is what fits of a stream.
type Kept struct {
	// Bytes are those that fit.
	Bytes []byte
	// Truncated says that there were more.
	Truncated bool
	room      int64
}

// NewKept returns one of so many bytes; 0 = backends.DefaultOutputLimit.
func NewKept(limit int64) Kept {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	return Kept{room: limit}
}

// Keep adds what fits.
func (k *Kept) Keep(data []byte) {
	fits := min(int64(len(data)), k.room)
	k.Bytes = append(k.Bytes, data[:fits]...)
	k.room -= fits
	k.Truncated = k.Truncated || fits < int64(len(data))
}
