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

func TestALifetimeEndsTheRemoteAsTheClockIsTurned(t *testing.T) {
	clock := newTurned()
	provider := newProvider(t, memory.Options{Clock: clock, LeastLifetime: time.Minute, MostLifetime: time.Hour})
	b := connect(t, provider, "")
	remote, err := b.Create(t.Context(), backends.CreateRequest{Lifetime: 10 * time.Minute})
	if err != nil || !remote.ExpiresAt.Equal(clock.Now().Add(10*time.Minute)) {
		t.Fatalf("the remote is %+v, %v", remote, err)
	}
	setter, ok := b.(backends.LifetimeSetter)
	if !ok {
		t.Fatal("the backend can't set a lifetime")
	}
	for _, lifetime := range []time.Duration{-1, time.Second, 2 * time.Hour} {
		want(t, fmt.Sprint("a lifetime of ", lifetime), setter.SetLifetime(t.Context(), remote.ID, lifetime), backends.Invalid)
	}
	clock.turn(5 * time.Minute)
	if err := setter.SetLifetime(t.Context(), remote.ID, 6*time.Minute); err != nil {
		t.Error(err)
	}
	clock.turn(6*time.Minute - 1)
	if state(t, b, remote.ID) != backends.StateRunning {
		t.Error("the remote does not live as long as was last said")
	}
	clock.turn(1)
	_, err = b.Get(t.Context(), remote.ID)
	want(t, "Get after the lifetime", err, backends.NotFound)
	if unbound := create(t, b); !unbound.ExpiresAt.Equal(clock.Now().Add(time.Hour)) {
		t.Errorf("a remote with no lifetime ends at %s, not as late as the provider allows", unbound.ExpiresAt)
	}
}

// standsStill says whether the process is stopped, or waits for a child that is.
func standsStill(t *testing.T, process string) bool {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(process, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(raw), ") T ") || strings.Contains(string(raw), ") D ")
}

