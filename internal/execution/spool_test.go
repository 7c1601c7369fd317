// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// eventually repeats a look until it holds.
func eventually(t *testing.T, run Run, what string, holds func(Report) bool) Report {
	t.Helper()
	var report Report
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var err error
		if report, err = run.Look(t.Context()); err == nil && holds(report) {
			return report
		}
	}
	t.Fatalf("it never is %s: %+v", what, report)
	return Report{}
}

func TestProgressIsWhatWasPrintedLast(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		run.Progress = 8
		gate := filepath.Join(t.TempDir(), "gate")
		program := shellLine("echo 0123456789 >&2; printf one; until [ -e " + gate + " ]; do sleep 0.05; done; echo two")
		program.SecretsDigest = "given"
		if err := os.WriteFile(filepath.Join(run.Sandbox.SpoolRoot(), FilesDigest), []byte("files\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		run.mustStart(t, program)
		p := eventually(t, run, "showing what it printed", func(r Report) bool {
			return r.Progress != nil && r.Progress.Stdout.Bytes > 0 && r.Progress.Stderr.Bytes > 0
		}).Progress
		if string(p.Stdout.Tail) != "one" || p.Stdout.Bytes != 3 || p.Stdout.Truncated || p.Stdout.Head != nil || p.Stdout.SHA256 != "" {
			t.Errorf("stdout is %+v", p.Stdout)
		}
		if string(p.Stderr.Tail) != "3456789\n" || p.Stderr.Bytes != 11 || !p.Stderr.Truncated {
			t.Errorf("stderr is %+v", p.Stderr)
		}
		if p.SecretsDigest != "given" || p.FilesDigest != "files" {
			t.Errorf("the digests are %q and %q", p.SecretsDigest, p.FilesDigest)
		}
		unasked := run
		unasked.Progress = 0
		if report, err := unasked.Look(t.Context()); err != nil || report.State != StateRunning || report.Progress != nil {
			t.Errorf("unasked: %+v, %v", report, err)
		}
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		end := wantEnd(t, eventually(t, run, "over", func(r Report) bool { return r.State == StateExited }), 0, CauseExited)
		wantOutput(t, end.Stdout, "onetwo\n")
	})
}

// spoolOf is what is in the spool of a run.
func spoolOf(t *testing.T, run Run) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(run.Sandbox.SpoolRoot(), run.Name))
	if err != nil {
		t.Fatalf("the fence is gone: %v", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestSpentSpoolsAreEmptiedAndTheirFencesStay(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		ran := filepath.Join(t.TempDir(), "ran")
		program := shellLine("echo ran >>" + ran)
		first, second, never := run, run, run
		first.Name, second.Name, never.Name = run.Name+".1", run.Name+".2", run.Name+".3"
		wantEnd(t, first.finish(t, program), 0, CauseExited)
		wantEnd(t, second.finish(t, program), 0, CauseExited)
		if _, err := never.Prevent(t.Context()); err != nil {
			t.Fatal(err)
		}

		run.Spent = []string{first.Name, "no-such-run", never.Name}
		wantEnd(t, run.finish(t, shellLine("true")), 0, CauseExited)
		if left := spoolOf(t, first); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
		wantEnd(t, eventually(t, second, "as it was", func(r Report) bool { return r.State == StateExited }), 0, CauseExited)

		run.Spent = []string{second.Name}
		if _, err := run.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := spoolOf(t, second); len(left) > 0 {
			t.Errorf("%v is left by a look", left)
		}
		for _, spent := range []Run{first, second} {
			if report := spent.mustStart(t, program); report.State == StateExited || report.State == StateRunning {
				t.Errorf("it was started again: %+v", report)
			}
		}
		if report := never.mustStart(t, program); report.State != StateNever {
			t.Errorf("what was never to run: %+v", report)
		}
		if text, _ := os.ReadFile(ran); string(text) != "ran\nran\n" {
			t.Errorf("the commands ran %d times, want twice", strings.Count(string(text), "\n"))
		}
		if entries, _ := os.ReadDir(run.Sandbox.SpoolRoot()); len(entries) != 4 {
			t.Errorf("%d entries beside each other, want the 4 fences", len(entries))
		}
	})
}

func TestWhatStaysInTheBackgroundOutlivesItsSpool(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "alive")
		wantEnd(t, run.finish(t, shellLine("(sleep 1; echo still here; echo >"+file+") &")), 0, CauseExited)
		next := run
		next.Name += ".next"
		next.Spent = []string{run.Name}
		wantEnd(t, next.finish(t, shellLine("true")), 0, CauseExited)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(file); err == nil {
				return
			} else if time.Now().After(deadline) {
				t.Fatal("it died with the spool")
			}
		}
	})
}

func TestACommandMayCloseItsStreams(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		run.mustStart(t, shellLine("echo before; exec <&- >&- 2>&-; sleep 1.5; exit 5"))
		wantOutput(t, wantEnd(t, run.follow(t), 5, CauseExited).Stdout, "before\n")
	})
}

func TestADaemonDoesNotHoldUpTheEnd(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		// They keep the streams of the command open until the test is over, and its directory gone.
		daemons := "for i in 1 2 3 4 5; do (setsid sh -c 'while [ -d " + t.TempDir() + " ]; do sleep 0.2; done' &) ; done; echo started"
		wantOutput(t, wantEnd(t, run.finish(t, shellLine(daemons)), 0, CauseExited).Stdout, "started\n")
	})
}

func TestACommandThatTampersWithItsSpoolIsReportedWithinBounds(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		for i, c := range []struct {
			file, text string
			want       func(Report, error) bool
		}{
			{"refused", "no reason at all!\nx\n", func(r Report, err error) bool {
				return err == nil && r.State == StateRefused && r.Reason == "SpoolUnavailable"
			}},
			{"refused", strings.Repeat("A", 2000) + "\n" + strings.Repeat("x", 5000) + "\n", func(r Report, err error) bool {
				return err == nil && r.State == StateRefused && r.Reason == "SpoolUnavailable" && len(r.Message) <= 500
			}},
			{"exit", "-1 exited 0 99999999999999999 0 0 ok\n", func(r Report, err error) bool {
				return err == nil && r.End != nil && r.End.ExitCode == 255 && r.End.Duration > 0 && r.End.Duration < 11*365*24*time.Hour &&
					r.End.Ago == 0
			}},
			{"exit", "3 exited 99999999999999999 -99999999999999999 0 0 ok\n", func(r Report, err error) bool {
				return err == nil && r.End != nil && r.End.Duration == 0 && r.End.Ago > 0 && r.End.Ago < 11*365*24*time.Hour
			}},
			{"exit", "0 exited 0 0 5000 0 ok\n", unreadable},
			{"exit", "0 exited 0 0 x 0 ok\n", unreadable},
			{"exit", "nonsense\n", unreadable},
			{"exit", "", unreadable},
			{"never", "", func(r Report, err error) bool { return err == nil && r.State == StateNever }},
		} {
			each := run
			each.Name += fmt.Sprintf(".%d", i)
			wantEnd(t, each.finish(t, shellLine("exit 3")), 3, CauseExited)
			if err := os.WriteFile(filepath.Join(run.Sandbox.SpoolRoot(), each.Name, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if report, err := each.Look(t.Context()); !c.want(report, err) {
				t.Errorf("%s %.30q: got %+v (%+v), %v", c.file, c.text, report, report.End, err)
			}
		}
	})
}

func unreadable(_ Report, err error) bool { return errors.Is(err, ErrUnreadable) }
