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

// stream prints one stream of a run: each byte once, in order, none left out. Where what status shows does not join what was
// printed, it prints nothing more until the whole is there.
type stream struct {
	name string
	to   io.Writer
	// printed counts the bytes, digest is theirs, and last the end of them.
	printed int64
	digest  hash.Hash
	last    []byte
}

func newStream(name string, to io.Writer) *stream {
	if to == nil {
		to = io.Discard
	}
	return &stream{name: name, to: to, digest: sha256.New()}
}

// soFar prints what is new of a stream whose command runs.
func (s *stream) soFar(status *v1alpha1.StreamStatus) error {
	if status == nil || status.Bytes == nil || status.Retention != v1alpha1.RetentionPartial ||
		status.Encoding != v1alpha1.EncodingUTF8 || *status.Bytes <= s.printed || strings.Contains(status.Tail, redactionMark) {
		return nil
	}
	start, ok := s.join(*status.Bytes, []byte(status.Tail))
	if !ok {
		return nil
	}
	return s.print([]byte(status.Tail)[s.printed-start:])
}

// join finds at which byte of the stream its shown end begins: the one place at which it agrees with what was printed.
func (s *stream) join(total int64, tail []byte) (int64, bool) {
	if total <= progressWindow {
		return 0, total-int64(len(tail)) <= mostTrimmed && int64(len(tail)) > s.printed && bytes.HasPrefix(tail, s.last)
	}
	found, start := 0, int64(0)
	for trimmed := range int64(mostTrimmed + 1) {
		from := total - trimmed - int64(len(tail))
		common := s.printed - from
		if from < 0 || common <= 0 || common >= int64(len(tail)) {
			continue
		}
		known := s.last[max(0, int64(len(s.last))-common):]
		if bytes.Equal(tail[common-int64(len(known)):common], known) {
			found, start = found+1, from
		}
	}
	return start, found == 1
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

func (s *stream) tellMissing(w *whole, missing int64, note func(string, ...any)) {
	if w.problem != "" {
		note("%s: %s", s.name, w.problem)
	} else if missing > 0 {
		note("%d of the %d bytes of %s are missing here: no more is kept of it; have the command write a file, and name it with -o",
			missing, w.total, s.name)
	}
}
