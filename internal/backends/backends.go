// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package backends is the contract between the operator and a kind of provider.
//
// A backend is the adapter for one kind of provider (E2B, Daytona, this machine). Its model is io/fs: [Backend] is the
// small interface that each one implements; further abilities (native file access, look-up by name) are optional
// interfaces, and the package's functions, such as [ReadFile], use the optional interface where a backend has it and fall
// back to RunCommand where it has not. Callers therefore never ask what a backend can do before they use it.
//
// backends.go holds the contract, optional.go the further abilities, errors.go the typed errors, mark.go what is written on
// every remote, registry.go how backends are found by name, reach.go which hosts they may dial, pages.go how a list of many pages
// keeps a rate, parameters.go the strict decoding of free-form options, files.go the file operations, filecommands.go their
// fall-backs, and shell.go the pieces of POSIX shell that more than one place needs.
package backends

import (
	"context"
	"encoding/json"
	"time"
)

// Backend is what every provider can do. Implementations are safe for concurrent use, keep no state about remotes that
// the provider does not keep too, and neither retry, sleep nor cache beyond what the provider's protocol needs: the
// caller owns deadlines, rate limits and retries.
//
// Errors are of type [*Error]; anything else that comes out of a backend is a bug and is treated as [Ambiguous] where the
// call could have had an effect.
type Backend interface {
	// Create makes a remote and returns when the provider has accepted it; Remote.State says whether it already runs.
	// Where names are unique at the provider, a second Create with the same name fails with AlreadyExists.
	// An error of code Ambiguous or Unavailable may have had its effect; Invalid, Unauthorized, QuotaExceeded, RateLimited
	// and Unsupported certainly had none.
	Create(ctx context.Context, request CreateRequest) (Remote, error)

	// Get says what the provider knows of the remote. It never changes, wakes or extends it. NotFound means that it
	// certainly does not exist (any more).
	Get(ctx context.Context, id string) (Remote, error)

	// List returns all remotes that match the filter, from all pages, in no particular order. It calls NextPage before each page
	// but the first.
	List(ctx context.Context, filter Filter) ([]Remote, error)

	// Destroy asks the provider to destroy the remote and everything in it. A remote that does not exist is NotFound.
	// A nil error means accepted; it is gone when Get says NotFound.
	Destroy(ctx context.Context, id string) error

	// RunCommand runs one command in the remote and waits for its end. A command that ran and failed is no error: its exit
	// code is in the Result. An error means that the outcome of the command is not known, except for the codes NotFound,
	// NotRunning and Invalid, with which it certainly did not start.
	//
	// When ctx ends, the call ends, but the command may go on; Command.Timeout is what kills it.
	RunCommand(ctx context.Context, id string, command Command) (Result, error)
}

// NameFinder is implemented by backends whose remotes have unique names that the operator chooses.
type NameFinder interface {
	// FindByName returns the remote that was created with this name, or NotFound.
	FindByName(ctx context.Context, name string) (Remote, error)
}

// SpoolRooter is implemented by backends for which [DefaultSpoolRoot] is not the right place.
type SpoolRooter interface {
	// SpoolRoot returns the absolute path in the remote under which execution keeps fences and spools. It is a function
	// of the ID alone and never changes while the remote exists. It makes no call.
	SpoolRoot(id string) string
}

// DefaultSpoolRoot is where fences and spools live in remotes of backends that say nothing else.
const DefaultSpoolRoot = "/tmp/.sandboxes.run"

// SpoolRoot returns the directory in the remote for fences and spools.
func SpoolRoot(b Backend, id string) string {
	if rooter, ok := b.(SpoolRooter); ok {
		return rooter.SpoolRoot(id)
	}
	return DefaultSpoolRoot
}

// CreateRequest is a remote to be made.
type CreateRequest struct {
	// Name is made from the Sandbox's UID and the incarnation: lower case letters, digits and dashes, at most 63 bytes.
	// Backends whose provider has unique names use it as the name.
	Name string
	// Mark is put on the remote, so that it can be found again from the provider's list alone.
	Mark Mark
	// Source is the root filesystem; with neither field set, the backend's own default.
	Source Source
	// Resources are hard limits; zero values mean the provider's default.
	Resources Resources
	// Env holds plain values only. Values that came from Secrets are never part of a create call.
	Env map[string]string
	// WorkingDir is the absolute directory in which commands start that name none; it is made where it is missing.
	// Empty means the source's own.
	WorkingDir string
	// Labels of the user's, put on the remote beside the mark.
	Labels map[string]string
	// User runs commands that name none; empty means the source's own. Only where the backend has CapabilityUser.
	User string
	// Network is what the remote may reach.
	Network Network
	// Ports that shall be reachable, for backends that must know them beforehand.
	Ports []Port
	// Lifetime is after what time the provider ends the remote by itself, unless SetLifetime says otherwise; 0 = never, or
	// as late as the provider allows. Only with CapabilityLifetime.
	Lifetime time.Duration
	// Parameters are the backend's own options of this remote, undecoded.
	Parameters json.RawMessage
}

