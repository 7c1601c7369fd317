// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestAShortCommandEndsWithinTheFirstCall(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		began := time.Now()
		end := wantEnd(t, run.mustStart(t, shellLine("echo out; echo err >&2; exit 7")), 7, CauseExited)
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("the first call took %s: it waited for its patience instead of for the command", took)
		}
		wantOutput(t, end.Stdout, "out\n")
		wantOutput(t, end.Stderr, "err\n")
	})
}

func TestALongCommandOutlivesTheCallThatStartedIt(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		report := run.mustStart(t, shellLine("echo first; sleep 1.5; echo last"))
		if report.State != StateRunning {
			t.Fatalf("state %q after the first call, want running", report.State)
		}
		end := wantEnd(t, run.follow(t), 0, CauseExited)
		wantOutput(t, end.Stdout, "first\nlast\n")
		if end.Duration < 1400*time.Millisecond || end.Duration > 10*time.Second {
			t.Errorf("duration %s, want about 1.5 s", end.Duration)
		}
	})
}

func TestStartingTwiceRunsOnce(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "ran")
		program := shellLine("echo ran >>" + file + "; sleep 0.3")
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := run.Start(t.Context(), program); err != nil {
					t.Errorf("start: %v", err)
				}
			})
		}
		group.Wait()
		wantEnd(t, run.follow(t), 0, CauseExited)
		if ran, _ := os.ReadFile(file); string(ran) != "ran\n" {
			t.Fatalf("the command ran %d times, want once", bytes.Count(ran, []byte("\n")))
		}
	})
}

func TestExitCodesAndSignals(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		for i, c := range []struct {
			program Program
			code    int
		}{
			{shellLine("exit 0"), 0},
			{shellLine("exit 255"), 255},
			{shellLine("kill -KILL $$"), 137},
			{shellLine("kill -TERM $$"), 143},
			{Program{Argv: []string{"no-such-program"}}, 127},
		} {
			each := run
			each.Name += fmt.Sprintf(".%d", i)
			end := wantEnd(t, each.finish(t, c.program), c.code, CauseExited)
			if c.code == 127 && !bytes.Contains(end.Stderr.Head, []byte("not found")) {
				t.Errorf("stderr %q does not say that the program was not found", end.Stderr.Head)
			}
		}
	})
}

func TestAwkwardValuesArriveUnchanged(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		awkward := "a 'b' \"c\" $HOME `id` \\ \\n % %s\nline\tü€\x01 =x"
		program := Program{Argv: []string{"sh", "-c", `printf '%s|%s|%s|' "$1" "$2" "$VALUE"; pwd`, "sh", awkward, ""}}
		program.Env = map[string]string{"VALUE": awkward, "EMPTY": ""}
		program.WorkingDir = filepath.Join(t.TempDir(), "a dir's")
		if err := os.Mkdir(program.WorkingDir, 0o700); err != nil {
			t.Fatal(err)
		}
		end := wantEnd(t, run.finish(t, program), 0, CauseExited)
		wantOutput(t, end.Stdout, awkward+"||"+awkward+"|"+program.WorkingDir+"\n")
	})
}

func TestStandardInputIsExact(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		input := make([]byte, 100_000)
		for i := range input {
			input[i] = byte(i * 7 / 3)
		}
		end := wantEnd(t, run.finish(t, Program{Argv: []string{"sha256sum"}, Stdin: input}), 0, CauseExited)
		sum := sha256.Sum256(input)
		wantOutput(t, end.Stdout, hex.EncodeToString(sum[:])+"  -\n")
	})
}

func TestWithoutStandardInputThereIsEndOfFile(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		wantOutput(t, wantEnd(t, run.finish(t, Program{Argv: []string{"cat"}}), 0, CauseExited).Stdout, "")
	})
}

