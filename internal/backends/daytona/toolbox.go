// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package daytona

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/web"
)

// places are what calls about a sandbox must know beforehand. It never changes while the sandbox exists; what a restart forgets is
// asked for again.
type places struct {
	mutex sync.Mutex
	byID  map[string]place
}

// place is one sandbox's.
type place struct {
	// toolbox is where its toolbox is reached: each sandbox says so, as that depends on its region.
	toolbox string
	// signed is for how many seconds URLs of its ports are signed; 0 = they are not.
	signed int
}

// mostPlaces bounds the memory that places take. When there are more, all are forgotten.
const mostPlaces = 50_000

func (p *places) remember(s sandbox) {
	signed, _ := strconv.Atoi(s.Labels[signedLabel])
	fresh := place{toolbox: s.ToolboxProxyURL, signed: signed}
	if known, ok := p.of(s.ID); ok && fresh.toolbox == "" {
		fresh.toolbox = known.toolbox
	}
	p.set(s.ID, fresh)
}

func (p *places) set(id string, known place) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if len(p.byID) >= mostPlaces {
		clear(p.byID)
	}
	p.byID[id] = known
}

func (p *places) forget(id string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.byID, id)
}

func (p *places) of(id string) (place, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	found, ok := p.byID[id]
	return found, ok
}

// place returns what is to be known of a sandbox, and asks where that is not known.
func (b *backend) place(ctx context.Context, operation, id string) (place, error) {
	if known, ok := b.places.of(id); ok {
		return known, nil
	}
	if _, err := b.read(ctx, operation, id); err != nil {
		return place{}, err
	}
	known, _ := b.places.of(id)
	return known, nil
}

// toolbox returns the URL of a sandbox's toolbox.
func (b *backend) toolbox(ctx context.Context, operation, id string) (string, error) {
	known, err := b.place(ctx, operation, id)
	if err == nil && known.toolbox == "" {
		known, err = b.askToolbox(ctx, operation, id, known)
	}
	if err != nil {
		return "", err
	}
	parsed, err := web.ParseURL("the toolbox's address", known.toolbox)
	if err != nil {
		return "", backends.Errorf(backends.Unavailable, Name, operation, "the provider does not say where the sandbox is reached: %w", err)
	}
	if parsed.Scheme == "http" && strings.HasPrefix(b.endpoint, "https:") {
		return "", backends.Errorf(backends.Unavailable, Name, operation,
			"the provider wants the API key sent to the sandbox without encryption, which is not done")
	}
	return parsed.String() + "/" + url.PathEscape(id), nil
}

// askToolbox asks where the toolbox is, of a server that does not say so with the sandbox. Newer SDKs are prepared for such.
func (b *backend) askToolbox(ctx context.Context, operation, id string, known place) (place, error) {
	var found struct {
		URL string `json:"url"`
	}
	path := "/sandbox/" + url.PathEscape(id) + "/toolbox-proxy-url"
	if err := b.call(ctx, request{operation: operation, method: http.MethodGet, path: path}, &found); err != nil {
		return known, err
	}
	known.toolbox = found.URL
	b.places.set(id, known)
	return known, nil
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