// Source names the root filesystem of a remote. At most one field is set.
type Source struct {
	// Image is an OCI image reference.
	Image string
	// Template is the provider's own name of a prepared filesystem.
	Template string
	// Snapshot is the provider's own name of a remote's saved state.
	Snapshot string
}

// Resources are hard limits of a remote.
type Resources struct {
	// MilliCPU is thousandths of a CPU.
	MilliCPU int64
	// MemoryBytes and DiskBytes are bytes.
	MemoryBytes int64
	DiskBytes   int64
	// GPUs is how many, and GPUModel which; empty = any.
	GPUs     int64
	GPUModel string
}

// State is what a provider says of a remote.
type State string

// The states of a remote.
const (
	// StateCreating: accepted, not usable yet.
	StateCreating State = "Creating"
	// StateRunning: commands can run.
	StateRunning State = "Running"
	// StatePaused: kept with its memory or disk, must be resumed before commands can run.
	StatePaused State = "Paused"
	// StateStopped: exists, but its processes ended and will not come back by themselves (out of memory, crashed).
	StateStopped State = "Stopped"
)

// Remote is what a provider says of one sandbox.
type Remote struct {
	// ID is the provider's identifier.
	ID string
	// Name is the unique name, where the provider has one.
	Name string
	// State as the provider last said. A backend probes what its provider is known to misreport.
	State State
	// Reason says why, for states other than Running: a sentence, bounded, with no secrets, which changes only when the reason does. Of
	// one that is being made it is what stands in the way; empty = nothing does.
	Reason string
	// Mark is what the operator put on it; the zero value on remotes that it did not make.
	Mark Mark
	// Labels beside the mark.
	Labels map[string]string
	// Image is the resolved image reference with its digest, or the template; empty where the provider does not say.
	Image string
	// CreatedAt is the provider's creation time.
	CreatedAt time.Time
	// ExpiresAt is when the provider will end the remote by itself; zero = never.
	ExpiresAt time.Time
}

// Filter selects remotes by their mark. Empty fields match everything; remotes without a mark match only the zero Filter.
type Filter struct {
	// Installation selects the remotes of one installation.
	Installation string
	// UID selects the remotes of one Sandbox object.
	UID string
}

// Command is one command to run in a remote.
type Command struct {
	// Argv is the program and its arguments; never a shell line. It is never empty.
	Argv []string
	// WorkingDir is absolute; empty means the remote's own. One that does not exist gives Invalid or a command that failed:
	// the program never runs elsewhere.
	WorkingDir string
	// Env is added to the remote's own environment.
	Env map[string]string
	// User runs the command as this user of the remote; empty means the remote's own. An unknown one gives Invalid,
	// Unsupported or a command that failed: the program never runs as another.
	User string
	// Stdin is given to the command, then end of file. Nil and empty both mean an immediate end of file.
	Stdin []byte
	// Timeout kills the command with all that it started (its process tree, also what left its session) and sets
	// Result.TimedOut; 0 = none.
	Timeout time.Duration
	// OutputLimit is the most bytes of each stream that are returned; what comes after is read, counted in nothing, and
	// dropped, so that the command never blocks. 0 = DefaultOutputLimit.
	OutputLimit int64
}

// DefaultOutputLimit bounds each stream of a Result unless the Command says otherwise, in bytes.
const DefaultOutputLimit = 16 << 20

// Result is how a command ended.
type Result struct {
	// ExitCode of the first process: 0 to 255; 128 + n when signal n killed it; 127 when the program does not exist.
	ExitCode int
	// Stdout and Stderr are exact bytes, separate, each bounded by Command.OutputLimit.
	Stdout, Stderr []byte
	// StdoutTruncated and StderrTruncated say that the stream was longer than the limit.
	StdoutTruncated, StderrTruncated bool
	// TimedOut says that Command.Timeout killed it; ExitCode is then what the kill left, and means nothing.
	TimedOut bool
}
