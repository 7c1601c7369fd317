// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func abilityChecks() []Check {
	return []Check{
		{"can do what its capabilities say, and says Unsupported of the rest", capabilitiesAreTrue},
		{"ends a remote when its lifetime is over, and tells when that is", lifetimeEnds},
		{"lets a remote live as long as was said last", lifetimeIsMoved},
		{"refuses a lifetime out of its bounds", lifetimeHasBounds},
		{"pauses a remote with its files, and resumes it", pausesAndResumes},
		{"ends a paused remote, by itself and when told", pausedRemotesEnd},
		{"replaces labels and keeps the mark", labelsAreReplaced},
		{"gives each port a URL without opening it twice", endpointsHaveURLs},
		{"reaches what listens in a remote through its endpoint", endpointsReach},
		{"runs code and tells how it ended", codeRuns},
		{"ends code at its deadline", codeTimesOut},
		{"refuses a language that it does not have", codeLanguageIsRefused},
	}
}

// ability is an optional interface, as one call of it.
type ability struct {
	capability backends.Capability
	name       string
	// has says whether the backend has the interface; call uses it.
	has  bool
	call func(id string) error
}

// abilities are all optional operations on a remote but those on files.
func (t *T) abilities() []ability {
	lifetimes, hasLifetimes := t.Backend.(backends.LifetimeSetter)
	pauser, hasPauser := t.Backend.(backends.Pauser)
	endpointer, hasEndpointer := t.Backend.(backends.Endpointer)
	labeler, hasLabeler := t.Backend.(backends.Labeler)
	coder, hasCoder := t.Backend.(backends.CodeRunner)
	return []ability{
		{backends.CapabilityLifetime, "SetLifetime", hasLifetimes, func(id string) error {
			return lifetimes.SetLifetime(t.ctx, id, 0)
		}},
		{backends.CapabilityPause, "Resume", hasPauser, func(id string) error { return pauser.Resume(t.ctx, id) }},
		{backends.CapabilityPause, "Pause", hasPauser, func(id string) error { return pauser.Pause(t.ctx, id) }},
		{backends.CapabilityEndpoints, "Endpoint", hasEndpointer, func(id string) error {
			_, err := endpointer.Endpoint(t.ctx, id, backends.Port{Number: 8080, Protocol: backends.ProtocolHTTP})
			return err
		}},
		{backends.CapabilityLabels, "SetLabels", hasLabeler, func(id string) error { return labeler.SetLabels(t.ctx, id, nil) }},
		{backends.CapabilityCode, "RunCode", hasCoder, func(id string) error {
			_, err := coder.RunCode(t.ctx, id, backends.SourceCode{Language: t.Language, Source: t.program("x", 0)})
			return err
		}},
	}
}

func capabilitiesAreTrue(t *T) {
	id := t.create(t.request()).ID
	for _, a := range t.abilities() {
		switch {
		case t.can(a.capability) && !a.has:
			t.Errorf("the registration has capability %s, but the backend has no %s", a.capability, a.name)
		case t.can(a.capability):
			if err := a.call(id); err != nil {
				t.Errorf("the registration has capability %s, but %s of a running remote fails: %v", a.capability, a.name, err)
			}
			if a.name == "Pause" { // the next need a remote that runs
				t.resume(id)
			}
		case a.has:
			err := a.call(id)
			t.wantCode(a.name+" without capability "+string(a.capability), err, backends.Unsupported)
			if a.name == "Pause" && err == nil {
				return
			}
		}
	}
}

// need returns the backend as the optional interface, or skips the check.
func need[Interface any](t *T, capability backends.Capability) Interface {
	able, ok := t.Backend.(Interface)
	if !ok || !t.can(capability) {
		t.Skip("the backend lacks the capability " + string(capability))
	}
	return able
}

// longWait is the longest lifetime whose end a check waits for.
const longWait = time.Minute

// lifetime returns a short one that the backend takes.
func (t *T) lifetime() time.Duration { return max(t.Registration.LeastLifetime, 4*time.Second) }

// clockSkew is how far apart the clocks of provider and test may be.
const clockSkew = 30 * time.Second

