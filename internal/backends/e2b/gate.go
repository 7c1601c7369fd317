// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// What stands before a sandbox answers in its own way, not in Connect's.
var (
	// errToken: the sandbox's token was refused, before anything happened.
	errToken = errors.New("the sandbox refuses the token")
	// errAbsent: no running sandbox is known by this ID at the host. Nothing happened.
	errAbsent = errors.New("the sandbox's host does not know it")
	// errPortClosed: the sandbox runs, and nothing listens there. Nothing happened.
	errPortClosed = errors.New("nothing listens on the port")
)

// gate makes the requests of Connect, and reads the answers that are none of envd's.
type gate struct {
	client    *web.Client
	operation string
	// effect says that something may have happened although no answer came.
	effect bool
}

// mostError is how much of an error's text is read, in bytes.
const mostError = 64 << 10

// Do implements connect.HTTPClient.
func (g gate) Do(request *http.Request) (*http.Response, error) {
	response, err := g.client.Do(request, g.operation, g.effect)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, mostError))
	_ = response.Body.Close()
	if isConnectError(body) {
		response.Body = io.NopCloser(bytes.NewReader(body))
		return response, nil
	}
	return nil, hostError(g.operation, response.StatusCode, response.Header, body, g.effect)
}

// isConnectError tells envd's errors, whose code is a word, from those of what stands before it, where it is a number.
func isConnectError(body []byte) bool {
	var said struct {
		Code string `json:"code"`
	}
	return json.Unmarshal(body, &said) == nil && said.Code != ""
}

// hostError says what it means that the way into a sandbox is closed.
func hostError(operation string, status int, header http.Header, body []byte, effect bool) error {
	var said struct {
		Message string `json:"message"`
		Port    int    `json:"port"`
	}
	_ = json.Unmarshal(body, &said)
	e := backends.Errorf(backends.Unavailable, Name, operation, "the sandbox can't be entered: its host answers %d %s", status,
		backends.Bounded(said.Message, 200))
	e.OfRequest = true
	switch {
	case status == http.StatusUnauthorized:
		e.Message, e.Err = "the sandbox refuses the token that E2B gave for it", errToken
	case status == http.StatusBadGateway && said.Port != 0:
		e.Message, e.Err = "the sandbox runs, but its daemon does not answer", errPortClosed
	case status == http.StatusBadGateway && said.Message != "", status == http.StatusConflict:
		e.Message, e.Err = "E2B says that the sandbox runs, but the sandbox's host does not know it", errAbsent
	case status == http.StatusTooManyRequests:
		e.Code, e.RetryAfter = backends.RateLimited, web.RetryAfter(header, time.Now())
		e.Message = "the sandbox has too many connections"
	case status >= http.StatusInternalServerError:
		e.OfRequest = false
		if effect {
			e.Code = backends.Ambiguous
		}
	}
	return e
}

// withoutDeadline is ctx without its time: Connect would tell envd of it, which then kills the command's first process, and that
// alone. cancel ends it; so does the end of ctx.
func withoutDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	free, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	return free, func() {
		stop()
		cancel()
	}
}

// invoke makes one call of envd that has one answer.
func invoke[Request, Response any](
	ctx context.Context, b *backend, p place, c invocation, message *Request,
) (*Response, error) {
	client := connect.NewClient[Request, Response](
		gate{b.client, c.operation, c.effect}, b.options.daemon(p.id, p.domain)+c.procedure, connect.WithProtoJSON())
	request := connect.NewRequest(message)
	maps.Copy(request.Header(), p.header(daemonPort, c.user))
	response, err := client.CallUnary(ctx, request)
	if err != nil {
		return nil, daemonError(c.operation, err, c.effect)
	}
	return response.Msg, nil
}

// invocation is a call of envd.
type invocation struct {
	operation, procedure, user string
	effect                     bool
}

// daemonError returns what stands before the sandbox said, or else envd's own error.
func daemonError(operation string, err error, effect bool) error {
	if e, ok := errors.AsType[*backends.Error](err); ok {
		return e
	}
	code := backends.Unavailable
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated:
		// A wrong token is refused in another form.
		code = backends.Invalid
	case connect.CodeUnimplemented:
		code = backends.Unsupported
	default:
		if effect {
			code = backends.Ambiguous
		}
	}
	if !connect.IsWireError(err) {
		// Its text has addresses and ports, which are others each time.
		e := backends.Errorf(code, Name, operation, "the connection to the sandbox was lost before its answer was complete")
		e.Err = err
		return e
	}
	e := backends.Errorf(code, Name, operation, "%s", stable(wordsOf(err)))
	e.OfRequest, e.Err = true, err
	return e
}

// wordsOf is envd's message without Connect's code before it.
func wordsOf(err error) string {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e.Message()
	}
	return err.Error()
}
