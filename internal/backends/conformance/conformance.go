// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conformance is the contract of package backends in executable form. A backend's own test calls [Describe] with a
// [Subject], and gets a Ginkgo spec for each behaviour that the operator relies on.
//
// A [Check] is a plain function that complains through a [T], so that the suite itself can be tested: run against a backend
// that is broken on purpose, the right check must fail. conformance.go holds the machinery, lifecycle.go, listing.go,
// commands.go, streams.go, processes.go, files.go, abilities.go, concurrency.go and failures.go the checks.
package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Subject is a backend to be tested, and what the suite must know of it. What the backend can do is taken from its
// registration and its optional interfaces.
type Subject struct {
	// Registration is the backend's entry in the registry.
	Registration backends.Registration
	// Backend is fresh. Another is built independently for the same account: by another process, as it were.
	Backend, Another backends.Backend
	// Scratch returns a directory, in the remote of this ID, that commands and files may use. It need not exist.
	// Nil = /tmp/conformance.
	Scratch func(id string) string
	// Sources are tried one after the other; empty = the backend's default alone. The first serves all other checks.
	Sources []backends.Source
	// Language is one that RunCode has: python or shell, which is the default.
	Language string
	// Server returns a command that listens on a port of the remote, and answers each connection with these words once it
	// has read a line. Nil = whether endpoints reach anything is not checked.
	Server func(port int, answer string) []string
	// MakeError makes the backend fail with this code in some call from now on; remote is the ID of a running remote that
	// it may spoil for this. It returns a function that ends the trouble, and false for codes that can't be made.
	// Nil = none can.
	MakeError func(code backends.Code, remote string) (undo func(), possible bool)
	// Patience is how long the provider may take for a change to show, such as from accepted to running; 0 = 30 s.
	Patience time.Duration
	// Clock is the provider's, where tests can turn it forward instead of waiting; nil = the time itself.
	Clock Clock
	// Overhead is how much later than it should a single call may end, on a busy machine; 0 = 10 s.
	Overhead time.Duration
}

// PythonServer is a Subject's Server where python3 is in the remote: it listens on the loopback for as long as a check takes.
func PythonServer(port int, answer string) []string {
	const program = `import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
while True:
    c, _ = s.accept()
    c.recv(1)
    c.sendall(sys.argv[2].encode())
    c.shutdown(socket.SHUT_WR)
    c.recv(65536)
    c.close()
`
	return []string{"python3", "-c", program, strconv.Itoa(port), answer}
}

// Clock is one that tests can turn.
type Clock interface {
	// Now is the time that it shows.
	Now() time.Time
	// Advance turns it forward.
	Advance(by time.Duration)
}

// Check is one behaviour.
type Check struct {
	// Name completes "it ...".
	Name string
	// Run complains through t.
	Run func(t *T)
}

// Checks returns all checks.
func Checks() []Check {
	return slices.Concat(
		lifecycleChecks(), listingChecks(), commandChecks(), streamChecks(), processChecks(),
		fileChecks("", natively), fileChecks(" by command", byCommand), abilityChecks(), concurrencyChecks(),
		failureChecks(),
	)
}

// Describe adds the suite for one backend to the Ginkgo tree. The subject is made when the first spec runs.
func Describe(name string, subject func() Subject) bool {
	return ginkgo.Describe(name+" conformance", ginkgo.Ordered, ginkgo.ContinueOnFailure, func() {
		var suite *Suite
		ginkgo.BeforeAll(func() { suite = NewSuite(subject()) })
		ginkgo.AfterAll(func(ctx ginkgo.SpecContext) {
			if err := suite.Close(ctx); err != nil {
				ginkgo.Fail(err.Error())
			}
		})
		for _, check := range Checks() {
			ginkgo.It(check.Name, func(ctx ginkgo.SpecContext) {
				err := suite.Run(ctx, check)
				var skipped skip
				switch {
				case errors.As(err, &skipped):
					ginkgo.Skip(string(skipped))
				case err != nil:
					ginkgo.Fail(err.Error())
				}
			})
		}
	})
}

// Suite is one run of the checks against one subject. Its checks run one at a time.
type Suite struct {
	Subject
	// installation marks everything that this run makes.
	installation string
	// shared is the remote of checks that leave a remote as they found it.
	shared string
}

// NewSuite returns a suite. Close it.
func NewSuite(subject Subject) *Suite {
	if subject.Scratch == nil {
		subject.Scratch = func(string) string { return "/tmp/conformance" }
	}
	if len(subject.Sources) == 0 {
		subject.Sources = []backends.Source{{}}
	}
	if subject.Language == "" {
		subject.Language = "shell"
	}
	if subject.Patience == 0 {
		subject.Patience = 30 * time.Second
	}
	if subject.Overhead == 0 {
		subject.Overhead = 10 * time.Second
	}
	return &Suite{Subject: subject, installation: "conformance-" + unique()}
}