// wantEnd complains of a remote that does not say that it ends then.
func (t *T) wantEnd(remote backends.Remote, want time.Time) {
	if remote.ExpiresAt.Sub(want).Abs() > clockSkew {
		t.Errorf("the remote says that it ends at %s; it was told to end at %s", remote.ExpiresAt, want)
	}
}

func lifetimeEnds(t *T) {
	need[backends.LifetimeSetter](t, backends.CapabilityLifetime)
	request := t.request()
	request.Lifetime = t.lifetime()
	created := t.create(request)
	for _, remote := range []backends.Remote{created, t.get(created.ID)} {
		t.wantEnd(remote, remote.CreatedAt.Add(request.Lifetime))
	}
	if request.Lifetime <= longWait {
		t.pass(created.CreatedAt.Add(request.Lifetime / 2).Sub(t.now()))
		t.get(created.ID) // it exists
	}
	t.untilOver(created.ID, request.Lifetime)
	t.eventually("List still has a remote whose lifetime is over, as one that lives", func() bool {
		return !slices.ContainsFunc(t.list(t.Backend, backends.Filter{UID: request.Mark.UID}), func(r backends.Remote) bool {
			return r.State != backends.StateStopped
		})
	})
}

// untilOver waits until a remote with so short a lifetime is gone, or has stopped and says why.
func (t *T) untilOver(id string, lifetime time.Duration) {
	if lifetime > longWait {
		t.Skip("the least lifetime is too long to wait for")
	}
	t.pass(lifetime)
	t.eventually("a remote lives on whose lifetime is over", func() bool {
		remote, err := t.Backend.Get(t.ctx, id)
		if err != nil {
			t.wantCode("Get of a remote whose lifetime is over", err, backends.NotFound)
			return true
		}
		if remote.State == backends.StateStopped && remote.Reason == "" {
			t.Errorf("a remote whose lifetime is over does not say why it stopped")
		}
		return remote.State == backends.StateStopped
	})
}

// now is the provider's time.
func (t *T) now() time.Time {
	if t.Clock != nil {
		return t.Clock.Now()
	}
	return time.Now()
}

// pass lets time pass that the provider's clock counts.
func (t *T) pass(d time.Duration) {
	if t.Clock != nil {
		t.Clock.Advance(max(d, 0))
		return
	}
	select {
	case <-t.ctx.Done():
		t.Fatalf("waiting for %s: %v", d, t.ctx.Err())
	case <-time.After(d):
	}
}

func lifetimeIsMoved(t *T) {
	setter := need[backends.LifetimeSetter](t, backends.CapabilityLifetime)
	request := t.request()
	request.Lifetime = t.lifetime()
	id := t.create(request).ID
	set := func(lifetime time.Duration) {
		if err := setter.SetLifetime(t.ctx, id, lifetime); err != nil {
			t.Fatalf("setting a lifetime of %s: %v", lifetime, err)
		}
		t.wantEnd(t.get(id), t.now().Add(lifetime))
	}
	long := 10 * request.Lifetime
	if most := t.Registration.MostLifetime; most > 0 {
		long = min(long, most)
	}
	set(long)
	if request.Lifetime <= longWait {
		t.pass(request.Lifetime + time.Second)
		t.get(id) // it exists
		t.shell(id, "true")
	}
	if err := setter.SetLifetime(t.ctx, id, 0); err != nil {
		t.Fatalf("lifting the lifetime: %v", err)
	}
	if end, most := t.get(id).ExpiresAt, t.Registration.MostLifetime; most > 0 {
		t.wantEnd(backends.Remote{ExpiresAt: end}, t.now().Add(most))
	} else if !end.IsZero() {
		t.Errorf("after its lifetime was lifted the remote still ends at %s", end)
	}
	set(request.Lifetime)
	t.untilOver(id, request.Lifetime)
}

