// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package toolbox

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sessionCommand is one command of a session. Its streams are read line by line, as they come.
type sessionCommand struct {
	id, text, dir string
	async, echo   bool
	stdin         *os.File
	streams       sync.WaitGroup
	streamsEnded  chan struct{}

	mutex  sync.Mutex
	logged []byte
}

type commandAnswer struct {
	ID       string `json:"id"`
	Command  string `json:"command"`
	ExitCode *int   `json:"exitCode,omitempty"`
}

func newCommand(dir, id string, request sessionExecuteRequest) (*sessionCommand, error) {
	c := &sessionCommand{
		id: id, text: request.Command, dir: dir, async: request.RunAsync || request.Async, echo: !request.SuppressInputEcho,
		streamsEnded: make(chan struct{}),
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"stdin", "stdout", "stderr"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			return nil, err
		}
	}
	var err error
	// It is held open, so that the command meets no end of file.
	if c.stdin, err = os.OpenFile(filepath.Join(dir, "stdin"), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	c.streams.Go(func() { c.read("stdout", stdoutMarker) })
	c.streams.Go(func() { c.read("stderr", stderrMarker) })
	go func() {
		c.streams.Wait()
		close(c.streamsEnded)
	}()
	return c, nil
}

// script is what the shell reads: the command with its streams elsewhere, then its exit code. A command that ends the shell
// leaves none.
func (c *sessionCommand) script() string {
	stdin := "/dev/null"
	if c.async {
		stdin = c.dir + "/stdin"
	}
	return "{\n" + c.text + "\n} <" + stdin + " >" + c.dir + "/stdout 2>" + c.dir + "/stderr\necho $? >" + c.dir +
		"/exit.new; mv " + c.dir + "/exit.new " + c.dir + "/exit\n"
}

// read appends the lines of a stream to the log, each behind its marker. NUL bytes are lost, and a missing newline is added.
func (c *sessionCommand) read(name, marker string) {
	file, err := os.OpenFile(filepath.Join(c.dir, name), os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			c.append(marker + strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\x00", "") + "\n")
		}
		if err != nil {
			return
		}
	}
}

func (c *sessionCommand) append(text string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.logged = append(c.logged, text...)
}

func (c *sessionCommand) log() []byte {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return bytes.Clone(c.logged)
}

// exitCode is nil while the command runs, or when it took the shell with it.
func (c *sessionCommand) exitCode() *int {
	select {
	case <-c.streamsEnded:
	default:
		return nil
	}
	content, err := os.ReadFile(filepath.Join(c.dir, "exit"))
	if err != nil {
		return nil
	}
	code, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return nil
	}
	return &code
}

// await returns whether the command ended, rather than its session.
func (c *sessionCommand) await(caller, session context.Context) bool {
	for c.exitCode() == nil {
		select {
		case <-caller.Done():
			return false
		case <-session.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true
}

func (c *sessionCommand) describe() commandAnswer {
	return commandAnswer{ID: c.id, Command: c.text, ExitCode: c.exitCode()}
}

// command finds the one that a path names, or refuses.
func (t *toolbox) command(w http.ResponseWriter, r *http.Request) (*session, *sessionCommand) {
	if found := t.sessions.get(r.PathValue("session")); found != nil {
		found.mutex.Lock()
		defer found.mutex.Unlock()
		for _, c := range found.commands {
			if c.id == r.PathValue("command") {
				return found, c
			}
		}
	}
	refuse(w, r, http.StatusNotFound, "NOT_FOUND", "command not found")
	return nil, nil
}

func (t *toolbox) getCommand(w http.ResponseWriter, r *http.Request) {
	if _, c := t.command(w, r); c != nil {
		reply(w, http.StatusOK, c.describe())
	}
}

func (t *toolbox) commandLogs(w http.ResponseWriter, r *http.Request) {
	s, c := t.command(w, r)
	switch {
	case c == nil:
	case isWebSocket(r):
		follow(w, r, s, c)
	default:
		modeOf(r).writeLogs(w, c.log())
	}
}

func (t *toolbox) commandInput(w http.ResponseWriter, r *http.Request) {
	_, c := t.command(w, r)
	if c == nil {
		return
	}
	var request struct {
		Data string `json:"data"`
	}
	if !decode(w, r, &request) {
		return
	}
	switch {
	case c.exitCode() != nil:
		refuse(w, r, http.StatusGone, "COMMAND_ALREADY_COMPLETED", "command has already completed")
		return
	case !c.async:
		badRequest(w, r, "input is for asynchronous commands")
		return
	}
	line := strings.TrimSuffix(request.Data, "\n") + "\n"
	if c.echo {
		c.append(stdoutMarker + line)
	}
	if _, err := c.stdin.WriteString(line); err != nil {
		refuse(w, r, http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
