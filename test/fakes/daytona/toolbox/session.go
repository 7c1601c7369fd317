// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package toolbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

// session is one shell that lives on from command to command, and reads them on its standard input.
type session struct {
	id    string
	shell *exec.Cmd
	stdin io.WriteCloser
	dir   string
	// ended is closed when the shell has ended, and cancelled when the session was deleted.
	ended     chan struct{}
	cancelled context.Context //nolint:containedctx // it is the session's own end
	cancel    context.CancelFunc

	mutex    sync.Mutex
	commands []*sessionCommand
}

type sessions struct {
	mutex sync.Mutex
	byID  map[string]*session
}

func (s *sessions) get(id string) *session {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.byID[id]
}

func (t *toolbox) createSession(w http.ResponseWriter, r *http.Request) {
	var request struct {
		SessionID string `json:"sessionId"`
	}
	if !decode(w, r, &request) {
		return
	}
	switch request.SessionID {
	case "":
		badRequest(w, r, "sessionId is required")
		return
	case "entrypoint":
		badRequest(w, r, "session ID is reserved")
		return
	}
	t.sessions.mutex.Lock()
	defer t.sessions.mutex.Unlock()
	if t.sessions.byID[request.SessionID] != nil {
		refuse(w, r, http.StatusConflict, "CONFLICT", "session already exists")
		return
	}
	started, err := startSession(request.SessionID)
	if err != nil {
		refuse(w, r, http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", err.Error())
		return
	}
	t.sessions.byID[request.SessionID] = started
	w.WriteHeader(http.StatusCreated)
}

func startSession(id string) (*session, error) {
	dir, err := os.MkdirTemp("", ".daytona-session-")
	if err != nil {
		return nil, err
	}
	s := &session{id: id, dir: dir, shell: exec.Command(shell()), ended: make(chan struct{})} //nolint:noctx // end ends it
	s.cancelled, s.cancel = context.WithCancel(context.Background())
	s.shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.stdin, err = s.shell.StdinPipe(); err != nil {
		return nil, err
	}
	if err := machine.StartCommand(s.shell); err != nil {
		return nil, err
	}
	go func() {
		_ = machine.WaitCommand(s.shell)
		close(s.ended)
	}()
	return s, nil
}

// end ends the shell with its process group: politely, then not.
func (s *session) end() {
	s.cancel()
	group := -s.shell.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	_ = os.RemoveAll(s.dir)
}

func (s *session) describe() map[string]any {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	commands := make([]commandAnswer, 0, len(s.commands))
	for _, c := range s.commands {
		commands = append(commands, c.describe())
	}
	return map[string]any{"sessionId": s.id, "commands": commands}
}

func (t *toolbox) listSessions(w http.ResponseWriter, _ *http.Request) {
	t.sessions.mutex.Lock()
	defer t.sessions.mutex.Unlock()
	all := make([]any, 0, len(t.sessions.byID))
	for _, s := range t.sessions.byID {
		all = append(all, s.describe())
	}
	reply(w, http.StatusOK, all)
}

func (t *toolbox) getSession(w http.ResponseWriter, r *http.Request) {
	found := t.sessions.get(r.PathValue("session"))
	if found == nil {
		refuse(w, r, http.StatusNotFound, "NOT_FOUND", "session not found")
		return
	}
	reply(w, http.StatusOK, found.describe())
}

func (t *toolbox) deleteSession(w http.ResponseWriter, r *http.Request) {
	t.sessions.mutex.Lock()
	found := t.sessions.byID[r.PathValue("session")]
	delete(t.sessions.byID, r.PathValue("session"))
	t.sessions.mutex.Unlock()
	if found == nil {
		refuse(w, r, http.StatusNotFound, "NOT_FOUND", "session not found")
		return
	}
	found.end()
	w.WriteHeader(http.StatusNoContent)
}

type sessionExecuteRequest struct {
	Command  string `json:"command"`
	RunAsync bool   `json:"runAsync"`
	// Async is the older name of RunAsync.
	Async             bool `json:"async"`
	SuppressInputEcho bool `json:"suppressInputEcho"`
}

func (t *toolbox) executeInSession(w http.ResponseWriter, r *http.Request) {
	var request sessionExecuteRequest
	if !decode(w, r, &request) {
		return
	}
	if strings.TrimSpace(request.Command) == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fail := func(message string) { refuse(w, r, http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", message) }
	found := t.sessions.get(r.PathValue("session"))
	if found == nil {
		fail("session not found")
		return
	}
	started, err := found.run(request)
	if err != nil {
		fail(err.Error())
		return
	}
	if request.RunAsync || request.Async {
		reply(w, http.StatusAccepted, map[string]any{
			"cmdId": started.id, "output": nil, "stdout": nil, "stderr": nil, "exitCode": nil,
		})
		return
	}
	if !started.await(r.Context(), found.cancelled) {
		fail("session cancelled")
		return
	}
	answer := modeOf(r).body(started.log())
	answer["cmdId"], answer["exitCode"] = started.id, started.exitCode()
	reply(w, http.StatusOK, answer)
}

// run hands a command to the shell. Where the shell has ended, the pipe is broken.
func (s *session) run(request sessionExecuteRequest) (*sessionCommand, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	id := fmt.Sprintf("cmd-%d", len(s.commands)+1)
	c, err := newCommand(filepath.Join(s.dir, id), id, request)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ended:
		return nil, errors.New("write |1: broken pipe")
	default:
	}
	if _, err := io.WriteString(s.stdin, c.script()); err != nil {
		return nil, err
	}
	s.commands = append(s.commands, c)
	return c, nil
}
