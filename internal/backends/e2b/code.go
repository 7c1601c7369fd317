// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/wrapper"
)

const operationCode = "run code"

// languages are those of which E2B's template of the interpreter has kernels, by the operator's words.
var languages = map[string]string{
	"python": "python", "javascript": "javascript", "typescript": "typescript", "shell": "bash",
}

type executeBody struct {
	Code      string            `json:"code"`
	Language  string            `json:"language,omitempty"`
	ContextID string            `json:"context_id,omitempty"`
	EnvVars   map[string]string `json:"env_vars,omitempty"`
}

type contextBody struct {
	ID       string `json:"id,omitempty"`
	Language string `json:"language"`
	Cwd      string `json:"cwd"`
}

// RunCode implements backends.CodeRunner, where the template has E2B's code interpreter. Code that names no directory shares the
// language's usual context, in which what earlier code defined stays, and runs one after another; other code gets a context of its
// own for the time. When its time is over the call is ended, upon which the interpreter interrupts the code.
func (b *backend) RunCode(ctx context.Context, id string, source backends.SourceCode) (backends.CodeResult, error) {
	return enter(ctx, b, operationCode, id, func(p place) (backends.CodeResult, error) {
		if err := checkCode(p, source); err != nil {
			return backends.CodeResult{}, err
		}
		if source.WorkingDir == "" && p.workingDir != "" {
			if err := b.makeWorkingDir(ctx, p, operationCode); err != nil {
				return backends.CodeResult{}, err
			}
			source.WorkingDir = p.workingDir
		}
		return b.runCode(ctx, p, source)
	})
}

func checkCode(p place, source backends.SourceCode) error {
	unsupported := func(format string, args ...any) error {
		return backends.Errorf(backends.Unsupported, Name, operationCode, format, args...)
	}
	switch {
	case languages[source.Language] == "":
		return unsupported("E2B's code interpreter has no kernel for %q; with engine Interpreter a program of the sandbox runs it",
			backends.Bounded(source.Language, 64))
	case len(source.Arguments) > 0:
		return unsupported("E2B's code interpreter takes no arguments; use engine Interpreter")
	case p.user != "":
		return unsupported("E2B's code interpreter runs all code as its own user, and the Sandbox names user %q; use engine Interpreter",
			p.user)
	}
	for key, value := range source.Env {
		// It puts values between quotes, into code, as they are.
		if !wrapper.CanExport(key) || strings.ContainsAny(value, "'\"\\\n\r$") {
			return unsupported("E2B's code interpreter can't set %s to a value with quotes, $, backslashes or more lines; "+
				"use engine Interpreter", backends.Bounded(key, 64))
		}
	}
	return nil
}

func (b *backend) runCode(ctx context.Context, p place, source backends.SourceCode) (backends.CodeResult, error) {
	body := executeBody{Code: source.Source, Language: languages[source.Language], EnvVars: source.Env}
	if source.WorkingDir != "" {
		own, err := b.newContext(ctx, p, contextBody{Language: body.Language, Cwd: source.WorkingDir})
		if err != nil {
			return backends.CodeResult{}, err
		}
		defer b.dropContext(ctx, p, own)
		body.Language, body.ContextID = "", own
	}
	limited := ctx
	if source.Timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, source.Timeout)
		defer cancel()
	}
	output := newOutput(source.OutputLimit)
	err := b.execute(limited, p, body, output)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		output.result.TimedOut = true
		err = nil
	}
	return output.done(), err
}

// interpreterURL is where the interpreter of a sandbox is.
func (b *backend) interpreterURL(p place, what string) string {
	if b.options.SandboxURL != "" {
		return b.options.SandboxURL + what
	}
	return b.options.host(p.id, interpreterPort, p.domain) + what
}

func (b *backend) newContext(ctx context.Context, p place, wanted contextBody) (string, error) {
	answer, err := b.client.Call(ctx, web.Call{
		Operation: operationCode, Method: http.MethodPost, URL: b.interpreterURL(p, "/contexts"), Body: wanted,
		Header: p.header(interpreterPort, ""),
	})
	if err != nil {
		return "", err
	}
	if !answer.OK() {
		return "", interpreterError(answer.Status, answer.Header, answer.Body)
	}
	var made contextBody
	return made.ID, errors.Join(b.client.Decode(operationCode, answer, false, &made))
}

// dropContext ends a context with whatever still runs in it. One that stays goes with the sandbox.
func (b *backend) dropContext(ctx context.Context, p place, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	_, _ = b.client.Call(ctx, web.Call{
		Operation: operationCode, Method: http.MethodDelete, URL: b.interpreterURL(p, "/contexts/"+id),
		Header: p.header(interpreterPort, ""),
	})
}

