// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runs

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

const (
	// progressWindow is how much of the end of a stream status shows while the command runs (docs/running-commands.md).
	progressWindow = 4 << 10
	// mostTrimmed is by how much that may be shorter at either end: a character that is cut in two is left out.
	mostTrimmed = 3
)

// redactionMark is what the operator writes where a value of a Secret was: lengths are not what they were from there on.
const redactionMark = "[redacted]"

// stream prints one stream of a run: each byte once, in order, none left out but what an onlooker came too late for. Where what
// status shows does not join what was printed, it prints nothing more until the whole is there.
type stream struct {
	name string
	to   io.Writer
	// printed counts the bytes, digest is theirs, and last the end of them.
	printed int64
	digest  hash.Hash
	last    []byte
	// shut says that nothing more can be written to it.
	shut bool
	// late tells of what was skipped, for an onlooker who comes when much was printed before; nil = the stream is followed
	// from its beginning.
	late func(string, ...any)
	// skipped says that it was. printed counts that too, and may be by slack too high: a character that was cut in two was left
	// out at the end rather than at the beginning.
	skipped bool
	slack   int64
}

func newStream(name string, to io.Writer) *stream {
	if to == nil {
		to = io.Discard
	}
	return &stream{name: name, to: to, digest: sha256.New()}
}

// soFar prints what is new of a stream whose command runs.
func (s *stream) soFar(status *v1alpha1.StreamStatus) error {
	if s.shut || status == nil || status.Bytes == nil || status.Retention != v1alpha1.RetentionPartial ||
		status.Encoding != v1alpha1.EncodingUTF8 || *status.Bytes <= s.printed || strings.Contains(status.Tail, redactionMark) {
		return nil
	}
	tail := []byte(status.Tail)
	if s.late != nil && s.printed == 0 && *status.Bytes > progressWindow {
		return s.skip(*status.Bytes, tail)
	}
	common, ok := s.join(*status.Bytes, tail)
	if !ok {
		return nil
	}
	return s.print(tail[common:])
}

// skip begins with what is shown of the end, where an onlooker has missed what was before it.
func (s *stream) skip(total int64, tail []byte) error {
	lacks := progressWindow - int64(len(tail))
	if lacks > 2*mostTrimmed {
		return nil // part of a Secret may have been taken out of it
	}
	s.late("the first %d bytes of %s are left out: kubectl sandbox logs has them when the run has ended", total-int64(len(tail)), s.name)
	s.skipped, s.printed, s.slack = true, total-int64(len(tail)), min(lacks, mostTrimmed)
	return s.print(tail)
}

// join finds how much of the stream's shown end was printed already: at the one place at which it agrees with that.
func (s *stream) join(total int64, tail []byte) (int64, bool) {
	if total <= progressWindow {
		return s.printed, total-int64(len(tail)) <= mostTrimmed && int64(len(tail)) > s.printed && bytes.HasPrefix(tail, s.last)
	}
	found, joint := 0, int64(0)
	for trimmed := -s.slack; trimmed <= mostTrimmed; trimmed++ {
		from := total - trimmed - int64(len(tail))
		common := s.printed - from
		if from < 0 || common <= 0 || common >= int64(len(tail)) {
			continue
		}
		known := s.last[max(0, int64(len(s.last))-common):]
		if bytes.Equal(tail[common-int64(len(known)):common], known) {
			found, joint = found+1, common
		}
	}
	return joint, found == 1
}

func (s *stream) print(content []byte) error {
	if len(content) == 0 {
		return nil
	}
	s.printed += int64(len(content))
	_, _ = s.digest.Write(content)
	s.last = append(s.last, content...)
	s.last = bytes.Clone(s.last[max(0, len(s.last)-progressWindow):])
	_, err := s.to.Write(content)
	return err
}