func TestLongOutputIsCutInTheMiddleAndCounted(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		run.Stdout = Keep{Head: 10, Tail: 6}
		whole := strings.Repeat("0123456789", 30_000) + "the end"
		program := Program{Argv: []string{"cat"}, Stdin: []byte(whole)}
		end := wantEnd(t, run.finish(t, program), 0, CauseExited)
		sum := sha256.Sum256([]byte(whole))
		if got := end.Stdout; string(got.Head) != "0123456789" || string(got.Tail) != "he end" || !got.Truncated ||
			got.Bytes != int64(len(whole)) || got.SHA256 != hex.EncodeToString(sum[:]) {
			t.Fatalf("got %+v of %d bytes", got, len(whole))
		}
	})
}

func TestTheDeadlineKillsTheWholeTreeAndKeepsTheOutput(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "survivor")
		program := shellLine("echo before; (setsid sh -c 'sleep 3; echo alive >" + file + "' &) ; trap '' TERM; sleep 60; sleep 60")
		program.Timeout = time.Second
		run.mustStart(t, program)
		began := time.Now()
		report := run.follow(t)
		if report.State != StateExited || report.End.Cause != CauseTimedOut {
			t.Fatalf("got %+v", report)
		}
		wantOutput(t, report.End.Stdout, "before\n")
		time.Sleep(time.Until(began.Add(3500 * time.Millisecond)))
		if _, err := os.Stat(file); err == nil {
			t.Fatal("a grandchild in a session of its own survived the deadline")
		}
	})
}

func TestCancelKillsTheTreeSoonAndKeepsTheOutput(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		run.mustStart(t, shellLine("echo so far; trap '' TERM; sleep 60; sleep 60"))
		began := time.Now()
		report, err := run.Cancel(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("cancelling took %s", took)
		}
		if report.State != StateExited || report.End.Cause != CauseCancelled {
			t.Fatalf("got %+v", report)
		}
		wantOutput(t, report.End.Stdout, "so far\n")
	})
}

func TestCancelBeforeTheStartKeepsItFromEverRunning(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "ran")
		if report, err := run.Cancel(t.Context(), false); err != nil || report.State != StateNever {
			t.Fatalf("got %+v, %v", report, err)
		}
		if report := run.mustStart(t, shellLine("echo >"+file)); report.State != StateNever {
			t.Fatalf("got %+v", report)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatal("the command ran after its cancellation")
		}
	})
}

func TestAnEndThatIsWrittenDownBeatsACancel(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		wantEnd(t, run.finish(t, shellLine("exit 3")), 3, CauseExited)
		report, err := run.Cancel(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(t, report, 3, CauseExited)
	})
}

func TestABackgroundChildNeitherBlocksTheEndNorDies(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "alive")
		end := wantEnd(t, run.finish(t, shellLine("echo now; (sleep 1.2; echo >"+file+"; echo later) &")), 0, CauseExited)
		wantOutput(t, end.Stdout, "now\n")
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(file); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal("the background child died with its parent")
			}
		}
		again, err := run.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantOutput(t, again.End.Stdout, "now\n")
	})
}

func TestCodeRunsWithTheFirstInterpreterThereIs(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		program := Program{Code: &Code{
			Interpreters: []Interpreter{{Argv: []string{"no-such-interpreter"}}, {Argv: []string{"sh"}}}, Extension: "sh",
			Source: "echo \"it's\" $#\n",
		}}
		wantOutput(t, wantEnd(t, run.finish(t, program), 0, CauseExited).Stdout, "it's 0\n")
	})
}

func TestTheRunnersOwnVariablesAreNotTheProgramsOwn(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		program := Program{
			Code: &Code{
				Interpreters: []Interpreter{{Argv: []string{"sh"}}}, Extension: "sh",
				Source: `echo "$dir $program $name $root $runner $1 $verb"` + "\n",
			},
			Env: map[string]string{"dir": "a", "program": "b", "name": "c", "root": "d", "runner": "e", "verb": "f"},
		}
		wantOutput(t, wantEnd(t, run.finish(t, program), 0, CauseExited).Stdout, "a b c d e  f\n")
	})
}

