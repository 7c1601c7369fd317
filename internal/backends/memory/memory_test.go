// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
)

// turned is a clock that only the test turns.
type turned struct {
	mu      sync.Mutex
	now     time.Time
	waiters map[chan time.Time]time.Time
}

func newTurned() *turned {
	return &turned{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), waiters: map[chan time.Time]time.Time{}}
}

func (c *turned) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *turned) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiter := make(chan time.Time, 1)
	c.waiters[waiter] = c.now.Add(d)
	return waiter
}

// turn moves the clock, and returns how many waited for that.
func (c *turned) turn(d time.Duration) (released int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for waiter, end := range c.waiters {
		if !c.now.Before(end) {
			waiter <- c.now
			delete(c.waiters, waiter)
			released++
		}
	}
	return released
}

func newProvider(t *testing.T, options memory.Options) *memory.Provider {
	t.Helper()
	provider := memory.NewProvider(options)
	t.Cleanup(func() {
		if err := provider.Close(); err != nil {
			t.Error(err)
		}
	})
	return provider
}

func connect(t *testing.T, provider *memory.Provider, token string) backends.Backend {
	t.Helper()
	config := backends.Config{Credentials: map[string][]byte{"token": []byte(token)}}
	backend, err := provider.Registration("memory").New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return backend
}

func create(t *testing.T, b backends.Backend) backends.Remote {
	t.Helper()
	mark := backends.Mark{Installation: "i", UID: "u", Incarnation: 1}
	remote, err := b.Create(t.Context(), backends.CreateRequest{Name: "sbx-1", Mark: mark})
	if err != nil {
		t.Fatal(err)
	}
	return remote
}

func state(t *testing.T, b backends.Backend, id string) backends.State {
	t.Helper()
	remote, err := b.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return remote.State
}

func want(t *testing.T, what string, err error, code backends.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("%s gives %v, want %s", what, err, code)
	}
}

func TestRegistrationAsksForATokenThatIsChecked(t *testing.T) {
	provider := newProvider(t, memory.Options{Token: "right"})
	if keys := provider.Registration("fake").Setup.Keys; len(keys) != 1 || keys[0].Name != "token" || keys[0].Optional {
		t.Errorf("the registration asks for %+v, not for a token", keys)
	}
	if keys := newProvider(t, memory.Options{}).Registration("fake").Setup.Keys; len(keys) != 0 {
		t.Errorf("without a token the registration asks for %+v", keys)
	}
	_, err := connect(t, provider, "wrong").List(t.Context(), backends.Filter{})
	want(t, "a wrong token", err, backends.Unauthorized)
	right := connect(t, provider, "right")
	if _, err := right.List(t.Context(), backends.Filter{}); err != nil {
		t.Errorf("the right token: %v", err)
	}
	provider.Change(func(o *memory.Options) { o.Token = "new" })
	_, err = right.List(t.Context(), backends.Filter{})
	want(t, "a token that was replaced", err, backends.Unauthorized)
}

