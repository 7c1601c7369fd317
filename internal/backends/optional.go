// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"context"
	"time"
)

// LifetimeSetter is implemented by backends whose provider ends a remote by itself, and lets that end be moved. The operator
// renews a lease with it, so that a remote which nobody renews dies.
type LifetimeSetter interface {
	// SetLifetime has the provider end the remote so long from now, whatever was said before: it is gone then, or Stopped until somebody
	// destroys what the provider keeps of it. 0 lifts the end, or puts it as far away as the provider allows. A lifetime that the provider does not take is Invalid, with the bounds in the message.
	SetLifetime(ctx context.Context, id string, lifetime time.Duration) error
}

// Pauser is implemented by backends that can pause a remote and resume it with what it had in memory, or on disk where the
// documentation of the backend says so. Both are safe to repeat: a remote that is in that state already is no error.
type Pauser interface {
	// Pause keeps the remote, and stops what costs money for running it.
	Pause(ctx context.Context, id string) error
	// Resume makes it run again.
	Resume(ctx context.Context, id string) error
}

// Endpointer is implemented by backends that can make a port of a remote reachable.
type Endpointer interface {
	// Endpoint returns how to reach the port. It may open the way, is safe to repeat, and does not need anything to listen.
	Endpoint(ctx context.Context, id string, port Port) (Endpoint, error)
}

// Labeler is implemented by backends that can change the labels of a remote.
type Labeler interface {
	// SetLabels replaces the user's labels; the mark stays.
	SetLabels(ctx context.Context, id string, labels map[string]string) error
}

// Watcher is implemented by backends whose provider tells of changes by itself. What it tells is a hint: the operator asks Get before it
// believes it, and goes on to List each period, so that a hint which is lost only costs time.
type Watcher interface {
	// Watch calls changed for each remote of the installation that came or changed, and for those that are there when it begins, until
	// ctx ends, or the provider ends the watch, or it breaks; whoever calls begins another then. Of a remote that is gone the State is
	// empty. changed returns at once. Unsupported and Unauthorized mean that there is none to be had.
	Watch(ctx context.Context, installation string, changed func(Remote)) error
}

// CodeRunner is implemented by backends whose provider runs source text itself, such as a notebook kernel.
type CodeRunner interface {
	// RunCode runs the code and waits for its end. As with RunCommand, code that ran and failed is no error, and an error
	// other than NotFound, NotRunning, Unsupported and Invalid means that the outcome is not known.
	RunCode(ctx context.Context, id string, source SourceCode) (CodeResult, error)
}

// Port of a remote.
type Port struct {
	// Number is 1 to 65535.
	Number int32
	// Protocol is HTTP, HTTPS or TCP.
	Protocol Protocol
}

// Protocol of a port.
type Protocol string

// The protocols.
const (
	ProtocolHTTP  Protocol = "HTTP"
	ProtocolHTTPS Protocol = "HTTPS"
	ProtocolTCP   Protocol = "TCP"
)

// Endpoint is how a port is reached from outside.
type Endpoint struct {
	// URL holds no secret: http://, https:// or tcp://host:port.
	URL string
	// Headers must go with each request, such as an access token. They are secret.
	Headers map[string]string
	// SignedURL, where the remote asked for one, lets in whoever has it, without headers, until Expires. It is secret. The operator
	// asks for another in the last SignedURLRenewal of its time, so it must live longer than that.
	SignedURL string
	Expires   time.Time
}

// SignedURLRenewal is how long before its end a signed URL is replaced.
const SignedURLRenewal = 30 * time.Minute

// Network is what a remote may reach.
type Network struct {
	// Policy; empty = the provider's own default.
	Policy NetworkPolicy
	// Hosts (names, with a leading "*." for all below) and CIDRs are what Restricted lets through.
	Hosts, CIDRs []string
}

// NetworkPolicy says what a remote may reach.
type NetworkPolicy string

// The network policies.
const (
	// NetworkAllow: everything.
	NetworkAllow NetworkPolicy = "Allow"
	// NetworkDeny: nothing.
	NetworkDeny NetworkPolicy = "Deny"
	// NetworkRestricted: the hosts and CIDRs that are named, and nothing else.
	NetworkRestricted NetworkPolicy = "Restricted"
)

// SourceCode is text for a provider's own interpreter.
type SourceCode struct {
	// Language is one of the words of spec.code.language.
	Language string
	// Source is the text.
	Source string
	// Arguments, WorkingDir and Env are those of a Command. What the provider's interpreter does not have is Unsupported.
	Arguments  []string
	WorkingDir string
	Env        map[string]string
	// Timeout ends the code and sets Result.TimedOut; 0 = none.
	Timeout time.Duration
	// OutputLimit bounds each stream, and all rich results together, in bytes. 0 = DefaultOutputLimit.
	OutputLimit int64
}

// CodeResult is how code ended.
type CodeResult struct {
	// Result has what was printed. ExitCode is 0, or 1 where the code failed; a traceback is at the end of Stderr.
	Result
	// Rich are what it displayed, in order.
	Rich []RichResult
}

// RichResult is one thing that code displayed.
type RichResult struct {
	// Name is unique among the results and usable as a file name, such as result-1.png.
	Name string
	// MediaType such as text/plain, application/json or image/png.
	MediaType string
	// Data are the bytes.
	Data []byte
}

// Wants returns the capabilities without which a remote can't be made as requested. A backend that lacks one of them answers
// Unsupported, and makes nothing.
func Wants(request CreateRequest) []Capability {
	var wanted []Capability
	for _, need := range []struct {
		capability Capability
		wanted     bool
	}{
		{CapabilityImage, request.Source.Image != ""},
		{CapabilityTemplate, request.Source.Template != ""},
		{CapabilitySnapshot, request.Source.Snapshot != ""},
		{CapabilityResources, request.Resources.MilliCPU != 0 || request.Resources.MemoryBytes != 0 || request.Resources.DiskBytes != 0},
		{CapabilityGPU, request.Resources.GPUs != 0 || request.Resources.GPUModel != ""},
		{CapabilityUser, request.User != ""},
		{CapabilityNetwork, request.Network.Policy != ""},
		{CapabilityEndpoints, len(request.Ports) > 0},
		{CapabilityLifetime, request.Lifetime != 0},
	} {
		if need.wanted {
			wanted = append(wanted, need.capability)
		}
	}
	return wanted
}
