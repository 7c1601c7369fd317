// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// State is how a run is.
type State string

// The states of a run.
const (
	// StateAbsent: nobody has taken the fence. After a start was seen this means that the spool was removed.
	StateAbsent State = "absent"
	// StateUnavailable: there is no fence, and no place for one; the program was not started.
	StateUnavailable State = "unavailable"
	// StateNoShell: the sandbox has no /bin/sh. At the first start the program was not started; later it says nothing, as the
	// program may have removed it.
	StateNoShell State = "noshell"
	// StateRefused: the fence is taken, and the program certainly never ran and never will; Reason and Message say why.
	StateRefused State = "refused"
	// StateNever: Cancel took the fence first; the program certainly never ran and never will.
	StateNever State = "never"
	// StateRunning: the program runs, and who watches it lives.
	StateRunning State = "running"
	// StateStarting: the fence is taken, and who shall watch has not come up yet. One who never does was killed.
	StateStarting State = "starting"
	// StateLost: it was started, there is no end, and who watched it is dead. Believe it at the second look.
	StateLost State = "lost"
	// StateExited: it ended.
	StateExited State = "exited"
)

// Cause is why a program ended.
type Cause string

// The causes of an end.
const (
	// CauseExited: by itself.
	CauseExited Cause = "exited"
	// CauseTimedOut: its time was over.
	CauseTimedOut Cause = "timedout"
	// CauseCancelled: Cancel killed it.
	CauseCancelled Cause = "cancelled"
)

// Report is what the runner says of a run.
type Report struct {
	State State
	// Reason and Message are set with StateRefused; Message also with StateUnavailable and StateNoShell.
	Reason, Message string
	// End is set with StateExited.
	End *End
	// Progress is set with StateRunning where it was asked for.
	Progress *Progress
}

// Progress is what a program has printed so far.
type Progress struct {
	// Stdout and Stderr have the number of bytes so far, and in Tail what came last; the digest is never known.
	Stdout, Stderr Stream
	// SecretsDigest and FilesDigest are as in End.
	SecretsDigest, FilesDigest string
}

// End is how a program ended.
type End struct {
	// ExitCode of the first process: 0 to 255, 128 + n where signal n ended it.
	ExitCode int
	Cause    Cause
	// Duration is how long it ran, and Ago how long before the report it ended, both to the hundredth of a second. They are
	// 0 where the sandbox has no clock that can be read.
	Duration, Ago time.Duration
	// Stdout and Stderr are what it printed.
	Stdout, Stderr Stream
	// DiskFull says that the disk of the sandbox was full at the end, so that the last of the output may be missing.
	DiskFull bool
	// SecretsDigest is that of the Program, and FilesDigest the content of the file of that name.
	SecretsDigest, FilesDigest string
}

// Stream is what a program printed on one stream until its end.
type Stream struct {
	// Bytes is the length of the whole.
	Bytes int64
	// Head is the whole where Truncated is false, else the beginning, and Tail the end.
	Head, Tail []byte
	Truncated  bool
	// SHA256 of the whole, in hexadecimal; empty where the stream is truncated and the sandbox has no sha256sum.
	SHA256 string
}

// Within is the stream with no more kept of it than that.
func (s *Stream) Within(keep Keep) Stream {
	within := *s
	switch {
	case s.Truncated:
		within.Head, within.Tail = s.Head[:min(int64(len(s.Head)), keep.Head)], s.Tail[max(int64(len(s.Tail))-keep.Tail, 0):]
	case s.Bytes > keep.Head+keep.Tail:
		within.Truncated = true
		within.Head, within.Tail = s.Head[:keep.Head], s.Head[s.Bytes-keep.Tail:]
	}
	return within
}

// maxReportHeader bounds the lines before the streams, in bytes.
const maxReportHeader = 8 << 10

const protocol = "sandboxes.run/1"

