// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/wrapper"
)

// RunCommand implements backends.Backend, in one call of the toolbox where the input is not large, else in two.
//
// The toolbox's own ways all lack something: its execute call has one stream for both outputs, no standard input, and loses the output
// at a timeout; its sessions have lines rather than bytes, and hang when a command ends their shell. So what execute runs is a
// script of ours (script.go) that keeps the streams in files, kills the whole tree at the deadline, and prints all in Base64.
//
// The toolbox feeds a command's text to a shell that reads it byte by byte: the script travels in the environment instead. Neither is
// ever an argument of a process, which all users of a sandbox could see.
func (b *backend) RunCommand(ctx context.Context, id string, command backends.Command) (backends.Result, error) {
	if err := wrapper.Check(command); err != nil {
		return backends.Result{}, backends.Errorf(backends.Invalid, Name, operationRun, "%w", err)
	}
	run := newScript(command)
	if run.uploads() {
		if err := b.upload(ctx, id, run.uploaded(), command.Stdin); err != nil {
			return backends.Result{}, err
		}
	}
	body, err := executeBody(run.text())
	if err != nil {
		return backends.Result{}, backends.Errorf(backends.Invalid, Name, operationRun, "%w", err)
	}
	answer, err := b.inSandbox(ctx, id, web.Call{
		Operation: operationRun, Method: http.MethodPost, URL: "/process/execute", Body: body, Effect: true,
		Limit: answerLimit(run.limit),
	})
	if err != nil {
		return backends.Result{}, err
	}
	var ended struct {
		ExitCode int    `json:"exitCode"`
		Result   string `json:"result"`
	}
	if err := b.web.Decode(operationRun, answer, true, &ended); err != nil {
		return backends.Result{}, err
	}
	return run.result(ended.ExitCode, ended.Result)
}

// answerLimit is how long the answer may be, for two streams in Base64, with lines that JSON makes longer.
func answerLimit(limit int64) int64 { return 2*(limit+1)*3/2 + 1<<20 }

type executeRequest struct {
	Command string            `json:"command"`
	Envs    map[string]string `json:"envs"`
	// Timeout 0 lifts the limit that newer servers say they have.
	Timeout int `json:"timeout"`
}

// The kernel bounds each variable, by 128 KiB, and all together.
const (
	mostVariable = 100_000
	mostText     = 1 << 20
)

// textVariable and a number are the variables that hold the script.
const textVariable = "SANDBOXES_RUN_TEXT"

// executeBody has the shell of the toolbox, whichever that is, become a POSIX shell that evaluates the text.
func executeBody(text string) (executeRequest, error) {
	if len(text) > mostText {
		return executeRequest{}, fmt.Errorf("the command and its environment are %d bytes, and may be %d: give what is large on stdin",
			len(text), mostText)
	}
	decode := `"%s"`
	if !utf8.ValidString(text) {
		// JSON holds no other bytes.
		text, decode = base64.StdEncoding.EncodeToString([]byte(text)), `"$(printf %%s "%s" | base64 -d)"`
	}
	envs := map[string]string{}
	var names strings.Builder
	for text != "" {
		cut := min(len(text), mostVariable)
		for cut < len(text) && !utf8.RuneStart(text[cut]) {
			cut--
		}
		name := textVariable + strconv.Itoa(len(envs))
		envs[name] = text[:cut]
		text = text[cut:]
		names.WriteString("$" + name)
	}
	command := fmt.Sprintf(`exec /bin/sh -c 'eval `+decode+`' </dev/null`, names.String())
	return executeRequest{Command: command, Envs: envs}, nil
}

// upload puts a file into the sandbox. Its directory is made for nobody else.
func (b *backend) upload(ctx context.Context, id, file string, content []byte) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	err := form.WriteField("files[0].path", file)
	if err == nil {
		part, partErr := form.CreateFormFile("files[0].file", path.Base(file))
		if err = partErr; err == nil {
			_, err = part.Write(content)
		}
	}
	if err = errors.Join(err, form.Close()); err != nil {
		return backends.Errorf(backends.Unavailable, Name, operationRun, "the input can't be sent: %w", err)
	}
	_, err = b.inSandbox(ctx, id, web.Call{
		// Whatever becomes of it, the command has not started.
		Operation: operationRun, Method: http.MethodPost, URL: "/files/bulk-upload", Body: &body,
		Header: http.Header{"Content-Type": {form.FormDataContentType()}},
	})
	return err
}