// execute runs code, and reads what comes of it as it comes.
func (b *backend) execute(ctx context.Context, p place, body executeBody, into *output) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return invalid(operationCode, "the code can't be sent: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.interpreterURL(p, "/execute"), bytes.NewReader(encoded))
	if err != nil {
		return invalid(operationCode, "the request can't be made: %w", err)
	}
	request.Header = p.header(interpreterPort, "")
	request.Header.Set("Content-Type", "application/json")
	response, err := b.client.Do(request, operationCode, true)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, mostError))
		return interpreterError(response.StatusCode, response.Header, said)
	}
	if err := into.read(response.Body); err != nil {
		return b.client.Trouble(operationCode, err, true)
	}
	if into.lost != "" {
		e := backends.Errorf(backends.Ambiguous, Name, operationCode, "the code interpreter lost the code: %s", into.lost)
		e.OfRequest = true
		return e
	}
	return nil
}

// interpreterError says what it means that code was refused. Nothing has run then.
func interpreterError(status int, header http.Header, body []byte) error {
	if status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusInternalServerError ||
		status == http.StatusUnprocessableEntity {
		e := backends.Errorf(backends.Unsupported, Name, operationCode, "the sandbox's code interpreter refuses the code: %s",
			backends.Bounded(string(body), 200))
		e.OfRequest = true
		return e
	}
	err := hostError(operationCode, status, header, body, true)
	if errors.Is(err, errPortClosed) {
		return backends.Errorf(backends.Unsupported, Name, operationCode,
			"the sandbox has no code interpreter: make it from the template code-interpreter-v1, or use engine Interpreter")
	}
	return err
}

// output collects what code prints and displays.
type output struct {
	result         backends.CodeResult
	stdout, stderr wrapper.Kept
	traceback      string
	// room is what rich results may still take, in bytes.
	room int64
	// lost says that the code's end is not known.
	lost string
}

func newOutput(limit int64) *output {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	return &output{stdout: wrapper.NewKept(limit), stderr: wrapper.NewKept(limit), room: limit}
}

// event is one line of what the interpreter says.
type event struct {
	Type      string `json:"type"`
	Text      string `json:"text"`
	Name      string `json:"name"`
	Value     string `json:"value"`
	Traceback string `json:"traceback"`
}

// mostRich bounds how many rich results are kept: those that are empty take no room.
const mostRich = 256

// mostLine bounds one line, in bytes; a picture is one.
const mostLine = 64 << 20

func (o *output) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 64<<10), mostLine)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			o.add(e, lines.Bytes())
		}
	}
	return lines.Err()
}

func (o *output) add(e event, line []byte) {
	switch e.Type {
	case "stdout":
		o.stdout.Keep([]byte(e.Text))
	case "stderr":
		o.stderr.Keep([]byte(e.Text))
	case "result":
		o.display(line)
	case "error":
		o.result.ExitCode, o.traceback = 1, e.Traceback
		if e.Traceback == "" {
			o.traceback = e.Name + ": " + e.Value
		}
		if e.Name == "UnexpectedEndOfExecution" || e.Name == "WebSocketError" {
			o.lost = backends.Bounded(e.Value, 200)
		}
	case "unexpected_end_of_execution":
		o.lost = "its kernel ended"
	}
}

// format is one in which a result can be displayed.
type format struct {
	field, suffix, mediaType string
	isBase64                 bool
}

// formats are those that the interpreter has names for, the most telling first.
var formats = []format{
	{"png", "png", "image/png", true},
	{"jpeg", "jpg", "image/jpeg", true},
	{"svg", "svg", "image/svg+xml", false},
	{"pdf", "pdf", "application/pdf", true},
	{"html", "html", "text/html", false},
	{"markdown", "md", "text/markdown", false},
	{"latex", "tex", "text/x-latex", false},
	{"json", "json", "application/json", false},
	{"javascript", "js", "text/javascript", false},
	{"data", "data.json", "application/json", false},
	{"chart", "chart.json", "application/json", false},
	{"text", "txt", "text/plain", false},
}

// display adds a result in all formats that it has.
func (o *output) display(line []byte) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil {
		return
	}
	number := len(o.result.Rich) + 1
	for _, f := range formats {
		data, ok := f.decode(fields[f.field])
		if !ok || int64(len(data)) > o.room || len(o.result.Rich) == mostRich {
			continue
		}
		o.room -= int64(len(data))
		o.result.Rich = append(o.result.Rich, backends.RichResult{
			Name: fmt.Sprintf("result-%d.%s", number, f.suffix), MediaType: f.mediaType, Data: data,
		})
	}
}

func (f format) decode(raw json.RawMessage) ([]byte, bool) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, false
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return raw, true
	}
	if !f.isBase64 {
		return []byte(text), true
	}
	// Notebooks break base64 into lines.
	data, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), "\n", ""))
	return data, err == nil
}

func (o *output) done() backends.CodeResult {
	if o.traceback != "" {
		o.stderr.Keep([]byte(strings.TrimSuffix(o.traceback, "\n") + "\n"))
	}
	o.result.Stdout, o.result.StdoutTruncated = o.stdout.Bytes, o.stdout.Truncated
	o.result.Stderr, o.result.StderrTruncated = o.stderr.Bytes, o.stderr.Truncated
	return o.result
}