// unique returns a word that no other run uses.
func unique() string { return strings.ToLower(rand.Text()[:10]) }

// checkTimeout bounds one check.
const checkTimeout = 3 * time.Minute

// Run runs one check, and returns what it complained of. A check that does not apply to the subject returns an error for
// which [Skipped] is true.
func (s *Suite) Run(ctx context.Context, check Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	t := &T{Suite: s, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.cleanUp()
		defer t.recoverStop()
		check.Run(t)
	}()
	select {
	case <-done:
	case <-time.After(checkTimeout + s.Overhead):
		return fmt.Errorf("the check hangs, and so does a call that ought to end with its context (%s ago)", s.Overhead)
	}
	if t.skipped != "" && len(t.complaints) == 0 {
		return skip(t.skipped)
	}
	return errors.Join(t.complaints...)
}

// Close destroys what is left of the run.
func (s *Suite) Close(ctx context.Context) error {
	left, err := s.Backend.List(ctx, backends.Filter{Installation: s.installation})
	for _, remote := range left {
		if destroyErr := s.Backend.Destroy(ctx, remote.ID); !errors.Is(destroyErr, backends.NotFound) {
			err = errors.Join(err, destroyErr)
		}
	}
	return err
}

// skip is the reason why a check does not apply.
type skip string

func (s skip) Error() string { return "does not apply: " + string(s) }

// Skipped says whether a check did not apply.
func Skipped(err error) bool {
	var skipped skip
	return errors.As(err, &skipped)
}

// T is what a check works with: like a testing.T, with the means to make remotes and run commands in them.
type T struct {
	*Suite
	ctx context.Context //nolint:containedctx // a T lives for one check, like a testing.T

	mu         sync.Mutex
	complaints []error
	skipped    string
	cleanups   []func()
}

// stop unwinds a check.
type stop struct{}

// Errorf complains and goes on.
func (t *T) Errorf(format string, arguments ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.complaints = append(t.complaints, fmt.Errorf(format, arguments...))
}

// Fatalf complains and ends the check.
func (t *T) Fatalf(format string, arguments ...any) {
	t.Errorf(format, arguments...)
	panic(stop{})
}

// Skip ends a check that does not apply.
func (t *T) Skip(reason string) {
	t.skipped = reason
	panic(stop{})
}

// Cleanup calls the function when the check has ended, the last first.
func (t *T) Cleanup(clean func()) { t.cleanups = append(t.cleanups, clean) }

func (t *T) cleanUp() {
	// Remotes are destroyed although the check's time may be over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), t.Patience)
	defer cancel()
	t.ctx = ctx
	for _, clean := range slices.Backward(t.cleanups) {
		func() {
			defer t.recoverStop()
			clean()
		}()
	}
}

func (t *T) recoverStop() {
	switch reason := recover().(type) {
	case nil, stop:
	default:
		t.Errorf("the check panicked: %v", reason)
	}
}

// wantCode complains of an error that is not of this code, or is no good *Error.
func (t *T) wantCode(what string, err error, code backends.Code) {
	if err == nil {
		t.Errorf("%s succeeded; it must fail with %s", what, code)
		return
	}
	if !errors.Is(err, code) {
		t.Errorf("%s failed with %q (%s); it must be %s", what, err, backends.CodeOf(err), code)
	}
	t.wantTyped(what, err)
}

// wantTyped complains of an error that is no *Error, or does not say who failed at what.
func (t *T) wantTyped(what string, err error) {
	var typed *backends.Error
	if !errors.As(err, &typed) {
		t.Errorf("%s failed with %q, which is no *backends.Error: callers can't tell what it means", what, err)
		return
	}
	if typed.Operation == "" || typed.Message == "" || typed.Backend == "" {
		t.Errorf("%s failed with an error that doesn't say who failed at what: %#v", what, typed)
	}
	if len(typed.Message) > 1024 {
		t.Errorf("%s failed with a message of %d bytes: it does not fit a condition", what, len(typed.Message))
	}
}

// can says whether the backend's registration has the capability.
func (t *T) can(capability backends.Capability) bool {
	return slices.Contains(t.Registration.Capabilities, capability)
}