func lifetimeHasBounds(t *T) {
	setter := need[backends.LifetimeSetter](t, backends.CapabilityLifetime)
	id := t.remote()
	refused := []time.Duration{-time.Second}
	if least := t.Registration.LeastLifetime; least > time.Second {
		refused = append(refused, least-time.Second)
	}
	if most := t.Registration.MostLifetime; most > 0 {
		refused = append(refused, most+time.Second)
	}
	for _, lifetime := range refused {
		t.wantCode(fmt.Sprintf("SetLifetime of %s", lifetime), setter.SetLifetime(t.ctx, id, lifetime), backends.Invalid)
		request := t.request()
		request.Lifetime = lifetime
		created, err := t.Backend.Create(t.ctx, request)
		t.wantCode(fmt.Sprintf("Create with a lifetime of %s", lifetime), err, backends.Invalid)
		if err == nil {
			t.destroy(created.ID)
		}
	}
	t.get(id) // a refused lifetime changes nothing
}

func (t *T) pause(id string) {
	if err := need[backends.Pauser](t, backends.CapabilityPause).Pause(t.ctx, id); err != nil {
		t.Fatalf("pausing a remote: %v", err)
	}
	t.untilState(id, backends.StatePaused)
}

func (t *T) resume(id string) {
	if err := need[backends.Pauser](t, backends.CapabilityPause).Resume(t.ctx, id); err != nil {
		t.Fatalf("resuming a remote: %v", err)
	}
	t.untilState(id, backends.StateRunning)
}

func (t *T) untilState(id string, state backends.State) {
	t.eventually("Get does not say that the remote is "+string(state), func() bool { return t.get(id).State == state })
}

func pausesAndResumes(t *T) {
	pauser := need[backends.Pauser](t, backends.CapabilityPause)
	request := t.request()
	id := t.create(request).ID
	file := path.Join(t.scratch(id), "kept")
	if err := backends.WriteFile(t.ctx, t.Backend, id, file, []byte("kept"), 0o600); err != nil {
		t.Fatalf("writing a file: %v", err)
	}
	for range 2 { // it is safe to repeat
		t.pause(id)
	}
	for _, remote := range t.listed(t.Another, backends.Filter{UID: request.Mark.UID}, id) {
		if remote.State != backends.StatePaused {
			t.Errorf("List says that a paused remote is %s", remote.State)
		}
	}
	_, err := t.Backend.RunCommand(t.ctx, id, backends.Command{Argv: []string{"true"}})
	t.wantCode("a command in a paused remote", err, backends.NotRunning)
	if state := t.get(id).State; state != backends.StatePaused {
		t.Errorf("after a refused command, List and Get the paused remote is %s: observing resumes it", state)
	}
	for range 2 {
		t.resume(id)
	}
	if content := t.shell(id, `cat "$1"`, file); content != "kept" {
		t.Errorf("after pause and resume a file has %q", content)
	}
	for what, err := range map[string]error{
		"Pause of what does not exist": pauser.Pause(t.ctx, "conformance-none"), "Resume of it": pauser.Resume(t.ctx, "conformance-none"),
	} {
		t.wantCode(what, err, backends.NotFound)
	}
}

func pausedRemotesEnd(t *T) {
	need[backends.Pauser](t, backends.CapabilityPause)
	id := t.create(t.request()).ID
	t.pause(id)
	if err := t.Backend.Destroy(t.ctx, id); err != nil {
		t.Fatalf("destroying a paused remote: %v", err)
	}
	t.untilGone(id)
	if !t.can(backends.CapabilityLifetime) || t.lifetime() > longWait {
		return
	}
	request := t.request()
	request.Lifetime = t.lifetime()
	id = t.create(request).ID
	t.pause(id)
	if t.Registration.PausedRemotesStay {
		t.staysPaused(id, request.Lifetime)
		return
	}
	t.untilOver(id, request.Lifetime)
}

// staysPaused complains of a paused remote that ends, or says that it will, where the registration says that none does.
func (t *T) staysPaused(id string, lifetime time.Duration) {
	t.pass(lifetime)
	if remote := t.get(id); remote.State != backends.StatePaused || !remote.ExpiresAt.IsZero() {
		t.Errorf("the registration says that paused remotes stay; this one is %s, and ends at %s", remote.State, remote.ExpiresAt)
	}
	err := need[backends.LifetimeSetter](t, backends.CapabilityLifetime).SetLifetime(t.ctx, id, lifetime)
	t.wantCode("SetLifetime of a paused remote that has no end", err, backends.NotRunning)
}