// whole is a stream at its end, as far as it was kept.
type whole struct {
	// head is its beginning, or all of it; tail its end, where there is something between.
	head, tail []byte
	// total is how many bytes the command printed.
	total int64
	// problem says why something is missing; empty where nothing is.
	problem string
}

// missing is how many bytes there are between head and tail.
func (w *whole) missing() int64 { return w.total - int64(len(w.head)) - int64(len(w.tail)) }

// rest prints what was not printed while the command ran, and says what is missing.
func (s *stream) rest(w *whole, note func(string, ...any)) error {
	if w == nil {
		return nil
	}
	if s.skipped {
		return s.restOfLate(w, note)
	}
	if !s.printedPrefixOf(w.head) {
		// It has been printed up to behind the beginning that was kept; or Secrets were found in it after all.
		return s.restBehind(w, note)
	}
	if err := s.print(w.head[min(s.printed, int64(len(w.head))):]); err != nil {
		return err
	}
	s.tellMissing(w, w.missing(), note)
	return s.print(w.tail)
}

// printedPrefixOf says whether what was printed is the beginning of this.
func (s *stream) printedPrefixOf(head []byte) bool {
	if s.printed > int64(len(head)) {
		return false
	}
	sum := sha256.Sum256(head[:s.printed])
	return bytes.Equal(sum[:], s.digest.Sum(nil))
}

// restBehind prints what follows where more was printed than the kept beginning.
func (s *stream) restBehind(w *whole, note func(string, ...any)) error {
	begin := w.total - int64(len(w.tail))
	if s.printed < int64(len(w.head)) || s.printed > w.total {
		note("what follows is %s from its beginning, without values of Secrets", s.name)
		if err := s.print(w.head); err != nil {
			return err
		}
		s.tellMissing(w, w.missing(), note)
		return s.print(w.tail)
	}
	s.tellMissing(w, begin-s.printed, note)
	return s.print(w.tail[min(max(s.printed-begin, 0), int64(len(w.tail))):])
}

// restOfLate prints what follows what an onlooker saw, who did not see the beginning: found by the end of that, as positions
// are by some bytes unsure, and by many where values of Secrets were taken out.
func (s *stream) restOfLate(w *whole, note func(string, ...any)) error {
	if at, ok := s.endIn(w.tail, w.total-int64(len(w.tail))); ok {
		return s.print(w.tail[at:])
	}
	if at, ok := s.endIn(w.head, 0); ok {
		if err := s.print(w.head[at:]); err != nil {
			return err
		}
		s.tellMissing(w, w.missing(), note)
		return s.print(w.tail)
	}
	begin := w.total - int64(len(w.tail))
	if s.printed > begin || s.printed < int64(len(w.head)) {
		note("what follows is %s from its beginning", s.name)
		if err := s.print(w.head); err != nil {
			return err
		}
		s.tellMissing(w, w.missing(), note)
		return s.print(w.tail)
	}
	s.tellMissing(w, begin-s.printed, note)
	return s.print(w.tail)
}

// endIn finds where what was printed ends in a part of the stream that begins at this byte of it: where it should, else at the
// only place where it can.
func (s *stream) endIn(part []byte, begin int64) (int, bool) {
	for back := range s.slack + 1 {
		at := s.printed - back - begin
		if at <= 0 || at > int64(len(part)) {
			continue
		}
		if known := s.last[max(0, int64(len(s.last))-at):]; bytes.HasSuffix(part[:at], known) {
			return int(at), true
		}
	}
	if first := bytes.Index(part, s.last); first >= 0 && first == bytes.LastIndex(part, s.last) {
		return first + len(s.last), true
	}
	return 0, false
}

func (s *stream) tellMissing(w *whole, missing int64, note func(string, ...any)) {
	if w.problem != "" {
		note("%s: %s", s.name, w.problem)
	} else if missing > 0 {
		note("%d of the %d bytes of %s are missing here: no more is kept of it; have the command write a file, and name it with -o",
			missing, w.total, s.name)
	}
}