// read takes apart what the runner printed: a line with the protocol, lines of a word and its values, an empty line, and
// what is kept of the streams. Something else in its place (no shell, a shell that prints by itself) is not understood.
func (r Run) read(result backends.Result) (Report, error) {
	header, body, found := bytes.Cut(result.Stdout, []byte("\n\n"))
	lines := strings.Split(string(header), "\n")
	if !found || lines[0] != protocol {
		if result.ExitCode == 126 || result.ExitCode == 127 {
			return Report{State: StateNoShell, Message: "the sandbox has no shell at /bin/sh"}, nil
		}
		return Report{}, fmt.Errorf("%w (exit code %d): %s",
			ErrUnreadable, result.ExitCode, backends.Bounded(string(result.Stderr), 200))
	}
	fields := map[string]string{}
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		fields[key] = value
	}
	report := Report{
		State: State(fields["state"]), Reason: fields["reason"], Message: backends.Bounded(fields["message"], 500),
	}
	switch report.State {
	case StateRefused:
		if !oneWord.MatchString(report.Reason) {
			report.Reason, report.Message = refusedUnreadable, "why can't be read any more"
		}
	case stateIncomplete:
		return Report{}, errors.New("the command arrived incomplete in the sandbox")
	case StateRunning:
		if r.Progress > 0 {
			progress, err := r.readProgress(fields, body)
			if err != nil {
				return Report{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
			}
			report.Progress = progress
		}
	case StateExited:
		end, err := r.readEnd(fields, body)
		if err != nil {
			return Report{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		report.End = end
	}
	return report, nil
}

// What stands in the spool may be the command's own work: a reason that is none would make a status that nobody takes.
var oneWord = regexp.MustCompile(`^[A-Z][A-Za-z]{0,63}$`)

// refusedUnreadable is the reason of a refusal whose own can't be read.
const refusedUnreadable = "SpoolUnavailable"

// stateIncomplete: the connection was cut while the program was sent. Nothing happened.
const stateIncomplete State = "incomplete"

func (r Run) readEnd(fields map[string]string, body []byte) (*End, error) {
	var code int
	var cause Cause
	var disk string
	var began, ended, now int64
	if _, err := fmt.Sscanf(fields["end"], "%d %s %d %d %d %s", &code, &cause, &began, &ended, &now, &disk); err != nil {
		return nil, fmt.Errorf("reading the end of the run %q: %w", backends.Bounded(fields["end"], 100), err)
	}
	end := &End{
		ExitCode: code & 0xff, Cause: cause,
		Duration: hundredths(ended - began), Ago: hundredths(now - ended),
		DiskFull: disk == "full", SecretsDigest: strings.TrimPrefix(fields["secrets"], "-"), FilesDigest: fields["files"],
	}
	var err error
	if body, err = end.Stdout.read(fields["stdout"], body, r.Stdout); err != nil {
		return nil, fmt.Errorf("reading stdout: %w", err)
	}
	if _, err = end.Stderr.read(fields["stderr"], body, r.Stderr); err != nil {
		return nil, fmt.Errorf("reading stderr: %w", err)
	}
	return end, nil
}

func (r Run) readProgress(fields map[string]string, body []byte) (*Progress, error) {
	p := Progress{SecretsDigest: strings.TrimPrefix(fields["secrets"], "-"), FilesDigest: fields["files"]}
	last := Keep{Tail: r.Progress}
	var err error
	if body, err = p.Stdout.read(fields["stdout"], body, last); err != nil {
		return nil, fmt.Errorf("reading stdout: %w", err)
	}
	if _, err = p.Stderr.read(fields["stderr"], body, last); err != nil {
		return nil, fmt.Errorf("reading stderr: %w", err)
	}
	for _, s := range []*Stream{&p.Stdout, &p.Stderr} {
		if !s.Truncated {
			s.Head, s.Tail, s.SHA256 = nil, s.Head, ""
		}
	}
	return &p, nil
}

// hundredths of a second are bounded to what a clock can have counted: the numbers may be the command's own work.
func hundredths(n int64) time.Duration {
	const unit, tenYears = 10 * time.Millisecond, 10 * 365 * 24 * time.Hour
	return time.Duration(min(max(n, 0), int64(tenYears/unit))) * unit
}

// read takes the stream's part off the body and returns the rest. Fewer bytes than announced mean that the spool was
// tampered with or the answer cut: an error, so that the look is repeated.
func (s *Stream) read(field string, body []byte, keep Keep) ([]byte, error) {
	size, digest, _ := strings.Cut(field, " ")
	var err error
	if s.Bytes, err = strconv.ParseInt(size, 10, 64); err != nil || s.Bytes < 0 {
		return nil, fmt.Errorf("no length in %q", backends.Bounded(field, 100))
	}
	head, tail := s.Bytes, int64(0)
	if s.Bytes > keep.Head+keep.Tail {
		s.Truncated = true
		head, tail = keep.Head, keep.Tail
	}
	if int64(len(body)) < head+tail {
		return nil, fmt.Errorf("%d bytes announced, %d arrived", head+tail, len(body))
	}
	s.Head, s.Tail = body[:head], body[head:head+tail]
	if s.Truncated {
		if len(digest) == hex.EncodedLen(sha256.Size) {
			s.SHA256 = digest
		}
	} else {
		sum := sha256.Sum256(s.Head)
		s.SHA256 = hex.EncodeToString(sum[:])
	}
	return body[head+tail:], nil
}
