// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package memory is a backend for tests: a [Provider] that keeps its remotes in memory, so that managers and backends may
// come, crash and go while the remotes stay, and that fails as its [Fault]s say.
//
// Commands really run, as processes of this machine in a throw-away directory for each remote, or are answered by
// [Options.RunCommandFunc]. There is no isolation whatever: a command can do all that the test can. The package is therefore
// for tests only and is never registered in internal/backends/all. It needs Linux's /proc to find processes again.
//
// memory.go holds the provider and its controls, backend.go the contract, abilities.go the optional abilities, code.go the
// running of code, fault.go injected trouble and call counts, command.go and process.go the commands, files.go the native
// file operations.
package memory

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Clock tells the time of creations, delays and lags. k8s.io/utils/clock has a real one and one that tests turn.
type Clock interface {
	// Now returns the time.
	Now() time.Time
	// After returns a channel that gets the time once, when it is d later.
	After(d time.Duration) <-chan time.Time
}

// Options say what the provider is like. The zero value creates at once, has native files, neither names nor credentials.
type Options struct {
	// Token is the credential that calls must have; empty means that the backend has no credentials.
	Token string
	// UniqueNames makes names unique, and backends implement backends.NameFinder.
	UniqueNames bool
	// WithoutFiles leaves file operations to RunCommand.
	WithoutFiles bool
	// Capabilities of the registration; nil = all. What is missing is refused with Unsupported, by Create and by the optional
	// operations. Images, templates, snapshots, resources, users, networks and ports are recorded (Provider.Request tells), and
	// nothing else comes of them; lifetimes, pauses, labels and code are real.
	Capabilities []backends.Capability
	// LeastLifetime and MostLifetime bound lifetimes; 0 = no bound. A lifetime of 0 means MostLifetime.
	LeastLifetime, MostLifetime time.Duration
	// EndpointToken is what the header EndpointHeader of each endpoint has; empty = endpoints need no header.
	EndpointToken string
	// EndpointSigned is how long the signed URL of each endpoint holds; 0 = they have none.
	EndpointSigned time.Duration
	// CreateDelay makes Create return a remote in state Creating, which runs after this time of the clock.
	CreateDelay time.Duration
	// HoldCreating keeps new remotes in state Creating until SetState says otherwise.
	HoldCreating bool
	// DestroyDelay is how long a destroyed remote is still there, in state Stopped.
	DestroyDelay time.Duration
	// ListLag is how long a new remote is missing from List and FindByName.
	ListLag time.Duration
	// MaxRemotes is the quota; 0 = none.
	MaxRemotes int
	// CreateDeadline and VisibilityDelay of the registration; 0 = 10 s and ListLag.
	CreateDeadline, VisibilityDelay time.Duration
	// RunCommandFunc answers commands in place of real processes. Remotes then have no directory and no files of their own, but
	// with KeepFiles.
	RunCommandFunc func(ctx context.Context, remote backends.Remote, command backends.Command) (backends.Result, error)
	// KeepFiles gives remotes their directories, and native files in them, also where RunCommandFunc answers commands.
	KeepFiles bool
	// Removed is told of each remote that is gone, whatever way it went. It is called with a lock held: it returns at once, and uses
	// none of the provider's controls.
	Removed func(id string)
	// Clock is the real one where it is nil. Command.Timeout always counts real time.
	Clock Clock
	// Dir takes the remotes' directories; empty = a new one under the machine's temporary directory.
	Dir string
	// ExactDir has a remote's directory be ID in Dir itself, and not in a new directory below it: who knows the ID knows the
	// directory.
	ExactDir bool
}

// Provider is what would be a service elsewhere. It is safe for concurrent use. Close it.
type Provider struct {
	mu      sync.Mutex
	options Options
	remotes map[string]*remote
	faults  []*fault
	counts  map[string]int
	// requests are those of all remotes that Create made, also of those that are gone.
	requests map[string]backends.CreateRequest
	// languages are what SetCode put in place.
	languages map[string]CodeFunc
	// dir is made with the first remote that needs one.
	dir string
}

// remote is one sandbox. Its fields are guarded by the provider's mutex, but for those that never change.
type remote struct {
	id, name, workingDir string
	labels, env          map[string]string
	image                string
	state                backends.State
	reason               string
	createdAt            time.Time
	// runsAt and goneAt are when the state changes by itself; zero = never.
	runsAt, goneAt time.Time
	// expiresAt is when the remote vanishes unless SetLifetime says otherwise; zero = never.
	expiresAt time.Time
	// hidden remotes exist, but the provider's answers deny it.
	hidden bool
	// dir is the remote's directory on this machine; empty where commands are simulated.
	dir      string
	commands *commands
}