func TestWhatCertainlyNeverRanSaysWhy(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		cases := map[string]Program{
			"InterpreterMissing": {
				// BusyBox finds the programs that it has within itself on any PATH, and this is none of them.
				Code: &Code{Interpreters: []Interpreter{{Argv: []string{"perl"}}}, Extension: "x", Source: "x"},
				Env:  map[string]string{"PATH": "/no/programs"},
			},
			"WorkingDirMissing": {Argv: []string{"true"}, WorkingDir: "/no/such/dir"},
		}
		for reason, program := range cases {
			each := run
			each.Name += "." + strings.ToLower(reason)
			report := each.mustStart(t, program)
			if report.State != StateRefused || report.Reason != reason || report.Message == "" {
				t.Errorf("%s: got %+v", reason, report)
			}
		}
	})
}

func TestANULByteIsToldBeforeAnythingIsStarted(t *testing.T) {
	if (Program{Argv: []string{"printf", "a\x00b"}}).Check() == nil {
		t.Error("a NUL byte in an argument passes")
	}
}

func TestPreventLetsARunningCommandGoOn(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		run.mustStart(t, shellLine("sleep 1.5; echo done"))
		if report, err := run.Prevent(t.Context()); err != nil || report.State != StateRunning {
			t.Fatalf("got %+v, %v", report, err)
		}
		wantOutput(t, wantEnd(t, run.follow(t), 0, CauseExited).Stdout, "done\n")
		other := run
		other.Name += ".other"
		if report, err := other.Prevent(t.Context()); err != nil || report.State != StateNever {
			t.Fatalf("got %+v, %v", report, err)
		}
	})
}

func TestARepeatedStartFollowsWhatRuns(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		run.mustStart(t, shellLine("sleep 60"))
		root := run.Sandbox.SpoolRoot()
		if err := os.Chmod(root, 0o500); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Chmod(root, 0o700) }()
		if report := run.mustStart(t, shellLine("sleep 60")); report.State != StateRunning {
			t.Fatalf("got %+v", report)
		}
	})
}

func TestCancelKillsACommandThatRemovedItsSpool(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "survivor")
		run.mustStart(t, shellLine("rm -rf "+run.Sandbox.SpoolRoot()+"/"+run.Name+"; sleep 2; echo >"+file))
		report, err := run.Cancel(t.Context(), true)
		if err != nil || report.State != StateAbsent {
			t.Fatalf("got %+v, %v", report, err)
		}
		time.Sleep(1500 * time.Millisecond)
		if _, err := os.Stat(file); err == nil {
			t.Fatal("the command survived")
		}
	})
}

func TestTheDeadlineIsKeptWhenTheSpoolIsGone(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "survivor")
		program := shellLine("rm -rf " + run.Sandbox.SpoolRoot() + "/" + run.Name + "; sleep 4; echo >" + file)
		program.Timeout = 2 * time.Second
		began := time.Now()
		run.mustStart(t, program)
		time.Sleep(time.Until(began.Add(5 * time.Second)))
		if _, err := os.Stat(file); err == nil {
			t.Fatal("the command survived its deadline")
		}
	})
}

func TestARefusalThatCantBeReadEndsAllTheSame(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		dir := filepath.Join(run.Sandbox.SpoolRoot(), run.Name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "refused"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if report, err := run.Look(t.Context()); err != nil || report.State != StateRefused {
			t.Fatalf("got %+v, %v", report, err)
		}
	})
}

func TestACommandThatWasCancelledBeforeItsWatcherCameUpNeverRuns(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		file := filepath.Join(t.TempDir(), "ran")
		root := run.Sandbox.SpoolRoot()
		dir := filepath.Join(root, run.Name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if report, err := run.Look(t.Context()); err != nil || report.State != StateStarting {
			t.Fatalf("got %+v, %v", report, err)
		}
		if _, err := run.Cancel(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "script"), []byte("echo >"+file), 0o600); err != nil {
			t.Fatal(err)
		}
		watch := backends.Command{Argv: []string{
			"/bin/sh", "-c", `eval "$1"`, "sh", backends.KillTreeFunction + runnerText, "watch", root, run.Name, "0",
		}}
		if _, err := run.Sandbox.RunCommand(t.Context(), watch); err != nil {
			t.Fatal(err)
		}
		if report, err := run.Look(t.Context()); err != nil || report.State != StateNever {
			t.Fatalf("got %+v, %v", report, err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatal("the command ran")
		}
	})
}

