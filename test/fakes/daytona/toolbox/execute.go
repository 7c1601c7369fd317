// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package toolbox

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

type executeRequest struct {
	Command string            `json:"command"`
	Cwd     string            `json:"cwd"`
	Envs    map[string]string `json:"envs"`
	// Timeout in seconds; 0 = none.
	Timeout int `json:"timeout"`
}

type executeAnswer struct {
	ExitCode  int            `json:"exitCode"`
	Result    string         `json:"result"`
	Artifacts map[string]any `json:"artifacts,omitempty"`
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// execute runs a command by feeding it to a shell. Both streams come back as one.
func (t *toolbox) execute(w http.ResponseWriter, r *http.Request) {
	var request executeRequest
	if !decode(w, r, &request) {
		return
	}
	if strings.TrimSpace(request.Command) == "" {
		badRequest(w, r, "empty command")
		return
	}
	command := exec.Command(shell()) //nolint:noctx // it outlives its caller
	command.Stdin = strings.NewReader(request.Command)
	t.finish(w, r, command, request)
}

// finish runs what was made ready, and answers.
func (t *toolbox) finish(w http.ResponseWriter, r *http.Request, command *exec.Cmd, request executeRequest) {
	for name := range request.Envs {
		if !envName.MatchString(name) {
			badRequest(w, r, "invalid environment variable name: "+name)
			return
		}
	}
	command.Env = withEnv(request.Envs)
	command.Dir = request.Cwd
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := machine.StartCommand(command); err != nil {
		reply(w, http.StatusOK, executeAnswer{ExitCode: -1, Result: err.Error()})
		return
	}
	var timedOut atomic.Bool
	if request.Timeout > 0 {
		defer time.AfterFunc(time.Duration(request.Timeout)*time.Second, func() {
			timedOut.Store(true)
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		}).Stop()
	}
	err := machine.WaitCommand(command)
	if timedOut.Load() {
		code := "REQUEST_TIMEOUT"
		if t.newest {
			code = "PROCESS_EXECUTION_TIMEOUT"
		}
		refuse(w, r, http.StatusRequestTimeout, code, "command execution timeout")
		return
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		reply(w, http.StatusOK, executeAnswer{ExitCode: -1, Result: err.Error()})
		return
	}
	// A command that a signal killed has -1 here.
	reply(w, http.StatusOK, executeAnswer{ExitCode: command.ProcessState.ExitCode(), Result: output.String()})
}

// withEnv is the service's own environment with more.
func withEnv(more map[string]string) []string {
	env := os.Environ()
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	return env
}

// shell is the best of those that the sandbox says it has.
func shell() string {
	content, _ := os.ReadFile("/etc/shells")
	listed := strings.Fields(string(content))
	for _, name := range []string{"zsh", "bash", "sh"} {
		i := slices.IndexFunc(listed, func(file string) bool {
			_, err := os.Stat(file)
			return path.Base(file) == name && err == nil
		})
		if i >= 0 {
			return listed[i]
		}
	}
	return "sh"
}
