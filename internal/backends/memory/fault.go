// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// The operations, as faults and counts name them.
const (
	OperationCreate     = "create"
	OperationGet        = "get"
	OperationList       = "list"
	OperationDestroy    = "destroy"
	OperationRunCommand = "run command"
	OperationFindByName = "find by name"
	OperationReadFile   = "read file"
	OperationWriteFile  = "write file"
	OperationMakeDir    = "make directory"
	OperationReadDir    = "read directory"
	OperationStat       = "stat"
	OperationRemove     = "remove"

	OperationSetLifetime = "set lifetime"
	OperationPause       = "pause"
	OperationResume      = "resume"
	OperationEndpoint    = "endpoint"
	OperationSetLabels   = "set labels"
	OperationRunCode     = "run code"
)

// Call is one call of a backend, as a fault sees it. Of the fields after Operation, those are set that the operation has.
type Call struct {
	Operation string
	ID, Name  string
	Path      string
	Request   *backends.CreateRequest
	Filter    *backends.Filter
	Command   *backends.Command
	Code      *backends.SourceCode
	Port      *backends.Port
	Labels    map[string]string
	Lifetime  time.Duration
}

// Fault is trouble that the provider makes. Each call meets at most one fault: the first that matches. A call first waits for
// Gate and Delay, then fails with Err, if there is one: all this before the effect, or After it.
type Fault struct {
	// Operation that it strikes; empty = any.
	Operation string
	// If narrows it to some calls; nil = all. It is called with no lock held, and may use the provider's controls.
	If func(Call) bool
	// Times is how often it strikes; 0 = until it is removed.
	Times int
	// After the effect, which the caller then learns nothing of; otherwise before, and the call has no effect.
	After bool
	// Delay by the provider's clock. The call's context ends it early.
	Delay time.Duration
	// Gate holds the call until the test opens it, or the call's context ends.
	Gate *Gate
	// Err is returned; nil = the fault only delays. [Error] makes typed ones.
	Err error
}

type fault struct {
	Fault
	struck int
}

// Gate holds calls in the middle, so that a test can look.
type Gate struct {
	reached, open         chan struct{}
	reachedOnce, openOnce sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate { return &Gate{reached: make(chan struct{}), open: make(chan struct{})} }

// Reached is closed when the first call waits at the gate.
func (g *Gate) Reached() <-chan struct{} { return g.reached }

// Open lets all calls pass, those to come as well.
func (g *Gate) Open() { g.openOnce.Do(func() { close(g.open) }) }

func (g *Gate) wait(ctx context.Context) error {
	g.reachedOnce.Do(func() { close(g.reached) })
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Inject adds a fault, behind those there are. The function that it returns removes it.
func (p *Provider) Inject(f Fault) (remove func()) {
	injected := &fault{Fault: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, injected)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = slices.DeleteFunc(p.faults, func(other *fault) bool { return other == injected })
	}
}

// ClearFaults removes all faults. Calls that wait at a gate or for a delay go on waiting.
func (p *Provider) ClearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Error returns a typed error as the provider would give it, for faults.
func Error(code backends.Code, retryAfter time.Duration) error {
	err := backends.Errorf(code, "memory", "injected", "the test wants %s", code)
	err.RetryAfter = retryAfter
	return err
}

// Calls returns how often the operation was called, whether it succeeded or not.
func (p *Provider) Calls(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[operation]
}

// Counts returns how often each operation was called since the start or the last ResetCounts.
func (p *Provider) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// ResetCounts sets all counts to zero.
func (p *Provider) ResetCounts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.counts)
}

// call is the way of every call: it is counted, authorised, and meets its fault before or after the effect.
func (c *connection) call(ctx context.Context, call Call, effect func() error) error {
	if err := c.admit(ctx, call); err != nil {
		return err
	}
	struck := c.provider.strike(call)
	if struck == nil {
		return effect()
	}
	if !struck.After {
		if err := c.suffer(ctx, struck, call.Operation, backends.Unavailable); err != nil {
			return err
		}
		return effect()
	}
	err := effect()
	if trouble := c.suffer(ctx, struck, call.Operation, backends.Ambiguous); trouble != nil {
		return trouble
	}
	return err
}

// admit counts the call, and refuses it for a wrong token or an ended context.
func (c *connection) admit(ctx context.Context, call Call) error {
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	c.provider.counts[call.Operation]++
	if c.provider.options.Token != c.token && c.provider.options.Token != "" {
		return c.errorf(backends.Unauthorized, call.Operation, "the provider does not know this token")
	}
	if ctx.Err() != nil {
		return c.errorf(backends.Unavailable, call.Operation, "the call ended before it began: %w", ctx.Err())
	}
	return nil
}

// suffer waits as the fault says and returns its error. A context that ends meanwhile gives the code.
func (c *connection) suffer(ctx context.Context, f *fault, operation string, code backends.Code) error {
	if f.Gate != nil {
		if err := f.Gate.wait(ctx); err != nil {
			return c.errorf(code, operation, "the provider did not answer in time: %w", err)
		}
	}
	if f.Delay > 0 {
		select {
		case <-c.provider.currentOptions().Clock.After(f.Delay):
		case <-ctx.Done():
			return c.errorf(code, operation, "the provider did not answer in time: %w", ctx.Err())
		}
	}
	return f.Err
}

// strike returns the first fault that matches the call, and counts it.
func (p *Provider) strike(call Call) *fault {
	for _, candidate := range p.matching(call.Operation) {
		if candidate.If != nil && !candidate.If(call) {
			continue
		}
		if p.use(candidate) {
			return candidate
		}
	}
	return nil
}

func (p *Provider) matching(operation string) []*fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	var matching []*fault
	for _, candidate := range p.faults {
		if candidate.Operation == "" || candidate.Operation == operation {
			matching = append(matching, candidate)
		}
	}
	return matching
}

// use counts a strike; it is false where another call used the fault up meanwhile.
func (p *Provider) use(f *fault) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.Times > 0 && f.struck >= f.Times || !slices.Contains(p.faults, f) {
		return false
	}
	f.struck++
	return true
}