func TestAVariableThatTheShellKeepsToItselfIsRefusedOrSet(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		report := run.mustStart(t, Program{Argv: []string{"env"}, Env: map[string]string{"UID": "12", "PPID": "7"}})
		switch report.State {
		case StateRefused:
			if report.Reason != "Invalid" {
				t.Fatalf("got %+v", report)
			}
		case StateExited:
			if !bytes.Contains(report.End.Stdout.Head, []byte("UID=12\n")) {
				t.Fatalf("the variable got lost: %s", report.End.Stdout.Head)
			}
		default:
			t.Fatalf("got %+v", report)
		}
	})
}

func TestARunnerThatWasKilledIsLost(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		if report := run.mustStart(t, shellLine("sleep 60")); report.State != StateRunning {
			t.Fatalf("got %+v", report)
		}
		text, err := os.ReadFile(filepath.Join(run.Sandbox.SpoolRoot(), run.Name, "runner"))
		if err != nil {
			t.Fatal(err)
		}
		pid, _, _ := strings.Cut(string(text), " ")
		if out, err := exec.Command("kill", "-KILL", pid).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if report, err := run.Look(t.Context()); err == nil && report.State == StateLost {
				return
			}
		}
		t.Fatal("the death of the runner is not seen")
	})
}

func TestASpoolThatWasRemovedIsAbsent(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		run.mustStart(t, shellLine("sleep 60"))
		dir := filepath.Join(run.Sandbox.SpoolRoot(), run.Name)
		session, err := os.ReadFile(filepath.Join(dir, "session"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		report, err := run.Look(t.Context())
		if err != nil || report.State != StateAbsent {
			t.Fatalf("got %+v, %v", report, err)
		}
		_ = exec.Command("kill", "-KILL", strings.TrimSpace(string(session))).Run()
	})
}

func TestNothingSecretStaysInTheSpoolOrInArguments(t *testing.T) {
	inEveryShell(t, func(t *testing.T, run Run) {
		program := Program{
			Code: &Code{
				Interpreters: []Interpreter{{Argv: []string{"sh"}}}, Extension: "sh",
				Source: "cat >/dev/null; tr '\\0' ' ' </proc/$$/cmdline; sleep 1.2 # s3cret-code",
			},
			Env: map[string]string{"TOKEN": "s3cret-env"}, Stdin: []byte("s3cret-stdin"),
		}
		report := run.mustStart(t, program)
		if report.State == StateRunning {
			report = run.follow(t)
		}
		end := wantEnd(t, report, 0, CauseExited)
		if bytes.Contains(end.Stdout.Head, []byte("s3cret")) {
			t.Errorf("a secret is in the arguments: %s", end.Stdout.Head)
		}
		out, _ := exec.Command("grep", "-r", "s3cret", run.Sandbox.SpoolRoot()).CombinedOutput()
		if len(out) > 0 {
			t.Errorf("secrets stay in the spool: %s", out)
		}
	})
}

func TestWithoutAShellTheSandboxSaysSo(t *testing.T) {
	report, err := Run{Sandbox: shellless{}, Name: "x"}.Start(t.Context(), shellLine("true"))
	if err != nil || report.State != StateNoShell || !strings.Contains(report.Message, "/bin/sh") {
		t.Fatalf("got %+v, %v", report, err)
	}
}

type shellless struct{}

func (shellless) SpoolRoot() string { return "/spool" }
func (shellless) RunCommand(context.Context, backends.Command) (backends.Result, error) {
	return backends.Result{ExitCode: 127, Stderr: []byte("no such file")}, nil
}
