// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"testing"
	"unicode/utf8"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// What the runner prints can be the command's own work.
func FuzzReport(f *testing.F) {
	for _, seed := range []string{
		"", "sandboxes.run/1\nstate absent\n\n", "sandboxes.run/1\nstate refused\nreason SpoolUnavailable\nmessage no space\n\n",
		"sandboxes.run/1\nstate exited\nend 3 exited 100 250 300 ok\nstdout 5 5 whole -\nstderr 0 0 whole -\n\nhello",
		"sandboxes.run/1\nstate exited\nend 3 exited 9 1 1 full\nstdout 99 4 4 -\nstderr 1 1 -\n\nheadtail",
		"sandboxes.run/1\nstate running\nstdout 9 4\nstderr 0 0\n\ntail",
		"sandboxes.run/1\nstate exited\nend -1 x -1 -1 -1 x\nstdout -1 -1\n\n",
	} {
		f.Add([]byte(seed))
	}
	run := Run{Stdout: Keep{Head: 4, Tail: 3}, Stderr: Keep{Head: 2}, Progress: 3}
	f.Fuzz(func(t *testing.T, printed []byte) {
		report, err := run.read(backends.Result{Stdout: printed})
		if err != nil {
			return
		}
		if !utf8.ValidString(report.Message) || len(report.Message) > 500 {
			t.Errorf("the message is %q", report.Message)
		}
		if end := report.End; end != nil {
			if end.ExitCode < 0 || end.ExitCode > 255 || end.Duration < 0 || end.Ago < 0 {
				t.Errorf("it ended with %d after %v, %v ago", end.ExitCode, end.Duration, end.Ago)
			}
			checkStream(t, end.Stdout, run.Stdout)
			checkStream(t, end.Stderr, run.Stderr)
		}
	})
}

func checkStream(t *testing.T, s Stream, keep Keep) {
	t.Helper()
	for _, kept := range []Stream{s, s.Within(Keep{Head: 2, Tail: 1}), s.Within(Keep{})} {
		if int64(len(kept.Head)+len(kept.Tail)) > max(keep.Head+keep.Tail, 0) || kept.Bytes < int64(len(kept.Head)) {
			t.Errorf("of %d bytes, %d and %d are kept, where %v should be", kept.Bytes, len(kept.Head), len(kept.Tail), keep)
		}
	}
}