func labelsAreReplaced(t *T) {
	labeler := need[backends.Labeler](t, backends.CapabilityLabels)
	request := t.request()
	request.Labels = map[string]string{"stays": "1", "goes": "1"}
	id := t.create(request).ID
	request.Labels = map[string]string{"stays": "2", "example.com/comes": "it's \"new\" ünïcödé"}
	given := map[string]string{backends.MarkUID: "forged", backends.MarkInstallation: "forged"}
	maps.Copy(given, request.Labels)
	err := labeler.SetLabels(t.ctx, id, given)
	if errors.Is(err, backends.Invalid) { // so a forged mark may be answered
		err = labeler.SetLabels(t.ctx, id, request.Labels)
	}
	if err != nil {
		t.Fatalf("setting labels: %v", err)
	}
	t.eventuallySame(id, request)
	request.Labels = nil
	if err := labeler.SetLabels(t.ctx, id, nil); err != nil {
		t.Fatalf("removing all labels: %v", err)
	}
	t.eventuallySame(id, request)
}

// eventuallySame waits for labels to show, and complains where anything else changed.
func (t *T) eventuallySame(id string, request backends.CreateRequest) {
	var got backends.Remote
	t.eventually(fmt.Sprintf("the labels do not become %q", request.Labels), func() bool {
		got = t.get(id)
		return len(got.Labels) == len(request.Labels)
	})
	t.wantSame("Get", got, got, request)
	for _, remote := range t.listed(t.Another, backends.Filter{Installation: t.installation, UID: request.Mark.UID}, id) {
		t.wantSame("List", remote, got, request)
	}
}

// endpoint opens the way to a port of a remote.
func (t *T) endpoint(id string, port backends.Port) backends.Endpoint {
	endpoint, err := need[backends.Endpointer](t, backends.CapabilityEndpoints).Endpoint(t.ctx, id, port)
	if err != nil {
		t.Fatalf("the endpoint of port %d, %s: %v", port.Number, port.Protocol, err)
	}
	return endpoint
}

func endpointsHaveURLs(t *T) {
	endpointer := need[backends.Endpointer](t, backends.CapabilityEndpoints)
	request := t.request()
	request.Ports = []backends.Port{{Number: 8080, Protocol: backends.ProtocolHTTP}}
	id := t.create(request).ID
	schemes := map[backends.Protocol][]string{
		backends.ProtocolHTTP: {"http", "https"}, backends.ProtocolHTTPS: {"https"}, backends.ProtocolTCP: {"tcp"},
	}
	for protocol, allowed := range schemes {
		port := backends.Port{Number: 8080, Protocol: protocol}
		first, err := endpointer.Endpoint(t.ctx, id, port)
		if errors.Is(err, backends.Unsupported) {
			continue // not every provider has every protocol
		}
		if err != nil {
			t.Fatalf("the endpoint of a port where nothing listens, %s: %v", protocol, err)
		}
		parsed, err := url.Parse(first.URL)
		if err != nil || !slices.Contains(allowed, parsed.Scheme) || parsed.Host == "" {
			t.Errorf("the endpoint of a port for %s is %q", protocol, first.URL)
		}
		if again := t.endpoint(id, port); again.URL != first.URL {
			t.Errorf("the same port's endpoint is %q and then %q", first.URL, again.URL)
		}
	}
	_, err := endpointer.Endpoint(t.ctx, "conformance-none", request.Ports[0])
	t.wantCode("Endpoint of what does not exist", err, backends.NotFound)
}

// endpointPort is one that nothing else on a machine is likely to have; remotes may share the network of theirs.
const endpointPort = 28471