// request returns what Create needs for a remote of this run, of a Sandbox of its own.
func (t *T) request() backends.CreateRequest {
	uid := unique()
	return backends.CreateRequest{
		Name: "sbx-" + uid + "-1", Source: t.Sources[0],
		Mark: backends.Mark{
			Installation: t.installation, Namespace: "default", Name: "conformance", UID: uid, Incarnation: 1,
			DeletionPolicy: "Delete",
		},
	}
}

// create makes a remote that goes with the check, and waits until it runs.
func (t *T) create(request backends.CreateRequest) backends.Remote {
	created, err := t.Backend.Create(t.ctx, request)
	if err != nil {
		t.Fatalf("creating a remote: %v", err)
	}
	t.Cleanup(func() { t.destroy(created.ID) })
	if created.ID == "" {
		t.Fatalf("Create returned a remote without ID: nobody will find it again")
	}
	return t.untilRunning(created)
}

func (t *T) untilRunning(remote backends.Remote) backends.Remote {
	t.eventually("the new remote never runs", func() bool {
		if remote.State == backends.StateRunning {
			return true
		}
		var err error
		if remote, err = t.Backend.Get(t.ctx, remote.ID); err != nil {
			t.Fatalf("getting a remote that was just created: %v", err)
		}
		return remote.State == backends.StateRunning
	})
	return remote
}

// destroy destroys a remote, if it is still there.
func (t *T) destroy(id string) {
	if err := t.Backend.Destroy(t.ctx, id); err != nil && !errors.Is(err, backends.NotFound) {
		t.Errorf("destroying a remote after the check: %v", err)
	}
}

// untilGone waits until Get says NotFound.
func (t *T) untilGone(id string) {
	t.eventually("Get still finds a destroyed remote", func() bool {
		_, err := t.Backend.Get(t.ctx, id)
		if err != nil {
			t.wantCode("Get of a destroyed remote", err, backends.NotFound)
		}
		return err != nil
	})
}

// eventually waits with growing pauses for what the provider needs time for.
func (t *T) eventually(complaint string, done func() bool) {
	deadline := time.Now().Add(t.Patience)
	for pause := 5 * time.Millisecond; !done(); pause = min(2*pause, time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("%s (waited %s)", complaint, t.Patience)
		}
		select {
		case <-t.ctx.Done():
			t.Fatalf("%s: %v", complaint, t.ctx.Err())
		case <-time.After(pause):
		}
	}
}

// remote returns the ID of the run's shared remote.
func (t *T) remote() string {
	if t.shared != "" {
		if remote, err := t.Backend.Get(t.ctx, t.shared); err == nil && remote.State == backends.StateRunning {
			return t.shared
		}
		t.destroy(t.shared) // an earlier check broke it, and has complained
	}
	created, err := t.Backend.Create(t.ctx, t.request())
	if err != nil {
		t.Fatalf("creating a remote: %v", err)
	}
	t.shared = t.untilRunning(created).ID
	return t.shared
}

// scratch returns a fresh directory in the remote.
func (t *T) scratch(id string) string {
	dir := path.Join(t.Scratch(id), unique())
	t.mustRun(id, backends.Command{Argv: []string{"mkdir", "-p", dir}})
	return dir
}

// run runs a command that must give a result.
func (t *T) run(id string, command backends.Command) backends.Result {
	result, err := t.Backend.RunCommand(t.ctx, id, command)
	if err != nil {
		t.Fatalf("running %.100q: %v", command.Argv, err)
	}
	return result
}

// mustRun runs a command that must succeed.
func (t *T) mustRun(id string, command backends.Command) backends.Result {
	result := t.run(id, command)
	if result.ExitCode != 0 || result.TimedOut {
		t.Fatalf("%.200q must succeed: exit code %d, timed out: %v, %.200q", command.Argv, result.ExitCode, result.TimedOut,
			result.Stderr)
	}
	return result
}

// shell runs a script that must succeed, and returns its output.
func (t *T) shell(id, script string, arguments ...string) string {
	return string(t.mustRun(id, scriptCommand(script, arguments...)).Stdout)
}

// scriptCommand is a command that runs a shell script with arguments from $1.
func scriptCommand(script string, arguments ...string) backends.Command {
	return backends.Command{Argv: append([]string{"sh", "-c", script, "sh"}, arguments...)}
}

// awkward are words that careless quoting, encoding or joining breaks.
var awkward = []string{
	"", " ", "two words", "-n", "--", "*", "~", "it's", `"double"`, `back\slash`, `end\`, "$HOME", "$(id)", "`id`", "a;b|c&d>e",
	"new\nline", "ends in\n", "tab\t", "#no comment", "=", "a=b=c", "ünïcödé 世界 🎈", "''", "%s%n", "{a,b}", "&amp;<b>", "null",
}
