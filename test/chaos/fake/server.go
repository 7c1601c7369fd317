// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
)

// Options say what the provider is like.
type Options struct {
	// Dir takes the sandboxes: each has the directory ACCOUNT/ID in it.
	Dir string
	// Token is what calls must have.
	Token string
	// UniqueNames makes names unique in an account, and lets sandboxes be found by them.
	UniqueNames bool
	// ListLag is how long a new sandbox is missing from lists, and cannot be found by its name.
	ListLag time.Duration
}

// Server is the provider. It is an http.Handler. Close it.
type Server struct {
	options Options
	mux     *http.ServeMux

	mu       sync.Mutex
	accounts map[string]account
	calls    []Call
	// seen counts calls by their key.
	seen   map[string]int
	faults []*Fault
	traps  []*trap
	// down is an outage: every call fails.
	down bool
}

// Capabilities are what the provider can do.
func Capabilities() []backends.Capability {
	return []backends.Capability{
		backends.CapabilityLifetime, backends.CapabilityPause, backends.CapabilityLabels, backends.CapabilityEndpoints,
	}
}

// account is a provider in memory, and a connection to it.
type account struct {
	provider *memory.Provider
	backend  backends.Backend
}

// NewServer returns a provider without sandboxes.
func NewServer(options Options) *Server {
	s := &Server{options: options, mux: http.NewServeMux(), accounts: map[string]account{}, seen: map[string]int{}}
	s.mux.HandleFunc("POST /accounts/{account}/{operation}", s.serveCall)
	s.addControls()
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends all sandboxes with their processes.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failures []error
	for _, a := range s.accounts {
		failures = append(failures, a.provider.Close())
	}
	return errors.Join(failures...)
}

// account returns the account of that name, which comes to be when it is first named.
func (s *Server) account(ctx context.Context, name string) (account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.accounts[name]; ok {
		return found, nil
	}
	provider := memory.NewProvider(memory.Options{
		UniqueNames: s.options.UniqueNames, WithoutFiles: true, ListLag: s.options.ListLag,
		Dir: filepath.Join(s.options.Dir, name), ExactDir: true, Capabilities: Capabilities(),
	})
	backend, err := provider.Registration("chaos").New(ctx, backends.Config{})
	if err != nil {
		return account{}, err
	}
	s.accounts[name] = account{provider, backend}
	return s.accounts[name], nil
}

// serveCall is the way of every call: it is logged, may be stopped or meet its fault before the effect, has its effect, and may be
// stopped or meet its fault after that.
func (s *Server) serveCall(w http.ResponseWriter, r *http.Request) {
	var body Body
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		write(w, http.StatusBadRequest, Answer{Code: backends.Invalid, Message: err.Error()})
		return
	}
	a, err := s.account(r.Context(), r.PathValue("account"))
	if err != nil {
		write(w, http.StatusInternalServerError, Answer{Message: err.Error()})
		return
	}
	call := s.begin(r.PathValue("account"), r.PathValue("operation"), s.subject(a, body))
	outcome := s.answer(w, r, call, a, body)
	s.end(call, outcome)
}

// answer does the call, and returns what became of it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, call Call, a account, body Body) string {
	if r.Header.Get("Authorization") != "Bearer "+s.options.Token {
		write(w, http.StatusUnauthorized, Answer{Code: backends.Unauthorized, Message: "the provider does not know this token"})
		return "unauthorized"
	}
	if s.stop(call, Before) && isDead(r.Context()) {
		return "the caller died before the effect"
	}
	s.stop(call, Late) // whose caller is dead, and which has its effect nevertheless
	fault := s.strike(call)
	if fault.kills() {
		a.provider.Kill(body.ID)
	}
	if fault.before(r.Context(), w) {
		return fault.String()
	}
	// What the provider has begun it does, whatever becomes of the caller.
	answer, err := act(context.WithoutCancel(r.Context()), a.backend, call.Operation, body)
	if s.stop(call, After) && isDead(r.Context()) || r.Context().Err() != nil {
		return "the caller died after the effect"
	}
	if fault.after(w) {
		return fault.String() + ", and " + describe(err)
	}
	if err != nil {
		answer = Answer{Code: backends.CodeOf(err), Message: err.Error()}
	}
	write(w, status(answer.Code), answer)
	return describe(err)
}

// isDead waits a moment for the news that a caller is dead.
func isDead(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(time.Second):
		return false
	}
}

func describe(err error) string {
	if err != nil {
		return string(backends.CodeOf(err))
	}
	return "done"
}

