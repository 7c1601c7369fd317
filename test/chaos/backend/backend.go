// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package backend is the adapter for the chaos suite's fake provider, written as one for a real provider would be: a client of
// HTTP that believes nothing but what it was told.
package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
)

// The two flavours: with unique names, by which remotes are found again, and without, where only the list tells.
const (
	Named  = "chaos"
	Listed = "chaos-listed"
)

// CreateDeadline and VisibilityDelay are short, so that a recovery that must wait for them does not take long.
const (
	CreateDeadline  = 3 * time.Second
	VisibilityDelay = 500 * time.Millisecond
)

// settings are the command line flags.
type settings struct{ url, dir string }

// Registry has both flavours.
func Registry() *backends.Registry {
	s := &settings{}
	registration := func(name string) backends.Registration {
		return backends.Registration{
			Name: name, Summary: "the chaos suite's fake provider",
			Setup: backends.Setup{
				Keys: []backends.CredentialKey{{Name: fake.TokenKey, Description: "the token of the fake provider"}},
			},
			Capabilities:   fake.Capabilities(),
			CreateDeadline: CreateDeadline, VisibilityDelay: VisibilityDelay, LeastLifetime: time.Second,
			// One token opens all accounts.
			Scope: func(config backends.Config) string { return string(config.Parameters) },
			New: func(_ context.Context, config backends.Config) (backends.Backend, error) {
				return s.open(name, config)
			},
		}
	}
	named := registration(Named)
	named.Flags = func(flags *flag.FlagSet) {
		flags.StringVar(&s.url, "chaos-url", "", "where the fake provider listens")
		flags.StringVar(&s.dir, "chaos-dir", "", "where it keeps its sandboxes")
	}
	return backends.NewRegistry(named, registration(Listed))
}

// parameters are the options of a provider object.
type parameters struct {
	// Account at the provider.
	Account string `json:"account"`
}

func (s *settings) open(name string, config backends.Config) (backends.Backend, error) {
	given, err := backends.DecodeParameters[parameters](config.Parameters)
	if err != nil {
		return nil, backends.Errorf(backends.Invalid, name, "configure", "%w", err)
	}
	c := &client{
		name: name, url: s.url + "/accounts/" + given.Account, dir: filepath.Join(s.dir, given.Account),
		token: string(config.Credentials[fake.TokenKey]),
	}
	if name == Named {
		return namedClient{c}, nil
	}
	return c, nil
}

// client is a connection to one account.
type client struct{ name, url, dir, token string }

// namedClient finds remotes by their names.
type namedClient struct{ *client }

// FindByName implements backends.NameFinder.
func (c namedClient) FindByName(ctx context.Context, name string) (backends.Remote, error) {
	answer, err := c.call(ctx, fake.FindByName, fake.Body{Name: name})
	return answer.Remote, err
}

// SpoolRoot implements backends.SpoolRooter.
func (c *client) SpoolRoot(id string) string { return filepath.Join(c.dir, id, "spool") }

// Create implements backends.Backend.
func (c *client) Create(ctx context.Context, request backends.CreateRequest) (backends.Remote, error) {
	answer, err := c.call(ctx, fake.Create, fake.Body{Request: &request})
	return answer.Remote, err
}

// Get implements backends.Backend.
func (c *client) Get(ctx context.Context, id string) (backends.Remote, error) {
	answer, err := c.call(ctx, fake.Get, fake.Body{ID: id})
	return answer.Remote, err
}

// List implements backends.Backend.
func (c *client) List(ctx context.Context, filter backends.Filter) ([]backends.Remote, error) {
	var remotes []backends.Remote
	for after := ""; ; after = remotes[len(remotes)-1].ID {
		if after != "" {
			if err := backends.NextPage(ctx); err != nil {
				return nil, c.lost(fake.List, err)
			}
		}
		answer, err := c.call(ctx, fake.List, fake.Body{Filter: &filter, After: after})
		if err != nil {
			return nil, err
		}
		remotes = append(remotes, answer.Remotes...)
		if !answer.More || len(answer.Remotes) == 0 {
			return remotes, nil
		}
	}
}