func endpointsReach(t *T) {
	need[backends.Endpointer](t, backends.CapabilityEndpoints)
	if t.Server == nil {
		t.Skip("the subject has no server to be reached")
	}
	request := t.request()
	for _, protocol := range []backends.Protocol{backends.ProtocolHTTP, backends.ProtocolTCP} {
		request.Ports = append(request.Ports, backends.Port{Number: endpointPort, Protocol: protocol})
	}
	id := t.createReachable(&request).ID
	const answer = "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\npong"
	server := backends.Command{Argv: t.Server(endpointPort, answer)}
	server.Argv = append([]string{"sh", "-c", `"$@" >/dev/null 2>&1 &`, "sh"}, server.Argv...)
	t.mustRun(id, server)
	web := t.endpoint(id, request.Ports[0])
	t.eventually("a web server in the remote is not reached at "+web.URL, func() bool { return t.fetch(web) == "pong" })
	if len(request.Ports) == 1 {
		return
	}
	if plain := t.endpoint(id, request.Ports[1]); plain.URL != "" {
		t.eventually("a server in the remote is not reached at "+plain.URL, func() bool { return t.converse(plain) == answer })
	}
}

// createReachable makes a remote with these ports, or with the first alone where the provider does not have the others' protocols:
// it says so before anything is made.
func (t *T) createReachable(request *backends.CreateRequest) backends.Remote {
	created, err := t.Backend.Create(t.ctx, *request)
	if !errors.Is(err, backends.Unsupported) {
		if err != nil {
			t.Fatalf("creating a remote with ports: %v", err)
		}
		t.Cleanup(func() { t.destroy(created.ID) })
		return t.untilRunning(created)
	}
	request.Ports = request.Ports[:1]
	return t.create(*request)
}

// fetch returns what a web server says, or the error.
func (t *T) fetch(endpoint backends.Endpoint) string {
	request, err := http.NewRequestWithContext(t.ctx, http.MethodGet, endpoint.URL, http.NoBody)
	if err != nil {
		return err.Error()
	}
	for name, value := range endpoint.Headers {
		request.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, _ := io.ReadAll(response.Body)
	return string(content)
}

// converse returns what a server says to a line, or the error.
func (t *T) converse(endpoint backends.Endpoint) string {
	conn, err := (&net.Dialer{}).DialContext(t.ctx, "tcp", strings.TrimPrefix(endpoint.URL, "tcp://"))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err.Error()
	}
	content, _ := io.ReadAll(conn)
	return string(content)
}

// program prints a word and a line to standard error, and fails with a code that is not 0.
func (t *T) program(word string, code int) string {
	if t.Language == "python" {
		return fmt.Sprintf("import sys\nprint(%q)\nprint('problem', file=sys.stderr)\nif %d: raise SystemExit(%d)\n", word, code, code)
	}
	return fmt.Sprintf("echo %s\necho problem >&2\nexit %d\n", word, code)
}

func codeRuns(t *T) {
	runner := need[backends.CodeRunner](t, backends.CapabilityCode)
	for _, code := range []int{0, 1} {
		result, err := runner.RunCode(t.ctx, t.remote(), backends.SourceCode{Language: t.Language, Source: t.program("ran", code)})
		if err != nil {
			t.Fatalf("running code that ends with %d: %v", code, err)
		}
		if string(result.Stdout) != "ran\n" || !strings.Contains(string(result.Stderr), "problem") || result.ExitCode != code {
			t.Errorf("code that prints, complains and ends with %d gives %+v", code, result)
		}
	}
}

func codeTimesOut(t *T) {
	runner := need[backends.CodeRunner](t, backends.CapabilityCode)
	source := "import time\nprint('begun', flush=True)\ntime.sleep(60)\n"
	if t.Language == "shell" {
		source = "echo begun\nsleep 60\n"
	}
	began := time.Now()
	result, err := runner.RunCode(t.ctx, t.remote(), backends.SourceCode{Language: t.Language, Source: source, Timeout: time.Second})
	if took := time.Since(began); err != nil || !result.TimedOut || took > time.Second+t.Overhead {
		t.Errorf("code with a deadline of 1 s took %s and gives %+v, %v", took, result, err)
	}
}

func codeLanguageIsRefused(t *T) {
	runner := need[backends.CodeRunner](t, backends.CapabilityCode)
	_, err := runner.RunCode(t.ctx, t.remote(), backends.SourceCode{Language: "intercal", Source: "PLEASE GIVE UP"})
	t.wantCode("code in a language that nobody has", err, backends.Unsupported)
}
