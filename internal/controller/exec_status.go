// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/execution"
)

// ending is how a run ended, as it is to be recorded.
type ending struct {
	outcome v1alpha1.ExecOutcome
	// reason is the cause in one word, message a sentence.
	reason, message string
	// end is what the runner reported; nil where it reported no end.
	end *execution.End
	// redaction takes Secrets out of the output; withheld says that they are not known any more, so that none is stored.
	redaction redaction
	withheld  bool
	// rich are the results of the provider's own interpreter.
	rich []backends.RichResult
	// outputs are what became of the files that are wanted, and stdoutIn and stderrIn where the whole streams are.
	outputs            []v1alpha1.OutputStatus
	stdoutIn, stderrIn *v1alpha1.StoredObject
}

func (p *execPass) setProgress(progress, reason, message string) {
	setProgress(&p.exec.Status.Conditions, p.exec.Generation, progress, reason, message)
}

// finish puts the ending into the status.
func (p *execPass) finish(e ending) {
	status := &p.exec.Status
	status.Outcome, status.Reason = e.outcome, e.reason
	if e.end != nil {
		status.DurationMilliseconds = new(e.end.Duration.Milliseconds())
		status.ExitCode = new(int32(e.end.ExitCode))
		status.Signal = signalName(e.end.ExitCode)
		stdout, stderr := p.keeps()
		status.Stdout, status.Stderr = e.stream(e.end.Stdout.Within(stdout)), e.stream(e.end.Stderr.Within(stderr))
		status.Stdout.StoredIn, status.Stderr.StoredIn = e.stdoutIn, e.stderrIn
	} else {
		// What it had printed so far is nothing of which more is known.
		status.Stdout, status.Stderr = nil, nil
	}
	status.Outputs = e.outputs
	status.CompletionTime = new(metav1.NewTime(e.completedAt(p.clock.Now(), status.StartTime)))
	fitOutput(status.Stdout, status.Stderr)
	if attempts := len(status.Attempts); e.end != nil && attempts > 0 {
		e.message += fmt.Sprintf("; it was attempt %d of %d", attempts+1, p.exec.Spec.Retry.Limit+1)
	}
	if e.end != nil && e.end.DiskFull {
		e.message += "; the disk of the sandbox was full then, so that the last of its output may be missing"
	}
	message := e.redaction.text(e.message) + truncationNote(status.Stdout, "stdout") + truncationNote(status.Stderr, "stderr")
	p.setEnd(v1alpha1.ConditionFinished, string(e.outcome), message)
	if e.outcome == v1alpha1.OutcomeSucceeded {
		p.setEnd(v1alpha1.ConditionComplete, string(e.outcome), message)
		p.setProgress(v1alpha1.ConditionReady, string(e.outcome), message)
		return
	}
	p.setEnd(v1alpha1.ConditionFailed, string(e.outcome), message)
	p.setProgress(v1alpha1.ConditionStalled, string(e.outcome), message)
	if e.reason != v1alpha1.ReasonExited {
		// Failed and Stalled have the outcome as their reason; at a glance the cause says more.
		setCondition(&status.Conditions, p.exec.Generation, v1alpha1.ConditionReady, metav1.ConditionFalse, e.reason, message)
	}
	if e.outcome == v1alpha1.OutcomeStartFailed && status.StartTime != nil {
		setCondition(&status.Conditions, p.exec.Generation, v1alpha1.ConditionStarted, metav1.ConditionFalse,
			v1alpha1.ReasonNeverStarted, "The command certainly never ran")
	}
}

// completedAt is when the run ended: as long ago as the runner says, and never before it started, which whole seconds may
// look like.
func (e ending) completedAt(now time.Time, started *metav1.Time) time.Time {
	if e.end != nil {
		now = now.Add(-e.end.Ago)
	}
	if started != nil && now.Before(started.Time) {
		return started.Time
	}
	return now
}

