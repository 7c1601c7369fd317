// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// State is what a test sees of the provider.
type State struct {
	// Remotes are those that exist, in all accounts, those that lists don't show yet included.
	Remotes []backends.Remote `json:"remotes"`
	// Calls are all that came so far.
	Calls []Call `json:"calls"`
}

func (s *Server) addControls() {
	s.mux.HandleFunc("GET /control/state", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, s.state()) })
	s.mux.HandleFunc("POST /control/fault", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = append(s.faults, &f)
	})
	s.mux.HandleFunc("POST /control/trap", s.serveTrap)
	s.mux.HandleFunc("POST /control/outage", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.down = r.URL.Query().Get("down") == "true"
	})
	s.mux.HandleFunc("GET /control/calls", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		since, _ := strconv.Atoi(r.URL.Query().Get("since"))
		write(w, http.StatusOK, s.calls[min(max(since, 0), len(s.calls)):])
	})
	s.mux.HandleFunc("POST /control/kill", func(_ http.ResponseWriter, r *http.Request) {
		for _, a := range s.all() {
			a.provider.Kill(r.URL.Query().Get("id"))
		}
	})
}

// serveTrap sets a trap. It answers a line when the trap is set, another when a call stands in it, and lets that go on when its
// own caller goes away.
func (s *Server) serveTrap(w http.ResponseWriter, r *http.Request) {
	t := newTrap(r.URL.Query().Get("point"), r.URL.Query().Get("when"))
	s.mu.Lock()
	s.traps = append(s.traps, t)
	s.mu.Unlock()
	defer t.release()
	flush := http.NewResponseController(w)
	_, _ = io.WriteString(w, "set\n")
	_ = flush.Flush()
	select {
	case <-t.reached:
	case <-r.Context().Done():
		return
	}
	_, _ = io.WriteString(w, "reached\n")
	_ = flush.Flush()
	<-r.Context().Done()
}

func (s *Server) all() []account {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []account
	for _, a := range s.accounts {
		all = append(all, a)
	}
	return all
}

func (s *Server) state() State {
	var state State
	for _, a := range s.all() {
		state.Remotes = append(state.Remotes, a.provider.Remotes()...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state.Calls = append(state.Calls, s.calls...)
	return state
}

// Control steers a provider in another process.
type Control struct {
	// URL is where it listens.
	URL string
}

// State asks what there is, and what happened.
func (c Control) State(ctx context.Context) (State, error) {
	var state State
	response, err := c.send(ctx, http.MethodGet, "/control/state", nil)
	if err != nil {
		return state, err
	}
	defer func() { _ = response.Body.Close() }()
	return state, json.NewDecoder(response.Body).Decode(&state)
}

// Inject has a fault strike.
func (c Control) Inject(ctx context.Context, f Fault) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	response, err := c.send(ctx, http.MethodPost, "/control/fault", body)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Calls returns the calls after the first so many.
func (c Control) Calls(ctx context.Context, since int) ([]Call, error) {
	response, err := c.send(ctx, http.MethodGet, "/control/calls?since="+strconv.Itoa(since), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var calls []Call
	return calls, json.NewDecoder(response.Body).Decode(&calls)
}

// Outage begins one, in which every call fails, or ends it.
func (c Control) Outage(ctx context.Context, down bool) error {
	response, err := c.send(ctx, http.MethodPost, "/control/outage?down="+strconv.FormatBool(down), nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Kill ends a sandbox.
func (c Control) Kill(ctx context.Context, id string) error {
	response, err := c.send(ctx, http.MethodPost, "/control/kill?id="+id, nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Trap stops the call of this point, before or after its effect, until the context ends. It returns when the trap is set; the
// channel is closed when a call stands in it.
func (c Control) Trap(ctx context.Context, point, when string) (<-chan struct{}, error) {
	where := url.Values{"point": {point}, "when": {when}}.Encode()
	response, err := c.send(ctx, http.MethodPost, "/control/trap?"+where, nil) //nolint:bodyclose // by the goroutine below
	if err != nil {
		return nil, err
	}
	line := make([]byte, len("set\n"))
	if _, err := io.ReadFull(response.Body, line); err != nil {
		return nil, errors.Join(fmt.Errorf("setting a trap: %w", err), response.Body.Close())
	}
	reached := make(chan struct{})
	go func() {
		defer func() { _ = response.Body.Close() }()
		if n, _ := response.Body.Read(make([]byte, 1)); n == 1 {
			close(reached)
		}
		<-ctx.Done()
	}()
	return reached, nil
}

func (c Control) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the fake provider: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = response.Body.Close() }()
		message, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return nil, fmt.Errorf("asking the fake provider: %s: %s", response.Status, message)
	}
	return response, nil
}