func TestAPausedRemoteStandsStillUntilItIsResumed(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	id := create(t, b).ID
	process := startSleep(t, b, id, `while :; do echo >> "$HOME/turns"; sleep 0.01; done > /dev/null & echo $!`)
	turns := func() int {
		content, _ := os.ReadFile(filepath.Join(provider.Dir(id), "home", "turns"))
		return len(content)
	}
	pauser, ok := b.(backends.Pauser)
	if !ok {
		t.Fatal("the backend can't pause")
	}
	for range 2 { // safe to repeat
		if err := pauser.Pause(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if !standsStill(t, process) {
		t.Error("a process of the paused remote does not stand still")
	}
	_, err := b.RunCommand(t.Context(), id, backends.Command{Argv: []string{"true"}})
	want(t, "a command in a paused remote", err, backends.NotRunning)
	for range 2 {
		if err := pauser.Resume(t.Context(), id); err != nil || state(t, b, id) != backends.StateRunning {
			t.Fatalf("after Resume: %v", err)
		}
	}
	for before := turns(); turns() == before; time.Sleep(time.Millisecond) {
		if t.Context().Err() != nil {
			t.Fatal("a process of the resumed remote still stands still")
		}
	}
	if err := pauser.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := b.Destroy(t.Context(), id); err != nil || lives(process) {
		t.Errorf("destroying a paused remote leaves a process (%v)", err)
	}
	want(t, "pausing what is gone", pauser.Pause(t.Context(), id), backends.NotFound)
}

func TestWhatTheOptionsLeaveOutIsUnsupported(t *testing.T) {
	provider := newProvider(t, memory.Options{Capabilities: []backends.Capability{backends.CapabilityImage}})
	b := connect(t, provider, "")
	id := create(t, b).ID
	for name, request := range map[string]backends.CreateRequest{
		"a snapshot": {Source: backends.Source{Snapshot: "s"}}, "a GPU": {Resources: backends.Resources{GPUs: 1}},
		"a user": {User: "u"}, "a network": {Network: backends.Network{Policy: backends.NetworkDeny}},
		"a port": {Ports: []backends.Port{{Number: 80}}}, "a lifetime": {Lifetime: time.Hour},
		"a template": {Source: backends.Source{Template: "t"}}, "a limit": {Resources: backends.Resources{MilliCPU: 1}},
	} {
		_, err := b.Create(t.Context(), request)
		want(t, name, err, backends.Unsupported)
	}
	able, ok := b.(interface {
		backends.LifetimeSetter
		backends.Pauser
		backends.Endpointer
		backends.Labeler
		backends.CodeRunner
	})
	if !ok {
		t.Fatal("the backend lacks optional operations")
	}
	_, endpointErr := able.Endpoint(t.Context(), id, backends.Port{Number: 80, Protocol: backends.ProtocolHTTP})
	_, codeErr := able.RunCode(t.Context(), id, backends.SourceCode{Language: "shell", Source: "true"})
	for name, err := range map[string]error{
		"SetLifetime": able.SetLifetime(t.Context(), id, time.Hour), "Pause": able.Pause(t.Context(), id),
		"Resume": able.Resume(t.Context(), id), "SetLabels": able.SetLabels(t.Context(), id, nil),
		"Endpoint": endpointErr, "RunCode": codeErr,
	} {
		want(t, name, err, backends.Unsupported)
	}
	if len(provider.Remotes()) != 1 {
		t.Error("a refused Create made a remote")
	}
}

func TestRequestsAreRememberedAndLabelsReplaced(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	request := backends.CreateRequest{
		Mark: backends.Mark{Installation: "i", UID: "u", Incarnation: 1}, Labels: map[string]string{"a": "1"},
		User: "someone", Network: backends.Network{Policy: backends.NetworkRestricted, Hosts: []string{"example.com"}},
		Resources: backends.Resources{GPUs: 2, GPUModel: "h100"}, Ports: []backends.Port{{Number: 80, Protocol: backends.ProtocolHTTP}},
		Source: backends.Source{Snapshot: "s"},
	}
	remote, err := b.Create(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	labeler, ok := b.(backends.Labeler)
	if !ok {
		t.Fatal("the backend can't set labels")
	}
	if err := labeler.SetLabels(t.Context(), remote.ID, map[string]string{"b": "2", backends.MarkUID: "forged"}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Get(t.Context(), remote.ID)
	if err != nil || got.Mark != request.Mark || fmt.Sprint(got.Labels) != "map[b:2]" {
		t.Errorf("after SetLabels the remote is %+v, %v", got, err)
	}
	provider.Kill(remote.ID)
	if made, ok := provider.Request(remote.ID); !ok || fmt.Sprint(made) != fmt.Sprint(request) {
		t.Errorf("the request is remembered as %+v", made)
	}
}

func TestEndpointsCanNeedASecretHeader(t *testing.T) {
	provider := newProvider(t, memory.Options{EndpointToken: "hush"})
	b := connect(t, provider, "")
	id := create(t, b).ID
	endpointer, ok := b.(backends.Endpointer)
	if !ok {
		t.Fatal("the backend has no endpoints")
	}
	endpoint, err := endpointer.Endpoint(t.Context(), id, backends.Port{Number: 8080, Protocol: backends.ProtocolTCP})
	if err != nil || endpoint.URL != "tcp://127.0.0.1:8080" || endpoint.Headers[memory.EndpointHeader] != "hush" {
		t.Errorf("the endpoint is %+v, %v", endpoint, err)
	}
	_, err = endpointer.Endpoint(t.Context(), id, backends.Port{Number: 70000, Protocol: backends.ProtocolHTTP})
	want(t, "an endpoint of no port", err, backends.Invalid)
}

func TestCodeRunsOrIsAnsweredByTheTest(t *testing.T) {
	provider := newProvider(t, memory.Options{})
	b := connect(t, provider, "")
	id := create(t, b).ID
	runner, ok := b.(backends.CodeRunner)
	if !ok {
		t.Fatal("the backend can't run code")
	}
	code := backends.SourceCode{
		Language: "shell", Source: `echo "$1 $A"; exit 7`, Arguments: []string{"x"}, Env: map[string]string{"A": "y"},
	}
	result, err := runner.RunCode(t.Context(), id, code)
	if err != nil || result.ExitCode != 1 || string(result.Stdout) != "x y\n" {
		t.Errorf("shell code gives %+v, %v", result, err)
	}
	_, err = runner.RunCode(t.Context(), id, backends.SourceCode{Language: "javascript", Source: "1"})
	want(t, "a language without kernel", err, backends.Unsupported)
	provider.SetCode("javascript", func(_ context.Context, _ backends.Remote, code backends.SourceCode) (backends.CodeResult, error) {
		shown := backends.RichResult{Name: "result-1.txt", MediaType: "text/plain", Data: []byte(code.Source)}
		return backends.CodeResult{Rich: []backends.RichResult{shown}}, nil
	})
	result, err = runner.RunCode(t.Context(), id, backends.SourceCode{Language: "javascript", Source: "1"})
	if err != nil || len(result.Rich) != 1 || string(result.Rich[0].Data) != "1" {
		t.Errorf("code that the test answers gives %+v, %v", result, err)
	}
}

func TestHiddenRemotesAreDeniedButWork(t *testing.T) {
	provider := newProvider(t, memory.Options{UniqueNames: true})
	b := connect(t, provider, "")
	id := create(t, b).ID
	show := provider.Hide(id)
	_, err := b.Get(t.Context(), id)
	want(t, "Get of a hidden remote", err, backends.NotFound)
	if listed, _ := b.List(t.Context(), backends.Filter{}); len(listed) != 0 {
		t.Error("a hidden remote is listed")
	}
	_, err = b.Create(t.Context(), backends.CreateRequest{Name: "sbx-1"})
	want(t, "a second remote of a hidden one's name", err, backends.AlreadyExists)
	show()
	if state(t, b, id) != backends.StateRunning {
		t.Error("the remote stays hidden")
	}
}