// NewProvider returns a provider without remotes.
func NewProvider(options Options) *Provider {
	if options.Clock == nil {
		options.Clock = realClock{}
	}
	return &Provider{
		options: options, remotes: map[string]*remote{}, counts: map[string]int{},
		requests: map[string]backends.CreateRequest{}, languages: map[string]CodeFunc{},
	}
}

// Registration returns the registry entry under which the provider's backends are built.
func (p *Provider) Registration(name string) backends.Registration {
	options := p.currentOptions()
	registration := backends.Registration{
		Name: name, Summary: "remotes in the memory of a test",
		Setup:          backends.Setup{Where: "tests make their own", Docs: "docs/providers/" + name + ".md"},
		Capabilities:   options.capabilities(),
		CreateDeadline: options.CreateDeadline, VisibilityDelay: options.VisibilityDelay,
		LeastLifetime: options.LeastLifetime, MostLifetime: options.MostLifetime,
		New: func(_ context.Context, config backends.Config) (backends.Backend, error) {
			return p.backend(name, config)
		},
	}
	if registration.CreateDeadline == 0 {
		registration.CreateDeadline = 10 * time.Second
	}
	if registration.VisibilityDelay == 0 {
		registration.VisibilityDelay = options.ListLag
	}
	if options.Token != "" {
		registration.Setup.Keys = []backends.CredentialKey{{Name: tokenKey, Description: "the token of the test's provider"}}
	}
	return registration
}

// tokenKey is the key of the credentials Secret.
const tokenKey = "token"

func (o Options) capabilities() []backends.Capability {
	if o.Capabilities != nil {
		return o.Capabilities
	}
	return []backends.Capability{
		backends.CapabilityImage, backends.CapabilityTemplate, backends.CapabilitySnapshot, backends.CapabilityResources,
		backends.CapabilityGPU, backends.CapabilityUser, backends.CapabilityNetwork, backends.CapabilityLifetime,
		backends.CapabilityPause, backends.CapabilityEndpoints, backends.CapabilityLabels, backends.CapabilityCode,
	}
}

func (o Options) has(capability backends.Capability) bool {
	return slices.Contains(o.capabilities(), capability)
}

// Change changes the options of the running provider: a new token, a longer lag. UniqueNames and WithoutFiles only
// concern backends that are built later.
func (p *Provider) Change(change func(options *Options)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.options)
}

func (p *Provider) currentOptions() Options {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.options
}

