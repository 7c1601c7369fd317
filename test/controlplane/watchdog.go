// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// launcher is what envtest starts in place of a program: it writes down its process ID, which envtest keeps to itself, and
// becomes the program. A call for the program's help is none that anybody has to end.
const launcher = `#!/bin/sh
case $1 in
--help) ;;
*) echo $$ >%[1]s || exit 1 ;;
esac
exec %[2]s "$@"
`

// guard is the watchdog: a process in a session of its own that waits for the end of its standard input, which comes when
// the process that started it is gone, in whatever way, or has said that nothing is left to do. It then ends the programs
// that are still there. It looks several times, for one may just be starting, and asks for the folder's name in
// the command line where it can, for a process ID may have passed on.
const guard = `
dir=$1 remove=$2
read -r word
[ "$word" = done ] && exit 0
for attempt in 1 2 3 4 5; do
	for file in "$dir"/run/*.pid; do
		[ -f "$file" ] && read -r pid <"$file" && [ -n "$pid" ] || continue
		if [ -e /proc/self/cmdline ]; then grep -qaF -- "$dir" "/proc/$pid/cmdline" 2>/dev/null || continue; fi
		kill -9 "-$pid" 2>/dev/null
	done
	sleep 0.2
done
[ "$remove" = true ] && rm -rf "$dir"
exit 0
`

// watchdog ends the programs of a control plane whose starter was killed: a test that ran into its time limit leaves no API
// server behind. (The kernel's parent death signal would not do: it goes by the thread that started the child, and Go ends
// threads as it likes.)
type watchdog struct {
	run   string // has the launcher and the process ID of each program
	guard *exec.Cmd
	stdin io.WriteCloser
}

func startWatchdog(ctx context.Context, dir string, programs map[string]string, remove bool) (*watchdog, error) {
	w := &watchdog{run: filepath.Join(dir, "run")}
	if err := w.writeLaunchers(programs); err != nil {
		return nil, fmt.Errorf("writing the launchers: %w", err)
	}
	w.guard = exec.CommandContext(context.WithoutCancel(ctx),
		"/bin/sh", "-c", guard, "controlplane-watchdog", dir, strconv.FormatBool(remove))
	w.guard.Dir = "/"
	// An interrupt at the terminal goes to the test, and must not end its watchdog before it.
	w.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var err error
	if w.stdin, err = w.guard.StdinPipe(); err == nil {
		err = w.guard.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	return w, nil
}

func (w *watchdog) writeLaunchers(programs map[string]string) error {
	if err := os.Mkdir(w.run, 0o700); err != nil {
		return err
	}
	for name, program := range programs {
		script := fmt.Sprintf(launcher, quote(w.pidFile(name)), quote(program))
		if err := os.WriteFile(w.path(name), []byte(script), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// path returns what to start in place of a program.
func (w *watchdog) path(name string) string {
	return filepath.Join(w.run, name)
}

func (w *watchdog) pidFile(name string) string {
	return w.path(name) + ".pid"
}

// kill ends a program at once. Its process ID is still its own, for whoever started it has not waited for it yet, or no
// process has it.
func (w *watchdog) kill(name string) {
	content, err := os.ReadFile(w.pidFile(name))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid < 2 {
		return
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

// dismiss tells the watchdog that all programs have ended, and waits for its own end.
func (w *watchdog) dismiss() error {
	_, err := io.WriteString(w.stdin, "done\n")
	return errors.Join(err, w.stdin.Close(), w.guard.Wait())
}

// ignoreGone makes nothing of the complaint that a process to be stopped had already ended.
func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