func (p *execPass) setEnd(kind, reason, message string) {
	setCondition(&p.exec.Status.Conditions, p.exec.Generation, kind, metav1.ConditionTrue, reason, message)
}

// endingOf says what the end that the runner reported means.
func endingOf(end *execution.End, timeout time.Duration) ending {
	e := ending{end: end}
	switch {
	case end.Cause == execution.CauseTimedOut:
		e.outcome, e.reason = v1alpha1.OutcomeTimedOut, v1alpha1.ReasonTimeoutExceeded
		e.message = fmt.Sprintf("The command was killed with all that it started after its %d seconds", int64(timeout.Seconds()))
	case end.Cause == execution.CauseCancelled:
		e.outcome, e.reason = v1alpha1.OutcomeCancelled, v1alpha1.ReasonCancelRequested
		e.message = "The command was killed with all that it started, as desiredState is Cancelled"
	case end.ExitCode == 0:
		e.outcome, e.reason, e.message = v1alpha1.OutcomeSucceeded, v1alpha1.ReasonExited, "The command ended with exit code 0"
	default:
		e.outcome, e.reason = v1alpha1.OutcomeFailed, v1alpha1.ReasonExited
		e.message = fmt.Sprintf("The command ended with exit code %d", end.ExitCode)
		if signal := signalName(end.ExitCode); signal != "" {
			e.message += " (" + signal + ")"
		}
		switch end.ExitCode {
		case commandNotFound:
			e.message += ": the program was not found in the sandbox; see status.stderr"
		case commandNotExecutable:
			e.message += ": the program can't be executed; see status.stderr"
		}
	}
	return e
}

// Exit codes of shells for a program that does not exist, and for one that can't be executed.
const (
	commandNotFound      = 127
	commandNotExecutable = 126
)

// stream is what is stored of a stream: without Secrets, and as text.
func (e ending) stream(s execution.Stream) *v1alpha1.StreamStatus {
	status := &v1alpha1.StreamStatus{
		Bytes: new(s.Bytes), Retention: v1alpha1.RetentionComplete, Encoding: v1alpha1.EncodingUTF8, SHA256: s.SHA256,
	}
	if e.withheld {
		status.Retention, status.SHA256 = v1alpha1.RetentionWithheld, ""
		return status
	}
	head, tail := e.redaction.whole(s.Head), s.Tail
	if s.Truncated {
		status.Retention = v1alpha1.RetentionTruncated
		head, tail = e.redaction.head(s.Head), e.redaction.tail(s.Tail)
	}
	if !bytes.Equal(head, s.Head) || !bytes.Equal(tail, s.Tail) {
		// The digest of a stream that is little more than a weak secret would give it away.
		status.SHA256 = ""
	}
	if e.end != nil && e.end.DiskFull && !s.Truncated {
		status.Retention = v1alpha1.RetentionUnknown
	}
	if s.Truncated {
		head, tail = trimEnd(head), trimStart(tail)
	}
	if !utf8.Valid(head) || !utf8.Valid(tail) {
		status.Encoding = v1alpha1.EncodingReplaced
	}
	status.Head, status.Tail = asText(head), asText(tail)
	return status
}

// soFar is what is shown of a stream while the command runs. A Secret may be half printed by now.
func (e ending) soFar(s execution.Stream) *v1alpha1.StreamStatus {
	status := &v1alpha1.StreamStatus{
		Bytes: new(s.Bytes), Retention: v1alpha1.RetentionPartial, Encoding: v1alpha1.EncodingUTF8,
	}
	if e.withheld {
		status.Retention = v1alpha1.RetentionWithheld
		return status
	}
	tail := trimEnd(e.redaction.head(s.Tail))
	if s.Truncated {
		tail = trimStart(e.redaction.tail(tail))
	}
	if !utf8.Valid(tail) {
		status.Encoding = v1alpha1.EncodingReplaced
	}
	status.Tail = asText(tail)
	return status
}

