// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wrapper

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheEndOfAStreamIsFoundHoweverItIsCut(t *testing.T) {
	g := NewWithT(t)
	const word, text = "ABAC", "xABAx ABA"
	whole := text + word + "7 timedout\nwhat others wrote"
	for size := 1; size <= len(whole); size++ {
		c := newCapture(word, 0)
		for begin := 0; begin < len(whole); begin += size {
			c.Take([]byte(whole[begin:min(begin+size, len(whole))]))
		}
		g.Expect(string(c.Bytes)).To(Equal(text), "in pieces of %d", size)
		g.Expect(c.report).To(Equal("7 timedout"))
		g.Expect(c.whole).To(BeTrue())
		g.Expect(c.Truncated).To(BeFalse())
	}
}

func TestAStreamOverItsLimitStillEnds(t *testing.T) {
	g := NewWithT(t)
	c := newCapture("WORD", 10)
	for range 100 {
		c.Take([]byte(strings.Repeat("x", 1000)))
	}
	g.Expect(c.whole).To(BeFalse())
	c.Take([]byte("WO"))
	c.Take([]byte("RD0\n"))
	g.Expect(c.whole).To(BeTrue())
	g.Expect(string(c.Bytes)).To(Equal("xxxxxxxxxx"))
	g.Expect(c.Truncated).To(BeTrue())
	g.Expect(cap(c.pending)).To(BeNumerically("<", 1<<20), "what is over the limit is not kept")
}
