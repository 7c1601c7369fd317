// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package local is the backend that runs sandboxes on the operator's own Linux machine, each under its own gVisor kernel, by
// driving the runsc program. It needs no account and no network.
//
// A remote is a directory under the state directory (store.go) and one detached gVisor sandbox. Nothing else knows about it:
// no daemon, no memory of this process. So any number of operators may come and go, or share a state directory, and each
// finds what the others left.
//
// local.go is the registration, machine.go what the machine must have, create.go, observe.go, pause.go, lease.go and destroy.go
// the life of a remote, rootfs.go, image.go, registry.go and unpack.go its root filesystem, bundle.go and cgroup.go how it is
// confined, command.go, killtree.go and user.go how commands run in it, files.go native access to its work directory, relay.go
// the way to its ports, and runsc.go the one place that starts runsc.
package local

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Name of the backend in the registry.
const Name = "local"

const (
	defaultRoot  = "/var/lib/sandbox-operator/local"
	defaultRunsc = "runsc"
	// runscVariable names a runsc when the flag does not.
	runscVariable = "SANDBOX_RUNSC"
	// spoolRoot is made with the root filesystem, so that it exists before the first process runs.
	spoolRoot = "/run/sandboxes.run"
	// createDeadline leaves time to pull and unpack a large image.
	createDeadline = 5 * time.Minute
)

// settings are the backend's command line flags: what the machine's administrator decides, and no provider object may.
type settings struct {
	// root is the state directory.
	root string
	// runsc is a path, or a name to look up in PATH.
	runsc string
	// registries, separated by commas, may be on the machine itself.
	registries string
}

func (s *settings) trustedRegistries() []string {
	return strings.FieldsFunc(s.registries, func(r rune) bool { return r == ',' || r == ' ' })
}

// options are the parameters of a provider object. Authors of namespaced providers write them too, so none of them may
// name a path of the machine or raise what a sandbox is allowed to do.
type options struct {
	// Platform is how gVisor intercepts system calls.
	Platform string `json:"platform"`
}

// platforms are the values of options.Platform; the first is the default.
func platforms() []string { return []string{"systrap", "ptrace", "kvm"} }

// Registration returns the backend's entry in the registry.
func Registration() backends.Registration {
	s := &settings{root: defaultRoot, runsc: defaultRunsc}
	if path := os.Getenv(runscVariable); path != "" {
		s.runsc = path
	}
	return backends.Registration{
		Name:    Name,
		Aliases: []string{"gvisor", "runsc"},
		Summary: "gVisor sandboxes on the operator's own Linux machine",
		OptIn:   true,
		Setup: backends.Setup{
			Where: "no credentials; the operator must run as root on Linux, with the runsc program of gVisor (statically " +
				"linked) in its PATH or named by --local-runsc",
			Docs: "docs/providers/local.md",
		},
		Capabilities:   capabilitiesOfBackend(),
		LeastLifetime:  leastLifetime,
		CreateDeadline: createDeadline,
		// What was published by then is found, and will run.
		CreateEndsWithCaller: true,
		Flags:                s.addFlags,
		New:                  s.newBackend,
	}
}

// capabilitiesOfBackend are what it has. Of networks it has none, which is the policy Deny.
func capabilitiesOfBackend() []backends.Capability {
	return []backends.Capability{
		backends.CapabilityImage, backends.CapabilityResources, backends.CapabilityUser, backends.CapabilityNetwork,
		backends.CapabilityLifetime, backends.CapabilityPause, backends.CapabilityEndpoints, backends.CapabilityLabels,
	}
}

// leastLifetime is what the keeper of a lease, which counts in seconds, can keep.
const leastLifetime = time.Second

func (s *settings) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&s.root, "local-root", s.root,
		"directory in which the local backend keeps its sandboxes and images")
	flags.StringVar(&s.runsc, "local-runsc", s.runsc,
		"the runsc program of gVisor for the local backend: a path, or a name to find in PATH (default from "+runscVariable+")")
	flags.StringVar(&s.registries, "local-registries", s.registries,
		"registries (host:port,...) that the local backend may pull from although their address is loopback or link-local")
}

func (s *settings) newBackend(_ context.Context, config backends.Config) (backends.Backend, error) {
	parsed, err := parseOptions(config.Parameters)
	if err != nil {
		return nil, backends.Errorf(backends.Invalid, Name, "configure", "%w", err)
	}
	return openBackend(*s, parsed)
}

func parseOptions(raw []byte) (options, error) {
	parsed, err := backends.DecodeParameters[options](raw)
	if err != nil {
		return options{}, err
	}
	if parsed.Platform == "" {
		parsed.Platform = platforms()[0]
	}
	if !slices.Contains(platforms(), parsed.Platform) {
		return options{}, fmt.Errorf("parameter \"platform\" must be one of %s, not %q",
			strings.Join(platforms(), ", "), backends.Bounded(parsed.Platform, 64))
	}
	return parsed, nil
}
