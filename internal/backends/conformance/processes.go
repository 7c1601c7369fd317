// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"path"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func processChecks() []Check {
	return []Check{
		{"kills the whole tree at the deadline, and returns the output so far", deadlineKillsTheTree},
		{"leaves alone a command that ends before its deadline", deadlineInTime},
		{"leaves other commands alone when one is killed", deadlineKillsNobodyElse},
		{"returns soon after the caller gave up", callerGivesUp},
		{"neither waits for what a command leaves in the background nor kills it", backgroundLives},
	}
}

// The environment variable by which checks find the processes of their commands again.
const processMarker = "CONFORMANCE_MARKER"

// marked gives a command a marker of its own in its environment, which every process that it starts inherits.
func marked(command backends.Command) (backends.Command, string) {
	value := unique()
	command.Env = map[string]string{processMarker: value}
	return command, processMarker + "=" + value
}

// signal signals all marked processes in the remote, and says whether there were any. Signal 0 only looks.
func (t *T) signal(id, name, marker string) bool {
	command := scriptCommand(backends.KillTreeFunction+`kill_tree "$1" "$2" ""`, name, marker)
	result := t.run(id, command)
	if result.ExitCode > 1 {
		t.Fatalf("looking for processes in the remote: exit code %d, %.200q", result.ExitCode, result.Stderr)
	}
	return result.ExitCode == 0
}

// hasSetsid says whether the remote can start processes in a session of their own.
func (t *T) hasSetsid(id string) string {
	if t.run(id, scriptCommand("command -v setsid")).ExitCode == 0 {
		return "setsid"
	}
	return ""
}

func deadlineKillsTheTree(t *T) {
	id := t.remote()
	dir := t.scratch(id)
	// Three kinds that a careless kill misses: who ignores TERM, who left the session, and who was orphaned there.
	command, marker := marked(scriptCommand(`
		trap '' TERM
		echo before
		echo words >&2
		$1 sh -c 'trap "" TERM; echo >> left; sleep 300' &
		( $1 sh -c 'sleep 300 & echo >> left; sleep 300' & )
		sleep 300 &
		while sleep 300; do :; done`, t.hasSetsid(id)))
	command.WorkingDir = dir
	command.Timeout = time.Second
	began := time.Now()
	result := t.run(id, command)
	if took := time.Since(began); took < command.Timeout || took > command.Timeout+t.Overhead {
		t.Errorf("a command with a deadline of %s took %s", command.Timeout, took.Round(time.Millisecond))
	}
	if !result.TimedOut {
		t.Errorf("a command that its deadline killed is not called timed out: %+v", result)
	}
	t.wantBytes("the output before the deadline", result.Stdout, []byte("before\n"))
	t.wantBytes("the words before the deadline", result.Stderr, []byte("words\n"))
	if t.signal(id, "0", marker) {
		t.Errorf("processes of a command survive its deadline")
		t.signal(id, "KILL", marker)
	}
}

func deadlineInTime(t *T) {
	command := scriptCommand("echo done; exit 7")
	command.Timeout = time.Minute
	if result := t.run(t.remote(), command); result.TimedOut || result.ExitCode != 7 || string(result.Stdout) != "done\n" {
		t.Errorf("a command that ends before its deadline gives %+v", result)
	}
}

func deadlineKillsNobodyElse(t *T) {
	id := t.remote()
	background, marker := marked(scriptCommand("sleep 300 > /dev/null 2>&1 &"))
	t.mustRun(id, background)
	defer t.signal(id, "KILL", marker)
	if result := t.run(id, backends.Command{Argv: []string{"sleep", "300"}, Timeout: 100 * time.Millisecond}); !result.TimedOut {
		t.Errorf("a command that its deadline killed is not called timed out: %+v", result)
	}
	if !t.signal(id, "0", marker) {
		t.Errorf("the deadline of one command killed the processes of another")
	}
}

func callerGivesUp(t *T) {
	id := t.remote()
	started := path.Join(t.scratch(id), "started")
	command, marker := marked(scriptCommand(`: > "$1"; sleep 300`, started))
	defer t.signal(id, "KILL", marker)
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := t.Backend.RunCommand(ctx, id, command)
		ended <- err
	}()
	t.eventually("a command does not start", func() bool {
		there, err := backends.Exists(t.ctx, t.Backend, id, started)
		return err == nil && there
	})
	cancel()
	select {
	case err := <-ended:
		t.wantGivenUp(err)
	case <-time.After(t.Overhead):
		t.Errorf("RunCommand goes on for more than %s after its context ended", t.Overhead)
	}
}

// wantGivenUp complains of an error that says, of a command that ran, that it certainly did not start.
func (t *T) wantGivenUp(err error) {
	if err == nil {
		t.Errorf("RunCommand gives a result for a command that still runs")
		return
	}
	t.wantTyped("RunCommand with a context that ended", err)
	switch code := backends.CodeOf(err); code {
	case backends.Ambiguous:
	default:
		t.Errorf("RunCommand with a context that ended fails with %s: the command started, so it must be Ambiguous", code)
	}
}

func backgroundLives(t *T) {
	id := t.remote()
	dir := t.scratch(id)
	// One holds the streams open, which must not keep the call; one has its own, and later does something.
	command, marker := marked(scriptCommand(`
		sleep 300 &
		$1 sh -c 'while ! [ -e go ]; do sleep 0.05 || sleep 1; done; echo alive > answer' > /dev/null 2>&1 &
		echo started`, t.hasSetsid(id)))
	command.WorkingDir = dir
	command.Timeout = t.Overhead // a backend that waits for the background is found out then
	defer t.signal(id, "KILL", marker)
	began := time.Now()
	result := t.mustRun(id, command)
	if took := time.Since(began); took > t.Overhead {
		t.Errorf("a command that left something in the background took %s", took)
	}
	t.wantBytes("the output of a command that left something in the background", result.Stdout, []byte("started\n"))
	t.shell(id, `: > "$1/go"`, dir)
	t.eventually("what a command left in the background does not live on", func() bool {
		return t.run(id, scriptCommand(`[ "$(cat "$1/answer")" = alive ]`, dir)).ExitCode == 0
	})
	if !t.signal(id, "0", marker) {
		t.Errorf("what a command left in the background, with its streams open, was killed")
	}
}