// act has the effect.
func act(ctx context.Context, b backends.Backend, operation string, body Body) (answer Answer, err error) {
	switch operation {
	case Create:
		answer.Remote, err = b.Create(ctx, *body.Request)
	case Get:
		answer.Remote, err = b.Get(ctx, body.ID)
	case List:
		answer.Remotes, err = b.List(ctx, *body.Filter)
		answer.Remotes, answer.More = page(answer.Remotes, body.After)
	case Destroy:
		err = b.Destroy(ctx, body.ID)
	case RunCommand:
		answer.Result, err = b.RunCommand(ctx, body.ID, *body.Command)
	default:
		return actFurther(ctx, b, operation, body)
	}
	return answer, err
}

// page returns what follows the remote of this ID, and whether there is more.
func page(remotes []backends.Remote, after string) ([]backends.Remote, bool) {
	slices.SortFunc(remotes, func(a, b backends.Remote) int { return strings.Compare(a.ID, b.ID) })
	begin := 0
	if after != "" {
		begin, _ = slices.BinarySearchFunc(remotes, after+"\x00",
			func(r backends.Remote, id string) int { return strings.Compare(r.ID, id) })
	}
	end := min(begin+PageSize, len(remotes))
	return remotes[begin:end], end < len(remotes)
}

// actFurther has the effect of what not every provider has.
func actFurther(ctx context.Context, b backends.Backend, operation string, body Body) (answer Answer, err error) {
	able, ok := b.(interface {
		backends.LifetimeSetter
		backends.Pauser
		backends.Labeler
		backends.Endpointer
	})
	if !ok {
		return answer, backends.Errorf(backends.Unsupported, "chaos", operation, "this provider has no such operation")
	}
	switch operation {
	case FindByName:
		finder, ok := b.(backends.NameFinder)
		if !ok {
			return answer, backends.Errorf(backends.Unsupported, "chaos", operation, "names are not unique")
		}
		answer.Remote, err = finder.FindByName(ctx, body.Name)
	case SetLifetime:
		err = able.SetLifetime(ctx, body.ID, body.Lifetime)
	case Pause:
		err = able.Pause(ctx, body.ID)
	case Resume:
		err = able.Resume(ctx, body.ID)
	case SetLabels:
		err = able.SetLabels(ctx, body.ID, body.Labels)
	case Endpoint:
		answer.Endpoint, err = able.Endpoint(ctx, body.ID, *body.Port)
	default:
		err = backends.Errorf(backends.Unsupported, "chaos", operation, "this provider has no such operation")
	}
	return answer, err
}

// statuses are the codes that have an HTTP status of their own.
var statuses = map[backends.Code]int{
	"": http.StatusOK, backends.NotFound: http.StatusNotFound, backends.AlreadyExists: http.StatusConflict,
	backends.Invalid: http.StatusBadRequest, backends.Unauthorized: http.StatusUnauthorized,
	backends.QuotaExceeded: http.StatusPaymentRequired, backends.NotRunning: http.StatusUnprocessableEntity,
	backends.RateLimited: http.StatusTooManyRequests, backends.Unsupported: http.StatusNotImplemented,
}

func status(code backends.Code) int {
	if known, ok := statuses[code]; ok {
		return known
	}
	return http.StatusInternalServerError
}

func write(w http.ResponseWriter, status int, answer any) {
	content, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(content)
}

// Call is one call that the provider got.
type Call struct {
	// Key names the operation and the Sandbox that it is about; N is the how-manieth of this key it is, from 1.
	Key string `json:"key"`
	N   int    `json:"n"`

	Account   string    `json:"account"`
	Operation string    `json:"operation"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended"`
	// Outcome is what became of it; empty while it is under way.
	Outcome string `json:"outcome"`

	index int
}

// Point is the key with its number, as scripts name a call.
func (c Call) Point() string { return c.Key + "#" + strconv.Itoa(c.N) }

// subject is the name of the Sandbox that a call is about, which, unlike an ID, is the same in each run.
func (s *Server) subject(a account, body Body) string {
	switch {
	case body.Request != nil:
		return body.Request.Mark.Name
	case body.Name != "":
		return "by-name"
	case body.ID == "":
		return "all"
	}
	if request, ok := a.provider.Request(body.ID); ok {
		return request.Mark.Name
	}
	return "nobody"
}

func (s *Server) begin(account, operation, subject string) Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.TrimSpace(fmt.Sprintf("%s %s", operation, subject))
	s.seen[key]++
	call := Call{
		Key: key, N: s.seen[key], Account: account, Operation: operation, Began: time.Now(), index: len(s.calls),
	}
	s.calls = append(s.calls, call)
	return call
}

func (s *Server) end(call Call, outcome string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[call.index].Ended, s.calls[call.index].Outcome = time.Now(), outcome
}
