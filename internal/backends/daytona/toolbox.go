// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// places are where the toolboxes of sandboxes are reached: each sandbox says so, as that depends on its region. It never changes while the
// sandbox exists; what a restart forgets is asked for again.
type places struct {
	mutex sync.Mutex
	byID  map[string]string
}

// mostPlaces bounds the memory that places take. When there are more, all are forgotten.
const mostPlaces = 50_000

func (p *places) remember(s sandbox) {
	if s.ToolboxProxyURL == "" {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if len(p.byID) >= mostPlaces {
		clear(p.byID)
	}
	p.byID[s.ID] = s.ToolboxProxyURL
}

func (p *places) forget(id string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.byID, id)
}

func (p *places) of(id string) string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.byID[id]
}

// toolbox returns the URL of a sandbox's toolbox.
func (b *backend) toolbox(ctx context.Context, operation, id string) (string, error) {
	base := b.places.of(id)
	if base == "" {
		found, err := b.read(ctx, operation, id)
		if err != nil {
			return "", err
		}
		base = found.ToolboxProxyURL
	}
	parsed, err := web.ParseURL("the toolbox's address", base)
	if err != nil {
		return "", backends.Errorf(backends.Unavailable, Name, operation, "the provider does not say where the sandbox is reached: %w", err)
	}
	if parsed.Scheme == "http" && strings.HasPrefix(b.endpoint, "https:") {
		return "", backends.Errorf(backends.Unavailable, Name, operation,
			"the provider wants the API key sent to the sandbox without encryption, which is not done")
	}
	return parsed.String() + "/" + url.PathEscape(id), nil
}

// inSandbox makes a call of the toolbox.
func (b *backend) inSandbox(ctx context.Context, id string, call web.Call) (web.Answer, error) {
	base, err := b.toolbox(ctx, call.Operation, id)
	if err != nil {
		return web.Answer{}, err
	}
	call.URL = base + call.URL
	answer, err := b.web.Call(ctx, call)
	if err != nil {
		if e, ok := errors.AsType[*backends.Error](err); ok && errors.Is(err, backends.Ambiguous) {
			// One sandbox may be out of reach while the account is not.
			return answer, aboutOne(e)
		}
		return answer, err
	}
	if answer.OK() {
		return answer, nil
	}
	return answer, b.toolboxTrouble(ctx, call, id, answer)
}

// toolboxTrouble says what an answer means that came from the proxy or the toolbox. Both have the same statuses for a sandbox that does not
// exist, is stopped or is archived: the control API knows which.
func (b *backend) toolboxTrouble(ctx context.Context, call web.Call, id string, answer web.Answer) error {
	said := messageOf(answer)
	if said == "" {
		said = "the sandbox's toolbox answered " + statusText(answer.Status)
	}
	switch answer.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
	case http.StatusTooManyRequests:
		return trouble(call.Operation, answer, call.Effect)
	default:
		return aboutOne(unclear(call.Operation, answer, said, call.Effect))
	}
	b.places.forget(id)
	found, err := b.read(ctx, call.Operation, id)
	switch {
	case err != nil && errors.Is(err, backends.NotFound), errors.Is(err, backends.Unauthorized):
		return err
	case err == nil && found.State != stateStarted:
		return notRunning(call.Operation, found)
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden:
		return backends.Errorf(backends.Unauthorized, Name, call.Operation, "the API key may not use the sandbox: %s", said)
	}
	// It runs, but was not reached: the command was not started.
	return aboutOne(backends.Errorf(backends.Unavailable, Name, call.Operation, "%s", said))
}
