// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// awkward are words that careless quoting breaks.
var awkward = []string{
	"", " ", "plain", "two words", "-n", "--help", "*", "?[a-z]", "~", "it's", `"double"`, `back\slash`, `end\`, "$HOME",
	"$(id)", "`id`", "a;b|c&d", "new\nline", "ends in\n", "tab\t", "#no comment", "=", "ünïcödé 世界 🎈", "'", "''", "!!", "{a,b}",
	"(x)", "%s%n",
}

func TestQuoteGivesTheShellExactlyTheWord(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		for _, word := range awkward {
			output, err := land.command(t.Context(), "printf '%s.' "+backends.Quote(word)).Output()
			if err != nil || string(output) != word+"." {
				t.Errorf("Quote(%q) reached the shell as %q (%v)", word, output, err)
			}
		}
	})
}

// process is started by a test, and ends with it.
type process struct {
	*exec.Cmd
	ended chan struct{}
}

// start runs sleep, or another program, with this environment and in a session of its own.
func start(t *testing.T, program string, env ...string) process {
	t.Helper()
	cmd := exec.Command(program, "60")
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process{Cmd: cmd, ended: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-p.ended })
	return p
}

func (p process) id() string { return fmt.Sprint(p.Process.Pid) }

// endsSoon says whether the process ends within a few seconds.
func (p process) endsSoon() bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(5 * time.Second):
		return false
	}
}

func (p process) lives() bool { return p.Process.Signal(syscall.Signal(0)) == nil }

// killTree calls the function once, and returns whether it said that it found a process.
func killTree(t *testing.T, land userland, signal, marker, session string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := land.command(ctx, backends.KillTreeFunction+`kill_tree "$@"`, signal, marker, session)
	output, err := cmd.CombinedOutput()
	if len(output) > 0 {
		t.Errorf("kill_tree is not silent: %q", output)
	}
	if code := cmd.ProcessState.ExitCode(); err != nil && code != 1 {
		t.Errorf("kill_tree ended with %d: %v", code, err)
	}
	return err == nil
}

func TestKillTreeFindsAMarkerOnlyAsAWholeEntry(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		marker := "KILL_TREE_TEST=" + t.Name() + "-" + fmt.Sprint(time.Now().UnixNano())
		first := start(t, "sleep", marker, "LATER=x")
		last := start(t, "sleep", "EARLIER=a\nb", marker)
		others := []process{
			start(t, "sleep", marker+"0"), start(t, "sleep", "X"+marker), start(t, "sleep", "X=a\n"+marker+"\nb"),
			start(t, "sleep", "X="+marker), start(t, "sleep"),
		}
		if !killTree(t, land, "0", marker, "") || !first.lives() || !last.lives() {
			t.Error("signal 0 must find marked processes and leave them alive")
		}
		if !killTree(t, land, "TERM", marker, "") || !first.endsSoon() || !last.endsSoon() {
			t.Error("a process with the marker survived")
		}
		for _, other := range others {
			if !other.lives() {
				t.Errorf("a process was killed whose environment only looks like the marker: %q", other.Env)
			}
		}
		if killTree(t, land, "KILL", marker, "") {
			t.Error("kill_tree found a process where none is left: callers would loop for ever")
		}
	})
}

func TestKillTreeFindsASessionWhateverItsCommandIsCalled(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("needs sleep")
	}
	inEachUserland(t, func(t *testing.T, land userland) {
		for _, name := range []string{"plain", "a) S 1 1 1", "((", "new\n) R 2"} {
			program := filepath.Join(t.TempDir(), name)
			if err := os.Symlink(sleep, program); err != nil {
				t.Fatal(err)
			}
			leader, bystander := start(t, program), start(t, "sleep")
			if !killTree(t, land, "KILL", "", leader.id()) || !leader.endsSoon() {
				t.Errorf("a session led by a command named %q survived", name)
			}
			if !bystander.lives() {
				t.Errorf("another session was killed with that of %q", name)
			}
		}
	})
}

func TestKillTreeSkipsZombies(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		cmd := exec.Command("true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Wait() }()
		stat := filepath.Join("/proc", fmt.Sprint(cmd.Process.Pid), "stat")
		for content := ""; !strings.Contains(content, ") Z"); {
			raw, err := os.ReadFile(stat)
			if err != nil {
				t.Fatal(err)
			}
			content = string(raw)
		}
		if killTree(t, land, "KILL", "", fmt.Sprint(cmd.Process.Pid)) {
			t.Error("a zombie counts as alive")
		}
	})
}

func TestKillTreeNeedsNoTools(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		land.path = "/nowhere"
		marker := fmt.Sprintf("KILL_TREE_TOOLS=%d", time.Now().UnixNano())
		marked, other := start(t, "sleep", "FIRST=x", marker), start(t, "sleep", "FIRST=x")
		if !killTree(t, land, "KILL", marker, "") || !marked.endsSoon() {
			t.Error("without tr and grep a marked process survives, and the caller believes it dead")
		}
		if !other.lives() {
			t.Error("an unmarked process was killed")
		}
	})
}

func TestKillTreeSparesItsCaller(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		marker := fmt.Sprintf("KILL_TREE_CALLER=%d", time.Now().UnixNano())
		cmd := land.command(t.Context(), backends.KillTreeFunction+
			`kill_tree KILL "$1" ""; (kill_tree KILL "$1" ""); echo alive`, marker)
		cmd.Env = append(cmd.Env, marker)
		if output, err := cmd.CombinedOutput(); string(output) != "alive\n" {
			t.Errorf("the caller, or a subshell of it, killed itself: %q, %v", output, err)
		}
	})
}

func TestKillTreeEndsATreeThatIgnoresTERMAndForks(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		marker := fmt.Sprintf("KILL_TREE_LOOP=%d", time.Now().UnixNano())
		tree := land.command(t.Context(), `trap "" TERM; setsid sh -c 'trap "" TERM; sleep 60 & sleep 60' & sleep 60; sleep 60`)
		tree.Env = append(tree.Env, marker)
		if err := tree.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = tree.Wait(); close(ended) }()
		killTree(t, land, "TERM", marker, "")
		deadline := time.Now().Add(10 * time.Second)
		for killTree(t, land, "KILL", marker, "") {
			if time.Now().After(deadline) {
				t.Fatal("the tree can't be killed")
			}
		}
		<-ended
	})
}
