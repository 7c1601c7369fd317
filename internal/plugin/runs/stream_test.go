// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// progressOf is what the operator shows of a stream of which this was printed so far.
func progressOf(printed string) *v1alpha1.StreamStatus {
	tail := printed[max(0, len(printed)-progressWindow):]
	if len(tail) < len(printed) {
		tail = strings.TrimLeftFunc(tail, func(r rune) bool { return r == utf8.RuneError })
	}
	tail = strings.TrimRightFunc(tail, func(r rune) bool { return r == utf8.RuneError })
	return &v1alpha1.StreamStatus{
		Bytes: new(int64(len(printed))), Retention: v1alpha1.RetentionPartial, Encoding: v1alpha1.EncodingUTF8, Tail: tail,
	}
}

// numbers are lines of which none is like another.
func numbers(from, to int, unit string) string {
	var text strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&text, "%d %s\n", i, unit)
	}
	return text.String()
}

func TestAnOnlookerSeesWhatIsPrintedFromNowOn(t *testing.T) {
	first, second, third := numbers(0, 3000, "ä€"), numbers(3000, 3200, "ä€"), numbers(3200, 3300, "€")
	for cut := range 12 {
		// The operator may look in the middle of a character.
		before, now, all := first+second[:cut], first+second+third[:cut], first+second+third
		for name, end := range map[string]*whole{
			"all of it":         {head: []byte(all), total: int64(len(all))},
			"beginning and end": {head: []byte(all[:9000]), tail: []byte(all[len(all)-9000:]), total: int64(len(all))},
			"a Secret was taken out of what was skipped": {head: []byte("[redacted]" + all[5000:]), total: int64(len(all) - 4990)},
		} {
			t.Run(fmt.Sprint(name, ", cut at ", cut), func(t *testing.T) {
				g, out, notes := NewWithT(t), &bytes.Buffer{}, &bytes.Buffer{}
				note := func(format string, arguments ...any) { fmt.Fprintf(notes, format+"\n", arguments...) }
				s := newStream("stdout", out)
				s.late = note
				shown := progressOf(before)
				g.Expect(s.soFar(shown)).To(Succeed())
				g.Expect(out.String()).To(Equal(shown.Tail))
				g.Expect(notes.String()).To(Equal(fmt.Sprintf("the first %d bytes of stdout are left out: "+
					"kubectl sandbox logs has them when the run has ended\n", len(before)-len(shown.Tail))))
				g.Expect(s.soFar(progressOf(now))).To(Succeed())
				g.Expect(strings.HasSuffix(out.String(), progressOf(now).Tail)).To(BeTrue(), "it goes on as it comes")
				g.Expect(s.rest(end, note)).To(Succeed())
				begin := strings.Index(before, shown.Tail)
				g.Expect(out.String()).To(Equal(all[begin:]), "each byte once")
				g.Expect(strings.Count(notes.String(), "\n")).To(Equal(1), notes.String())
			})
		}
	}
}

func TestAnOnlookerSeesTheSameLineAsOftenAsItIsPrinted(t *testing.T) {
	g, out := NewWithT(t), &bytes.Buffer{}
	s := newStream("stdout", out)
	s.late = func(string, ...any) {}
	before, all := strings.Repeat("€", 4000), strings.Repeat("€", 9000)
	g.Expect(s.soFar(progressOf(before))).To(Succeed())
	seen := out.Len()
	g.Expect(seen).To(BeNumerically(">", progressWindow-2*mostTrimmed))
	g.Expect(s.rest(&whole{head: []byte(all), total: int64(len(all))}, s.late)).To(Succeed())
	g.Expect(out.Len()).To(Equal(seen + len(all) - len(before)))
}

func TestWhoFollowsFromTheBeginningMissesNothing(t *testing.T) {
	g, out := NewWithT(t), &bytes.Buffer{}
	s, all := newStream("stdout", out), numbers(0, 3000, "x")
	g.Expect(s.soFar(progressOf(all))).To(Succeed())
	g.Expect(out.String()).To(BeEmpty(), "the beginning is not there yet")
	g.Expect(s.rest(&whole{head: []byte(all), total: int64(len(all))}, t.Logf)).To(Succeed())
	g.Expect(out.String()).To(Equal(all))
}
