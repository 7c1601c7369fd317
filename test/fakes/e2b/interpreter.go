// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bufio"
	"context"
	"crypto/rand"
	_ "embed" // the kernel
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
)

//go:embed kernel.py
var kernelProgram string

// kernels are the contexts of the code interpreter of one sandbox.
type kernels struct {
	mutex sync.Mutex
	all   []*kernel
	// usual is the context that runs what names none.
	usual *kernel
}

// kernel is one context: a Python that remembers.
type kernel struct {
	ID       string `json:"id"`
	Language string `json:"language"`
	Cwd      string `json:"cwd"`

	// turn is held by who runs code.
	turn   sync.Mutex
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events *bufio.Reader
	files  []io.Closer
}

func (k *kernels) close() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, one := range k.all {
		one.close()
	}
	k.all, k.usual = nil, nil
}

func (k *kernel) close() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
	for _, file := range k.files {
		_ = file.Close()
	}
}

// find returns the context of an ID; empty = the usual one, which is made when it is first needed.
func (k *kernels) find(s *sandbox, id string) (*kernel, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if id == "" && k.usual == nil {
		var err error
		if k.usual, err = k.add(s, ""); err != nil {
			return nil, err
		}
	}
	if id == "" {
		return k.usual, nil
	}
	i := slices.IndexFunc(k.all, func(one *kernel) bool { return one.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("Context %s not found", id) //nolint:staticcheck // the interpreter's own words
	}
	return k.all[i], nil
}

// add starts a context. The mutex is held.
func (k *kernels) add(s *sandbox, dir string) (*kernel, error) {
	m, err := s.running()
	if err != nil {
		return nil, err
	}
	one := &kernel{ID: strings.ToLower(rand.Text()), Language: "python", Cwd: dir}
	if one.Cwd == "" {
		one.Cwd = "/home/user"
	}
	if err := one.start(m, s.request.EnvVars); err != nil {
		return nil, err
	}
	k.all = append(k.all, one)
	return one, nil
}

func (k *kernel) start(m *machine, env map[string]string) error {
	user, err := m.user(usualUser)
	if err != nil {
		return err
	}
	stdin, ours, stdinErr := os.Pipe()
	events, theirs, eventsErr := os.Pipe()
	if err := errors.Join(stdinErr, eventsErr); err != nil {
		return err
	}
	k.cmd = &exec.Cmd{
		Path: "/usr/bin/python3", Args: []string{"python3", "-u", "-c", kernelProgram}, Dir: k.Cwd,
		Env: environment(user, env, nil), Stdin: stdin, ExtraFiles: []*os.File{theirs},
	}
	m.runAs(k.cmd, user)
	err = m.start(k.cmd)
	_, _ = stdin.Close(), theirs.Close()
	k.stdin, k.events, k.files = ours, bufio.NewReader(events), []io.Closer{ours, events}
	return err
}

// interpreter answers on its port in sandboxes whose template has it.
func (c *Cloud) interpreter() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, "OK") })
	mux.HandleFunc("POST /execute", c.execute)
	mux.HandleFunc("GET /contexts", c.getContexts)
	mux.HandleFunc("POST /contexts", c.postContext)
	mux.HandleFunc("DELETE /contexts/{id}", c.deleteContext)
	mux.HandleFunc("POST /contexts/{id}/restart", c.restartContext)
	// It looks at no token: the traffic token guards its port where that is private.
	return mux
}

func knownLanguage(language string) bool { return language == "" || language == "python" }

func (c *Cloud) execute(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Code      string            `json:"code"`
		Language  string            `json:"language"`
		ContextID string            `json:"context_id"`
		EnvVars   map[string]string `json:"env_vars"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	switch {
	case request.Language != "" && request.ContextID != "":
		http.Error(w, "Only one of context_id or language can be provided", http.StatusBadRequest)
		return
	case !knownLanguage(request.Language):
		http.Error(w, "No kernel for language "+request.Language, http.StatusInternalServerError)
		return
	}
	s := sandboxOf(r.Context())
	k, err := s.kernels.find(s, request.ContextID)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	line, _ := json.Marshal(map[string]any{"code": request.Code, "env_vars": request.EnvVars}) //nolint:errchkjson // strings
	w.Header().Set("Content-Type", "application/json")
	k.run(r.Context(), line, w)
}

// run runs code, and passes on what comes of it. When the caller leaves, the code is interrupted.
func (k *kernel) run(ctx context.Context, line []byte, w http.ResponseWriter) {
	k.turn.Lock()
	defer k.turn.Unlock()
	if _, err := k.stdin.Write(append(line, '\n')); err != nil {
		_, _ = io.WriteString(w, `{"type":"unexpected_end_of_execution"}`+"\n")
		return
	}
	left := context.AfterFunc(ctx, func() { _ = k.cmd.Process.Signal(syscall.SIGINT) })
	defer left()
	flusher := http.NewResponseController(w)
	for {
		event, err := k.events.ReadString('\n')
		if err != nil {
			_, _ = io.WriteString(w, `{"type":"unexpected_end_of_execution"}`+"\n")
			return
		}
		if ctx.Err() == nil {
			_, _ = io.WriteString(w, event)
			_ = flusher.Flush()
		}
		if strings.Contains(event, `"type": "end_of_execution"`) {
			return
		}
	}
}

func (c *Cloud) getContexts(w http.ResponseWriter, r *http.Request) {
	k := &sandboxOf(r.Context()).kernels
	k.mutex.Lock()
	defer k.mutex.Unlock()
	writeJSON(w, http.StatusOK, append([]*kernel{}, k.all...))
}

func (c *Cloud) postContext(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Language string `json:"language"`
		Cwd      string `json:"cwd"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || !knownLanguage(request.Language) {
		http.Error(w, "No kernel for language "+request.Language, http.StatusInternalServerError)
		return
	}
	s := sandboxOf(r.Context())
	s.kernels.mutex.Lock()
	defer s.kernels.mutex.Unlock()
	one, err := s.kernels.add(s, request.Cwd)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, one)
}

func (c *Cloud) deleteContext(w http.ResponseWriter, r *http.Request) {
	k := &sandboxOf(r.Context()).kernels
	k.mutex.Lock()
	defer k.mutex.Unlock()
	i := slices.IndexFunc(k.all, func(one *kernel) bool { return one.ID == r.PathValue("id") })
	if i < 0 {
		http.Error(w, "Context "+r.PathValue("id")+" not found", http.StatusNotFound)
		return
	}
	k.all[i].close()
	if k.usual == k.all[i] {
		k.usual = nil
	}
	k.all = slices.Delete(k.all, i, i+1)
	writeJSON(w, http.StatusOK, nil)
}

func (c *Cloud) restartContext(w http.ResponseWriter, r *http.Request) {
	s := sandboxOf(r.Context())
	k := &s.kernels
	k.mutex.Lock()
	defer k.mutex.Unlock()
	i := slices.IndexFunc(k.all, func(one *kernel) bool { return one.ID == r.PathValue("id") })
	if i < 0 {
		http.Error(w, "Context "+r.PathValue("id")+" not found", http.StatusNotFound)
		return
	}
	old := k.all[i]
	old.close()
	k.all = slices.Delete(k.all, i, i+1)
	one, err := k.add(s, old.Cwd)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	one.ID = old.ID
	if k.usual == old {
		k.usual = one
	}
	writeJSON(w, http.StatusOK, nil)
}