// Destroy implements backends.Backend.
func (c *client) Destroy(ctx context.Context, id string) error {
	_, err := c.call(ctx, fake.Destroy, fake.Body{ID: id})
	return err
}

// RunCommand implements backends.Backend.
func (c *client) RunCommand(ctx context.Context, id string, command backends.Command) (backends.Result, error) {
	answer, err := c.call(ctx, fake.RunCommand, fake.Body{ID: id, Command: &command})
	return answer.Result, err
}

// SetLifetime implements backends.LifetimeSetter.
func (c *client) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	_, err := c.call(ctx, fake.SetLifetime, fake.Body{ID: id, Lifetime: lifetime})
	return err
}

// Pause implements backends.Pauser.
func (c *client) Pause(ctx context.Context, id string) error {
	_, err := c.call(ctx, fake.Pause, fake.Body{ID: id})
	return err
}

// Resume implements backends.Pauser.
func (c *client) Resume(ctx context.Context, id string) error {
	_, err := c.call(ctx, fake.Resume, fake.Body{ID: id})
	return err
}

// SetLabels implements backends.Labeler.
func (c *client) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	_, err := c.call(ctx, fake.SetLabels, fake.Body{ID: id, Labels: labels})
	return err
}

// Endpoint implements backends.Endpointer.
func (c *client) Endpoint(ctx context.Context, id string, port backends.Port) (backends.Endpoint, error) {
	answer, err := c.call(ctx, fake.Endpoint, fake.Body{ID: id, Port: &port})
	return answer.Endpoint, err
}

// transport keeps few connections: each manager has one provider to talk to.
var transport = &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 10 * time.Second}

// call sends a call and understands the answer.
func (c *client) call(ctx context.Context, operation string, body fake.Body) (fake.Answer, error) {
	var answer fake.Answer
	content, err := json.Marshal(body)
	if err != nil {
		return answer, backends.Errorf(backends.Invalid, c.name, operation, "%w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/"+operation, bytes.NewReader(content))
	if err != nil {
		return answer, backends.Errorf(backends.Invalid, c.name, operation, "%w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.GetBody = nil // what may have had its effect is not sent again
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return answer, c.lost(operation, err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, c.lost(operation, err)
	}
	decodeErr := json.Unmarshal(raw, &answer)
	switch {
	case response.StatusCode == http.StatusOK && decodeErr == nil:
		return answer, nil
	case response.StatusCode == http.StatusTooManyRequests:
		return answer, c.limited(operation, response)
	case response.StatusCode < http.StatusInternalServerError && decodeErr == nil,
		response.StatusCode == http.StatusNotImplemented && decodeErr == nil:
		return answer, backends.Errorf(answer.Code, c.name, operation, "%s", answer.Message)
	}
	return answer, backends.Errorf(c.unknown(operation), c.name, operation, "the provider answers with status %d", response.StatusCode)
}

func (c *client) limited(operation string, response *http.Response) error {
	limited := backends.Errorf(backends.RateLimited, c.name, operation, "the provider asks for fewer calls")
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		limited.RetryAfter = time.Duration(seconds) * time.Second
	}
	return limited
}

// unknown is the code of a call that had no clear answer.
func (c *client) unknown(operation string) backends.Code {
	if slices.Contains([]string{fake.Get, fake.List, fake.FindByName, fake.Endpoint}, operation) {
		return backends.Unavailable
	}
	return backends.Ambiguous
}

// lost is the error of a call whose answer never came.
func (c *client) lost(operation string, err error) error {
	code := c.unknown(operation)
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		code = backends.Unavailable // it never left
	}
	return backends.Errorf(code, c.name, operation, "the provider did not answer: %w", reason(err))
}

// reason leaves out of an error what is not the same twice, such as ports.
func reason(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the connection was cut: %w", io.EOF)
	}
	return errors.New("the connection failed")
}