func TestParametersAreStrictAndMaxRemotesIsAQuota(t *testing.T) {
	registration := newProvider(t, memory.Options{}).Registration("memory")
	_, err := registration.New(t.Context(), backends.Config{Parameters: []byte(`{"maxremotes":1}`)})
	want(t, "an unknown parameter", err, backends.Invalid)
	if err == nil || !strings.Contains(err.Error(), "known: maxRemotes") {
		t.Errorf("%v does not say what is known", err)
	}
	b, err := registration.New(t.Context(), backends.Config{Parameters: []byte(`{"maxRemotes":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	create(t, b)
	_, err = b.Create(t.Context(), backends.CreateRequest{Name: "sbx-2"})
	want(t, "a create over the quota", err, backends.QuotaExceeded)
}

func TestRemotesChangeAsTheClockIsTurned(t *testing.T) {
	clock := newTurned()
	provider := newProvider(t, memory.Options{
		Clock: clock, UniqueNames: true, CreateDelay: time.Second, ListLag: 2 * time.Second, DestroyDelay: time.Second,
	})
	b := connect(t, provider, "")
	remote := create(t, b)
	if remote.State != backends.StateCreating || state(t, b, remote.ID) != backends.StateCreating {
		t.Error("the remote runs at once")
	}
	_, err := b.RunCommand(t.Context(), remote.ID, backends.Command{Argv: []string{"true"}})
	want(t, "a command before the remote runs", err, backends.NotRunning)
	clock.turn(time.Second)
	if state(t, b, remote.ID) != backends.StateRunning {
		t.Error("the remote does not run after its delay")
	}
	if listed, _ := b.List(t.Context(), backends.Filter{}); len(listed) != 0 {
		t.Error("the list does not lag")
	}
	finder, ok := b.(backends.NameFinder)
	if !ok {
		t.Fatal("the backend can't find by name")
	}
	_, err = finder.FindByName(t.Context(), "sbx-1")
	want(t, "FindByName before its lag", err, backends.NotFound)
	if len(provider.Remotes()) != 1 {
		t.Error("the test must see the remote all the same")
	}
	clock.turn(time.Second)
	if listed, _ := b.List(t.Context(), backends.Filter{UID: "u"}); len(listed) != 1 {
		t.Error("the list lags too long")
	}
	if err := b.Destroy(t.Context(), remote.ID); err != nil {
		t.Error(err)
	}
	if state(t, b, remote.ID) != backends.StateStopped {
		t.Error("the remote is gone at once")
	}
	clock.turn(time.Second)
	_, err = b.Get(t.Context(), remote.ID)
	want(t, "Get after the destruction", err, backends.NotFound)
}

func TestCreationCanBeHeldUntilTheTestSaysSo(t *testing.T) {
	provider := newProvider(t, memory.Options{HoldCreating: true})
	b := connect(t, provider, "")
	remote := create(t, b)
	if state(t, b, remote.ID) != backends.StateCreating {
		t.Error("the remote runs")
	}
	if !provider.SetState(remote.ID, backends.StateRunning, "") || state(t, b, remote.ID) != backends.StateRunning {
		t.Error("the remote does not run when told so")
	}
}

func TestFaultsStrikeBeforeOrAfterTheEffect(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	request := backends.CreateRequest{Name: "sbx-1"}
	provider.Inject(memory.Fault{Operation: memory.OperationCreate, Times: 1, Err: memory.Error(backends.RateLimited, time.Minute)})
	_, err := b.Create(t.Context(), request)
	want(t, "a fault before the effect", err, backends.RateLimited)
	if len(provider.Remotes()) != 0 || backends.RetryAfter(err) != time.Minute {
		t.Errorf("a fault before the effect had one, or no delay (%v)", err)
	}
	provider.Inject(memory.Fault{Operation: memory.OperationCreate, Times: 1, After: true, Err: memory.Error(backends.Ambiguous, 0)})
	_, err = b.Create(t.Context(), request)
	want(t, "a fault after the effect", err, backends.Ambiguous)
	if len(provider.Remotes()) != 1 {
		t.Error("a fault after the effect left none")
	}
	if _, err = b.Create(t.Context(), request); err != nil {
		t.Errorf("a fault strikes more often than told: %v", err)
	}
	if provider.Calls(memory.OperationCreate) != 3 || provider.Counts()[memory.OperationList] != 0 {
		t.Errorf("calls are counted as %v", provider.Counts())
	}
	provider.ResetCounts()
	if len(provider.Counts()) != 0 {
		t.Error("counts are not reset")
	}
}

func TestFaultsStrikeOnlyWhatTheyMatchUntilRemoved(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	spared, struck := create(t, b), create(t, b)
	remove := provider.Inject(memory.Fault{
		If: func(call memory.Call) bool { return call.ID == struck.ID }, Err: memory.Error(backends.Unavailable, 0),
	})
	for range 3 {
		_, err := b.Get(t.Context(), struck.ID)
		want(t, "a call that matches", err, backends.Unavailable)
	}
	if _, err := b.Get(t.Context(), spared.ID); err != nil {
		t.Errorf("a call that does not match: %v", err)
	}
	remove()
	if _, err := b.Get(t.Context(), struck.ID); err != nil {
		t.Errorf("a fault that was removed: %v", err)
	}
}

func TestAGateHoldsACallInTheMiddle(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	gate := memory.NewGate()
	provider.Inject(memory.Fault{Operation: memory.OperationCreate, After: true, Gate: gate})
	created := make(chan error)
	go func() {
		_, err := b.Create(context.WithoutCancel(t.Context()), backends.CreateRequest{})
		created <- err
	}()
	<-gate.Reached()
	if len(provider.Remotes()) != 1 {
		t.Error("the effect has not happened at the gate")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := newProvider(t, memory.Options{})
	other.Inject(memory.Fault{Operation: memory.OperationGet, Gate: memory.NewGate()})
	_, err := connect(t, other, "").Get(ctx, "x")
	want(t, "a held call whose context ends", err, backends.Unavailable)
	gate.Open()
	if err := <-created; err != nil {
		t.Errorf("the held call: %v", err)
	}
}

func TestADelayFollowsTheClockAndTheContext(t *testing.T) {
	clock := newTurned()
	provider := newProvider(t, memory.Options{Clock: clock})
	b := connect(t, provider, "")
	provider.Inject(memory.Fault{Operation: memory.OperationCreate, After: true, Delay: time.Hour})
	created := make(chan error)
	go func() {
		_, err := b.Create(context.WithoutCancel(t.Context()), backends.CreateRequest{})
		created <- err
	}()
	for clock.turn(time.Hour) == 0 { // until the call waits
		time.Sleep(time.Millisecond)
	}
	if err := <-created; err != nil {
		t.Errorf("the delayed call: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := b.Create(ctx, backends.CreateRequest{})
	want(t, "a call that ends after its effect", err, backends.Ambiguous)
}

func TestRemotesOutliveTheirBackends(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	remote := create(t, connect(t, provider, ""))
	if state(t, connect(t, provider, ""), remote.ID) != backends.StateRunning {
		t.Error("another backend does not find the remote")
	}
}

// startSleep leaves a process running in the remote, and returns its marker file's path in /proc.
func startSleep(t *testing.T, b backends.Backend, id, script string) (process string) {
	t.Helper()
	result, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"sh", "-c", script}})
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("starting a process: %+v, %v", result, err)
	}
	return filepath.Join("/proc", strings.TrimSpace(string(result.Stdout)))
}

func lives(process string) bool {
	raw, err := os.ReadFile(filepath.Join(process, "stat"))
	return err == nil && !strings.Contains(string(raw), ") Z ")
}

func TestTheEndOfARemoteIsTheEndOfItsProcessesAndFiles(t *testing.T) {
	for name, end := range map[string]func(p *memory.Provider, b backends.Backend, id string) error{
		"destroy": func(_ *memory.Provider, b backends.Backend, id string) error { return b.Destroy(t.Context(), id) },
		"kill":    func(p *memory.Provider, _ backends.Backend, id string) error { p.Kill(id); return nil },
		"close":   func(p *memory.Provider, _ backends.Backend, _ string) error { return p.Close() },
	} {
		provider := newProvider(t, memory.Options{})
		b := connect(t, provider, "")
		id := create(t, b).ID
		var processes []string
		for _, script := range []string{
			"sleep 300 & echo $!", "setsid sleep 300 > /dev/null & echo $!", "env -i setsid sleep 300 > /dev/null & echo $!",
		} {
			processes = append(processes, startSleep(t, b, id, script))
		}
		dir := provider.Dir(id)
		if err := end(provider, b, id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s leaves files", name)
		}
		for i, process := range processes {
			if lives(process) {
				t.Errorf("%s leaves process %d alive", name, i)
			}
		}
	}
}

func TestACommandWhoseRemoteEndsIsNotCalledUnstarted(t *testing.T) {
	for _, end := range []func(p *memory.Provider, id string) bool{(*memory.Provider).Kill, (*memory.Provider).Stop} {
		provider := newProvider(t, memory.Options{})
		b := connect(t, provider, "")
		id := create(t, b).ID
		ended := make(chan error)
		go func() {
			command := backends.Command{Argv: []string{"sh", "-c", `: > "$HOME/up"; sleep 300`}}
			_, err := b.RunCommand(context.WithoutCancel(t.Context()), id, command)
			ended <- err
		}()
		for {
			if _, err := os.Stat(filepath.Join(provider.Dir(id), "home", "up")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		end(provider, id)
		want(t, "a command whose remote ended", <-ended, backends.Ambiguous)
	}
}

func TestPathsOutsideTheRemoteStayInItsDirectory(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	remote, err := b.Create(t.Context(), backends.CreateRequest{WorkingDir: "/workspace"})
	if err != nil {
		t.Fatal(err)
	}
	if err := backends.WriteFile(t.Context(), b, remote.ID, "/workspace/data", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	result, err := b.RunCommand(t.Context(), remote.ID, backends.Command{Argv: []string{"cat", "data"}})
	if err != nil || string(result.Stdout) != "x" {
		t.Errorf("a command in the working directory reads %+v, %v", result, err)
	}
	if _, err := os.Stat("/workspace/data"); err == nil {
		t.Error("the file is on the machine itself")
	}
}

func TestAddPutsOthersRemotesInPlace(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	mark := backends.Mark{Installation: "other", UID: "u", Incarnation: 2}
	for _, remote := range []backends.Remote{
		{ID: "unmarked", Labels: map[string]string{"a": "b"}}, {ID: "foreign", Mark: mark, State: backends.StatePaused},
	} {
		if _, err := provider.Add(remote); err != nil {
			t.Fatal(err)
		}
		got, err := b.Get(t.Context(), remote.ID)
		if err != nil || got.Mark != remote.Mark || fmt.Sprint(got.Labels) != fmt.Sprint(remote.Labels) && remote.Labels != nil {
			t.Errorf("%+v was added, and is %+v (%v)", remote, got, err)
		}
	}
	if listed, _ := b.List(t.Context(), backends.Filter{UID: "u"}); len(listed) != 1 || listed[0].State != backends.StatePaused {
		t.Errorf("the list is %+v", listed)
	}
}

func TestCommandsCanBeAnsweredWithoutProcesses(t *testing.T) {
	provider := newProvider(t, memory.Options{
		RunCommandFunc: func(_ context.Context, remote backends.Remote, c backends.Command) (backends.Result, error) {
			return backends.Result{ExitCode: 3, Stdout: []byte(remote.ID + c.Argv[0])}, nil
		},
	})
	b := connect(t, provider, "")
	id := create(t, b).ID
	result, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"x"}})
	if err != nil || result.ExitCode != 3 || string(result.Stdout) != id+"x" {
		t.Errorf("the answer is %+v, %v", result, err)
	}
	if _, native := b.(backends.FileReader); native {
		t.Error("files would be read from the machine itself")
	}
	if err := b.Destroy(t.Context(), id); err != nil {
		t.Error(err)
	}
}