// Remotes returns all remotes there are, those not yet visible included, oldest first.
func (p *Provider) Remotes() []backends.Remote {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passTime()
	var all []backends.Remote
	for _, r := range p.remotes {
		all = append(all, r.describe())
	}
	slices.SortFunc(all, func(a, b backends.Remote) int {
		if order := a.CreatedAt.Compare(b.CreatedAt); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

// Add puts a remote in place that no call made, such as another installation's. ID, CreatedAt and State are filled in
// where they are empty.
func (p *Provider) Add(described backends.Remote) (backends.Remote, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	request := backends.CreateRequest{Mark: described.Mark, Labels: described.Labels}
	r, err := p.newRemote(firstOf(described.ID, newID()), request)
	if err != nil {
		return backends.Remote{}, err
	}
	r.name = described.Name
	r.image, r.reason = described.Image, described.Reason
	r.state = firstOf(described.State, backends.StateRunning)
	if !described.CreatedAt.IsZero() {
		r.createdAt = described.CreatedAt
	}
	r.expiresAt = described.ExpiresAt
	if described.Mark == (backends.Mark{}) {
		r.labels = maps.Clone(described.Labels)
	}
	p.remotes[r.id] = r
	return r.describe(), nil
}

func firstOf[T comparable](values ...T) T {
	var zero T
	for _, value := range values {
		if value != zero {
			return value
		}
	}
	return zero
}

// SetState makes the provider say this of the remote from now on. Processes of a remote that is not running any more are
// killed; those of a paused one stand still. It says whether the remote exists.
func (p *Provider) SetState(id string, state backends.State, reason string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.remotes[id]
	if !ok {
		return false
	}
	r.change(state, reason)
	return true
}

// change puts the remote into a state, with its processes. The mutex is held.
func (r *remote) change(state backends.State, reason string) {
	before := r.state
	r.state, r.reason, r.runsAt = state, reason, time.Time{}
	switch {
	case state == backends.StateStopped:
		r.commands.kill()
	case state == backends.StatePaused:
		r.commands.freeze()
	case before == backends.StatePaused:
		r.commands.thaw()
	}
}

// Request returns what Create was given for the remote, also of one that is gone; false for remotes that no call made.
func (p *Provider) Request(id string) (backends.CreateRequest, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	request, ok := p.requests[id]
	return request, ok
}

// Hide makes Get, FindByName and List deny the remote, as a provider does whose replicas lag, until show is called. All else
// goes on working.
func (p *Provider) Hide(id string) (show func()) {
	set := func(hidden bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r, ok := p.remotes[id]; ok {
			r.hidden = hidden
		}
	}
	set(true)
	return func() { set(false) }
}

// Stop ends the remote's processes and leaves it Stopped, as a lack of memory would.
func (p *Provider) Stop(id string) bool {
	return p.SetState(id, backends.StateStopped, "the sandbox ran out of memory")
}

// Kill makes the remote vanish at once, with its processes and files. It says whether it existed.
func (p *Provider) Kill(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.remotes[id]
	if ok {
		p.remove(r)
	}
	return ok
}

// Dir returns the remote's directory on this machine, also of a remote that is gone. Paths of the remote that are not
// below it are taken as below Dir/root by file operations and working directories, so that tests can't write elsewhere by
// accident; commands see the machine as it is.
func (p *Provider) Dir(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return filepath.Join("/", p.dir, id)
}

// Close ends all processes and removes all files. Calls that are under way end.
func (p *Provider) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.remotes {
		p.remove(r)
	}
	if p.dir == "" {
		return nil
	}
	dir := p.dir
	p.dir = ""
	return os.RemoveAll(dir)
}

// hasFiles says that remotes have directories on this machine.
func (o Options) hasFiles() bool { return o.RunCommandFunc == nil || o.KeepFiles }

// remove takes the remote away with all that it has. The mutex is held.
func (p *Provider) remove(r *remote) {
	delete(p.remotes, r.id)
	r.commands.close()
	if p.options.Removed != nil {
		p.options.Removed(r.id)
	}
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// passTime brings states up to the clock. The mutex is held.
func (p *Provider) passTime() {
	now := p.options.Clock.Now()
	for _, r := range p.remotes {
		if !r.runsAt.IsZero() && !now.Before(r.runsAt) {
			r.state, r.reason, r.runsAt = backends.StateRunning, "", time.Time{}
		}
		for _, end := range []time.Time{r.goneAt, r.expiresAt} {
			if !end.IsZero() && !now.Before(end) {
				p.remove(r)
				break
			}
		}
	}
}

func newID() string { return "mem-" + strings.ToLower(rand.Text()[:12]) }

// newRemote makes a remote with its directory. The mutex is held; the caller adds it to the map.
func (p *Provider) newRemote(id string, request backends.CreateRequest) (*remote, error) {
	r := &remote{
		id: id, labels: withMark(request.Labels, request.Mark.Labels()), env: maps.Clone(request.Env),
		state: backends.StateRunning, createdAt: p.options.Clock.Now(), image: resolved(request.Source),
	}
	if p.options.UniqueNames {
		r.name = request.Name
	}
	if p.options.hasFiles() {
		if err := p.makeDirs(r, request.WorkingDir); err != nil {
			return nil, err
		}
	}
	r.commands = newCommands(remoteMarker+"="+r.id, r.dir)
	return r, nil
}

// withMark returns the user's labels with the mark's, which goes last: no label of the user's can forge it.
func withMark(labels, mark map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, labels)
	maps.Copy(all, mark)
	return all
}

func (o Options) makeDir() (string, error) {
	if o.ExactDir {
		return o.Dir, os.MkdirAll(o.Dir, 0o700)
	}
	return os.MkdirTemp(o.Dir, "sandboxes-memory-")
}

// makeDirs makes the directory of the remote, and in it those that every remote has.
func (p *Provider) makeDirs(r *remote, workingDir string) error {
	if p.dir == "" {
		dir, err := p.options.makeDir()
		if err != nil {
			return fmt.Errorf("making the provider's directory: %w", err)
		}
		if p.dir, err = filepath.EvalSymlinks(dir); err != nil {
			return fmt.Errorf("making the provider's directory: %w", err)
		}
	}
	r.dir = filepath.Join(p.dir, r.id)
	r.workingDir = filepath.Join(r.dir, "work")
	if workingDir != "" {
		r.workingDir = r.hostPath(workingDir)
	}
	for _, dir := range []string{filepath.Join(r.dir, "home"), filepath.Join(r.dir, "tmp"), r.hostPath("/"), r.workingDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the remote's directory: %w", err)
		}
	}
	return nil
}

// describe returns what the provider says of the remote. The mutex is held.
func (r *remote) describe() backends.Remote {
	mark, labels := backends.SplitLabels(r.labels)
	return backends.Remote{
		ID: r.id, Name: r.name, State: r.state, Reason: r.reason, Mark: mark, Labels: labels, Image: r.image,
		CreatedAt: r.createdAt, ExpiresAt: r.expiresAt,
	}
}

type realClock struct{}

func (realClock) Now() time.Time                         { return time.Now() }
func (realClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
