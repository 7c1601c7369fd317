// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package toolbox is what runs in each sandbox of the fake Daytona: the HTTP service by which commands are run and files are moved,
// as the daemon of version 0.190 has it, or, where it is told so, the newest.
//
// toolbox.go has routes and errors, execute.go commands of one call, code.go code, session.go and command.go commands of a long-lived
// shell, output.go in which form their output is told, follow.go the WebSocket that follows it, and files.go files. What it does wrong,
// the original does as well: shared facts about the protocol say so, and the vendor's own SDK works with it.
package toolbox

import (
	"encoding/json"
	"net/http"
	"os"
	"time"

	"github.com/sandbox-operator/sandbox-operator/test/fakes/machine"
)

const (
	// Service is the name of the service of machines.
	Service = "daytona-toolbox"
	// Port is where it listens.
	Port = 2280
	// NewestVariable in a machine's environment makes the service the newest; with any value.
	NewestVariable = "FAKE_DAYTONA_NEWEST"
)

func init() { machine.Serve(Service, Port, newHandler) }

// toolbox is the service of one sandbox.
type toolbox struct {
	newest   bool
	sessions sessions
}

func newHandler() http.Handler {
	t := &toolbox{newest: os.Getenv(NewestVariable) != "", sessions: sessions{byID: map[string]*session{}}}
	_ = os.Unsetenv(NewestVariable)
	mux := http.NewServeMux()
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /version": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, map[string]string{"version": "0.190.0"})
		},
		"GET /work-dir":      tellDir(os.Getwd),
		"GET /user-home-dir": tellDir(os.UserHomeDir),

		"POST /process/execute":  t.execute,
		"POST /process/code-run": t.runCode,

		"POST /process/session":                                   t.createSession,
		"GET /process/session":                                    t.listSessions,
		"GET /process/session/{session}":                          t.getSession,
		"DELETE /process/session/{session}":                       t.deleteSession,
		"POST /process/session/{session}/exec":                    t.executeInSession,
		"GET /process/session/{session}/command/{command}":        t.getCommand,
		"GET /process/session/{session}/command/{command}/logs":   t.commandLogs,
		"POST /process/session/{session}/command/{command}/input": t.commandInput,

		"POST /files/upload":        t.upload,
		"POST /files/upload-v2":     t.uploadNewest,
		"POST /files/bulk-upload":   t.bulkUpload,
		"GET /files/download":       t.download,
		"POST /files/bulk-download": t.bulkDownload,
		"GET /files":                t.listFiles,
		"GET /files/":               t.listFiles,
		"GET /files/info":           t.fileInfo,
		"POST /files/folder":        t.makeFolder,
		"POST /files/move":          t.move,
		"DELETE /files":             t.remove,
		"DELETE /files/":            t.remove,
		"POST /files/permissions":   t.permissions,
		"GET /files/search":         t.searchFiles,
		"GET /files/find":           t.findInFiles,
	} {
		mux.HandleFunc(pattern, handle)
	}
	return mux
}

func tellDir(dir func() (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found, err := dir()
		if err != nil {
			refuse(w, r, http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", err.Error())
			return
		}
		reply(w, http.StatusOK, map[string]string{"dir": found})
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // the client has gone
}

// refuse answers as the daemon does.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	reply(w, status, map[string]any{
		"statusCode": status, "message": message, "code": code, "timestamp": time.Now().UTC().Format(time.RFC3339Nano),
		"path": r.URL.Path, "method": r.Method,
	})
}

func badRequest(w http.ResponseWriter, r *http.Request, message string) {
	refuse(w, r, http.StatusBadRequest, "BAD_REQUEST", message)
}

// decode reads the body, or refuses it.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		badRequest(w, r, "invalid request body: "+err.Error())
		return false
	}
	return true
}