// maxOutput bounds what both streams take in the JSON of a status, in bytes: control characters take six there.
const maxOutput = 176 << 10

// fitOutput keeps less of the longer stream until both fit.
func fitOutput(streams ...*v1alpha1.StreamStatus) {
	streams = slices.DeleteFunc(streams, func(s *v1alpha1.StreamStatus) bool { return s == nil })
	for len(streams) > 0 {
		size := 0
		for _, stream := range streams {
			size += encodedSize(stream)
		}
		if size <= maxOutput {
			return
		}
		keepLess(slices.MaxFunc(streams, func(a, b *v1alpha1.StreamStatus) int { return encodedSize(a) - encodedSize(b) }))
	}
}

func encodedSize(stream *v1alpha1.StreamStatus) int {
	encoded, _ := json.Marshal([]string{stream.Head, stream.Tail}) //nolint:errchkjson // strings always encode
	return len(encoded)
}

// keepLess leaves out the middle third of what is kept.
func keepLess(stream *v1alpha1.StreamStatus) {
	if stream.Tail == "" {
		stream.Head, stream.Tail = stream.Head[:len(stream.Head)/2], stream.Head[len(stream.Head)/2:]
	}
	stream.Head = string(trimEnd([]byte(stream.Head[:len(stream.Head)*2/3])))
	stream.Tail = string(trimStart([]byte(stream.Tail[len(stream.Tail)/3:])))
	stream.Retention = v1alpha1.RetentionTruncated
}

// truncationNote says so where the status has no whole stream, and where the whole is.
func truncationNote(stream *v1alpha1.StreamStatus, name string) string {
	if stream == nil || stream.Retention != v1alpha1.RetentionTruncated {
		return ""
	}
	if in := stream.StoredIn; in != nil && len(in.Keys) == 1 {
		return fmt.Sprintf("; all %d bytes of %s are in %s", *stream.Bytes, name, nameOf(in))
	}
	return fmt.Sprintf("; of the %d bytes of %s, beginning and end are kept", *stream.Bytes, name)
}

// nameOf is the object as a person would call it.
func nameOf(in *v1alpha1.StoredObject) string {
	if in.Secret != "" {
		return fmt.Sprintf("Secret %q", in.Secret)
	}
	return fmt.Sprintf("ConfigMap %q", in.ConfigMap)
}

// asText replaces runs of bytes that are no UTF-8.
func asText(b []byte) string {
	return string(bytes.ToValidUTF8(b, []byte("�")))
}

// trimEnd takes off a character that the cut went through.
func trimEnd(b []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if last := b[len(b)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return b[:len(b)-n]
			}
			break
		}
	}
	return b
}

// trimStart takes off the rest of a character that the cut went through.
func trimStart(b []byte) []byte {
	for n := 0; n < utf8.UTFMax && n < len(b); n++ {
		if utf8.RuneStart(b[n]) {
			return b[n:]
		}
	}
	if len(b) < utf8.UTFMax {
		return nil // nothing but that rest
	}
	return b
}

// dropOutput takes the output out of a status that the API server refused.
func (p *execPass) dropOutput() {
	for _, stream := range []*v1alpha1.StreamStatus{p.exec.Status.Stdout, p.exec.Status.Stderr} {
		if stream != nil && stream.Head != "" {
			stream.Head, stream.Tail, stream.Retention = "", "", v1alpha1.RetentionDropped
		}
	}
	for i := range p.exec.Status.Outputs {
		if o := &p.exec.Status.Outputs[i]; o.Content != "" || len(o.Entries) > 0 {
			o.State, o.Content, o.Entries = v1alpha1.OutputDropped, "", nil
		}
	}
	p.exec.Status.Reason = v1alpha1.ReasonOutputDropped
}

// signals are the names behind exit codes of 128 + n, on Linux.
var signals = map[int]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
	10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ",
	31: "SIGSYS",
}

func signalName(exitCode int) string {
	return signals[exitCode-128]
}
