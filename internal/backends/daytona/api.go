// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// The operations, as errors name them.
const (
	operationCreate      = "create"
	operationGet         = "get"
	operationList        = "list"
	operationFind        = "find"
	operationDestroy     = "destroy"
	operationRun         = "run command"
	operationSetLifetime = "set lifetime"
	operationPause       = "pause"
	operationResume      = "resume"
	operationSetLabels   = "set labels"
	operationEndpoint    = "endpoint"
)

// checkKey finds keys that can't be one, such as a file's whole content. Whether it is valid, the provider says.
func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("the Secret's key apiKey is empty")
	case strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }):
		return errors.New("the Secret's key apiKey is no API key: it has spaces or characters that no key has")
	}
	return nil
}

// The states of a sandbox that the operator tells apart. All others, known or not, mean to wait.
const (
	stateStarted     = "started"
	stateStopping    = "stopping"
	stateStopped     = "stopped"
	statePausing     = "pausing"
	statePaused      = "paused"
	stateArchiving   = "archiving"
	stateArchived    = "archived"
	stateError       = "error"
	stateBuildFailed = "build_failed"
	stateDestroying  = "destroying"
	stateDestroyed   = "destroyed"
)

// sandbox is what the control API says of one. Items of a list have less: no environment, volumes and build.
type sandbox struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	Snapshot        string            `json:"snapshot"`
	Labels          map[string]string `json:"labels"`
	State           string            `json:"state"`
	DesiredState    string            `json:"desiredState"`
	ErrorReason     string            `json:"errorReason"`
	SandboxClass    string            `json:"sandboxClass"`
	ToolboxProxyURL string            `json:"toolboxProxyUrl"`
	// AutoStopInterval is after how many minutes without activity it stops, 0 = never; AutoDeleteInterval after how many minutes as stopped
	// it is deleted, negative = never, 0 = a sandbox that stops is deleted at once.
	AutoStopInterval   float64  `json:"autoStopInterval"`
	AutoDeleteInterval *float64 `json:"autoDeleteInterval"`
	CreatedAt          moment   `json:"createdAt"`
	UpdatedAt          moment   `json:"updatedAt"`
	LastActivityAt     moment   `json:"lastActivityAt"`
	// AutoDestroyAt is there on servers newer than 0.190, with a time to live.
	AutoDestroyAt moment `json:"autoDestroyAt"`
}

// moment is a time that may be missing. What can't be read is no time, rather than a sandbox that can't be read.
type moment struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(text []byte) error {
	var at time.Time
	if json.Unmarshal(text, &at) == nil {
		m.Time = at
	}
	return nil
}

// request is a call of the control API.
type request struct {
	operation, method, path string
	query                   url.Values
	body                    any
	effect                  bool
}

// call makes a call and decodes its answer into what is given, unless that is nil. Any 2xx is a success: POSTs answer 200 or 201.
func (b *backend) call(ctx context.Context, r request, into any) error {
	target := b.endpoint + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	answer, err := b.web.Call(ctx, web.Call{Operation: r.operation, Method: r.method, URL: target, Body: r.body, Effect: r.effect})
	if err != nil {
		return err
	}
	if !answer.OK() {
		return trouble(r.operation, answer, r.effect)
	}
	if into == nil {
		return nil
	}
	return b.web.Decode(r.operation, answer, r.effect, into)
}

// change is a POST that changes one sandbox.
func (b *backend) change(ctx context.Context, operation, id, what string) error {
	path := "/sandbox/" + url.PathEscape(id) + "/" + what
	return b.call(ctx, request{operation: operation, method: http.MethodPost, path: path, effect: true}, nil)
}

// read asks for one sandbox by ID or name. It changes nothing, and does not count as activity.
func (b *backend) read(ctx context.Context, operation, idOrName string) (sandbox, error) {
	var found sandbox
	if idOrName == "" {
		return found, notFound(operation)
	}
	path := "/sandbox/" + url.PathEscape(idOrName)
	if err := b.call(ctx, request{operation: operation, method: http.MethodGet, path: path}, &found); err != nil {
		if errors.Is(err, backends.NotFound) {
			b.places.forget(idOrName)
		}
		return found, err
	}
	if found.ID == "" {
		return found, backends.Errorf(backends.Unavailable, Name, operation, "the provider's answer is no sandbox: check spec.endpoint")
	}
	if found.State == stateDestroyed {
		b.places.forget(found.ID)
		return found, notFound(operation)
	}
	b.places.remember(found)
	return found, nil
}
