// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sandbox-operator/sandbox-operator/internal/backends/e2b/envd"
)

// envd answers in each sandbox what E2B's daemon there does.
func (c *Cloud) envd() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /files", c.download)
	mux.HandleFunc("POST /files", c.upload)
	handle := func(procedure string, handler http.Handler) { mux.Handle(procedure, c.identified(handler)) }
	handle(serverStream("/process.Process/Start", c.withLog(c.startProcess)))
	handle(serverStream("/process.Process/Connect", c.connectProcess))
	handle(unary(c, "/process.Process/List", c.listProcesses))
	handle(unary(c, "/process.Process/SendInput", c.sendInput))
	handle(unary(c, "/process.Process/CloseStdin", c.closeStdin))
	handle(unary(c, "/process.Process/SendSignal", c.sendSignal))
	handle(unary(c, "/process.Process/Update", c.update))
	streamInput := "/process.Process/StreamInput"
	handle(streamInput, connect.NewClientStreamHandler(streamInput, c.streamInput))
	handle(unary(c, "/filesystem.Filesystem/Stat", c.stat))
	handle(unary(c, "/filesystem.Filesystem/ListDir", c.listDir))
	handle(unary(c, "/filesystem.Filesystem/MakeDir", c.makeDir))
	handle(unary(c, "/filesystem.Filesystem/Move", c.move))
	handle(unary(c, "/filesystem.Filesystem/Remove", c.remove))
	return withToken(mux)
}

// withToken refuses requests without the sandbox's token, in no form of Connect's. Files may be signed for instead, which is
// checked with them.
func withToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sandboxOf(r.Context())
		open := r.URL.Path == "/health" || r.URL.Path == "/files"
		if s.request.Secure && !open && r.Header.Get("X-Access-Token") != s.token {
			writeError(w, http.StatusUnauthorized,
				"unauthorized access, please provide a valid access token or method signing if supported")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// signed says whether a request for a file has the token or a signature that was made with it.
func (s *sandbox) signed(r *http.Request, operation string) bool {
	if !s.request.Secure || r.Header.Get("X-Access-Token") == s.token {
		return true
	}
	q := r.URL.Query()
	text := q.Get("path") + ":" + operation + ":" + q.Get("username") + ":" + s.token
	if expiration := q.Get("signature_expiration"); expiration != "" {
		at, err := strconv.ParseInt(expiration, 10, 64)
		if err != nil || time.Now().Unix() > at {
			return false
		}
		text += ":" + expiration
	}
	sum := sha256.Sum256([]byte(text))
	return q.Get("signature") == "v1_"+base64.RawStdEncoding.EncodeToString(sum[:])
}

type accountKey struct{}

// identified finds the user that a call names, or the usual one. An unknown one is an error in Connect's form.
func (c *Cloud) identified(next http.Handler) http.Handler {
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, named := r.BasicAuth()
		if !named {
			name = usualUser
		}
		m, err := sandboxOf(r.Context()).running()
		if err != nil {
			_ = writer.Write(w, r, connect.NewError(connect.CodeInternal, err))
			return
		}
		user, err := m.user(name)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Basic")
			_ = writer.Write(w, r, connect.NewError(connect.CodeUnauthenticated, fmt.Errorf("invalid username: '%s'", name)))
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, user)))
	})
}

func userOf(ctx context.Context) account {
	user, _ := ctx.Value(accountKey{}).(account)
	return user
}

// machineOf returns the machine of the sandbox that a call is for.
func machineOf(ctx context.Context) (*machine, error) {
	m, err := sandboxOf(ctx).running()
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return m, nil
}

func unary[Request, Response any](
	c *Cloud, procedure string, do func(context.Context, *Request) (*Response, error),
) (string, http.Handler) {
	return procedure, connect.NewUnaryHandler(procedure,
		func(ctx context.Context, request *connect.Request[Request]) (*connect.Response[Response], error) {
			c.logMessage(procedure, request.Any())
			response, err := do(ctx, request.Msg)
			if err != nil {
				return nil, err
			}
			return connect.NewResponse(response), nil
		})
}

func serverStream[Request, Response any](
	procedure string, do func(context.Context, *connect.Request[Request], *connect.ServerStream[Response]) error,
) (string, http.Handler) {
	return procedure, connect.NewServerStreamHandler(procedure, do)
}

// withLog has the start of a process logged, as envd does.
func (c *Cloud) withLog(
	do func(context.Context, *connect.Request[envd.StartRequest], *connect.ServerStream[envd.StartResponse]) error,
) func(context.Context, *connect.Request[envd.StartRequest], *connect.ServerStream[envd.StartResponse]) error {
	return func(
		ctx context.Context, request *connect.Request[envd.StartRequest], stream *connect.ServerStream[envd.StartResponse],
	) error {
		c.logMessage(request.Spec().Procedure, request.Any())
		return do(ctx, request, stream)
	}
}

func (c *Cloud) logMessage(procedure string, message any) {
	if m, ok := message.(proto.Message); ok {
		// Input is logged as it was sent, so look for it as text, not in base64.
		if input, ok := message.(*envd.SendInputRequest); ok {
			c.log(procedure + " " + string(input.GetInput().GetStdin()))
		}
		c.log(procedure + " " + protojson.Format(m))
	}
}

// fileError is an error of envd's about a file, as Connect says it.
func fileError(code connect.Code, format string, args ...any) error {
	return connect.NewError(code, fmt.Errorf(format, args...))
}

var errNoProcess = errors.New("no such process")
