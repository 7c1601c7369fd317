// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wrapper runs a command by a small shell program in the sandbox, for backends whose provider has a connection with three streams
// and little more: it keeps the deadline and kills the whole tree then, tells the end of the command from the end of its streams, which
// what it left running may hold open, and brings back the true exit code.
//
// wrapper.go composes the program, command.sh is its heart, and capture.go reads what it sends.
package wrapper

import (
	"bytes"
	"crypto/rand"
	_ "embed" // the script
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

//go:embed command.sh
var commandScript string

// markerVariable is in the environment of a command with a deadline, and of all that it starts.
const markerVariable = "SANDBOXES_RUN_CALL"

// Wrapped is one run of one command.
type Wrapped struct {
	// Command is the command. Its working directory and its user are the backend's to heed.
	Command backends.Command
	// Directory is where it starts, made where it is missing; empty = where the connection starts it.
	Directory string
	// Guard is shell text that may refuse the command, before anything has run, by "finish WHY": the report is then WHY.
	Guard string
	// Stdout and Stderr read the two streams.
	Stdout, Stderr *Capture
	first, second  string
}

// New returns a run of the command.
func New(command backends.Command) *Wrapped {
	w := &Wrapped{Command: command, first: rand.Text(), second: rand.Text()}
	w.Stdout, w.Stderr = newCapture(w.Word(), command.OutputLimit), newCapture(w.Word(), command.OutputLimit)
	return w
}

// Word ends each stream of the command. Nobody else knows it.
func (w *Wrapped) Word() string { return w.first + w.second }

// Marker is in the environment of the command, and of all that it starts.
func (w *Wrapped) Marker() string { return markerVariable + "=" + w.first }

// CanExport says whether a shell can export a variable of this name.
func CanExport(name string) bool { return variable.MatchString(name) }

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Check finds what no shell can run.
func Check(command backends.Command) error {
	if len(command.Argv) == 0 || command.Argv[0] == "" {
		return errors.New("there is no command")
	}
	if command.WorkingDir != "" && !path.IsAbs(command.WorkingDir) {
		return errors.New("the working directory must be an absolute path")
	}
	if strings.Contains(strings.Join(command.Argv, "")+command.WorkingDir+command.User, "\x00") {
		return errors.New("a command can't contain a zero byte")
	}
	for key, value := range command.Env {
		if !CanExport(key) || strings.Contains(value, "\x00") {
			return fmt.Errorf("%q is no name and value that a shell can export", backends.Bounded(key, 64))
		}
	}
	return nil
}

// Settings are the lines that set the environment.
func (w *Wrapped) Settings() []byte {
	var lines bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(w.Command.Env)) {
		fmt.Fprintf(&lines, "command export %s=%s || { echo \"sandbox: the shell lets nobody set %s\" >&2; exit 125; }\n",
			key, backends.Quote(w.Command.Env[key]), key)
	}
	return lines.Bytes()
}

// Script is the program, without its parameters and the environment.
func (w *Wrapped) Script() string {
	guard := w.Guard
	if guard == "" {
		guard = ":"
	}
	text := "guard() {\n" + guard + "\n}\nlines=\n"
	if w.Command.Timeout > 0 {
		text += backends.KillTreeFunction
	}
	return text + commandScript
}

// Parameters are what the program is called with; settings says that lines of the environment come on its standard input.
func (w *Wrapped) Parameters(settings bool) []string {
	timeout, has := "", "0"
	if w.Command.Timeout > 0 {
		timeout = strconv.FormatFloat(w.Command.Timeout.Seconds(), 'f', 3, 64)
	}
	if settings {
		has = "1"
	}
	return append([]string{w.first, w.second, timeout, has, strconv.Itoa(len(w.Command.Stdin)), w.Directory}, w.Command.Argv...)
}

// Text is the program with its parameters and the environment, to be evaluated by a shell.
func (w *Wrapped) Text() string {
	var text strings.Builder
	text.WriteString("set --")
	for _, parameter := range w.Parameters(false) {
		text.WriteString(" " + backends.Quote(parameter))
	}
	text.WriteString("\n" + strings.Replace(w.Script(), "lines=\n", "lines="+backends.Quote(string(w.Settings()))+"\n", 1))
	return text.String()
}

// Reported says that both streams have arrived to their end.
func (w *Wrapped) Reported() bool { return w.Stdout.whole && w.Stderr.whole }

// Result is what the script reported; false = it did not report how the command ended. Why it refused is in the report of a stream.
func (w *Wrapped) Result() (backends.Result, bool) {
	number, late, _ := strings.Cut(w.Stdout.report, " ")
	code, err := strconv.Atoi(number)
	return backends.Result{
		ExitCode: code, TimedOut: late != "",
		Stdout: w.Stdout.Bytes, StdoutTruncated: w.Stdout.Truncated,
		Stderr: w.Stderr.Bytes, StderrTruncated: w.Stderr.Truncated,
	}, w.Reported() && err == nil
}
