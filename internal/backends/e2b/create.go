// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const operationCreate = "create"

// sandboxOptions are the parameters of a Sandbox.
type sandboxOptions struct {
	// PublicTraffic says whether its ports answer without a token.
	PublicTraffic *bool `json:"publicTraffic"`
}

// Create implements backends.Backend. E2B answers when the sandbox runs.
func (b *backend) Create(ctx context.Context, r backends.CreateRequest) (backends.Remote, error) {
	now := time.Now()
	body, err := b.createBody(r, now)
	if err != nil {
		return backends.Remote{}, err
	}
	if err := b.checkResources(ctx, r.Resources, body.TemplateID); err != nil {
		return backends.Remote{}, err
	}
	var made access
	call := request{operation: operationCreate, method: http.MethodPost, path: "/sandboxes", body: body, effect: true}
	if _, err := b.ask(ctx, call, &made); err != nil {
		return backends.Remote{}, err
	}
	if checkID(operationCreate, made.SandboxID) != nil {
		return backends.Remote{}, backends.Errorf(backends.Ambiguous, Name, operationCreate, "E2B made a sandbox without a proper ID")
	}
	b.places.keep(made.SandboxID, placeOf(made, body.Metadata))
	return described{
		SandboxID: made.SandboxID, TemplateID: made.TemplateID, State: "running", Metadata: body.Metadata,
		EndAt: time.Now().Add(time.Duration(body.Timeout) * time.Second),
	}.remote(), nil
}

// createBody is what E2B is asked for, or says what it can't be.
func (b *backend) createBody(r backends.CreateRequest, now time.Time) (createBody, error) {
	own, err := backends.DecodeParameters[sandboxOptions](r.Parameters)
	if err != nil {
		return createBody{}, invalid(operationCreate, "%w", err)
	}
	if err := b.refuse(r); err != nil {
		return createBody{}, err
	}
	lifetime, err := b.lifetime(operationCreate, r.Lifetime)
	if err != nil {
		return createBody{}, err
	}
	metadata, err := metadataOf(r, now, lifetime)
	if err != nil {
		return createBody{}, err
	}
	body := createBody{
		TemplateID: b.source(r.Source), Timeout: seconds(lifetime), Secure: true, Metadata: metadata, EnvVars: r.Env,
	}
	body.AllowInternetAccess, body.Network, err = networkOf(r.Network)
	if public := first(own.PublicTraffic, b.options.PublicTraffic); public != nil && !*public {
		if body.Network == nil {
			body.Network = &networkBody{}
		}
		body.Network.AllowPublicTraffic = public
	}
	return body, err
}

func first[T any](pointers ...*T) *T {
	for _, pointer := range pointers {
		if pointer != nil {
			return pointer
		}
	}
	return nil
}

// refuse says what E2B has not, before anything is made.
func (b *backend) refuse(r backends.CreateRequest) error {
	unsupported := func(format string, args ...any) error {
		return backends.Errorf(backends.Unsupported, Name, operationCreate, format, args...)
	}
	switch {
	case r.Source.Image != "":
		return unsupported("E2B makes sandboxes from templates: build one from the image (e2b template create), " +
			"and name it in source.template")
	case r.Source.Template != "" && r.Source.Snapshot != "":
		return invalid(operationCreate, "a source is a template or a snapshot, not both")
	case r.Resources.GPUs != 0 || r.Resources.GPUModel != "":
		return unsupported("E2B has no GPUs")
	case r.User != "" && !isUserName(r.User):
		return unsupported("E2B knows users by name, not by number: %q", backends.Bounded(r.User, 64))
	case r.WorkingDir != "" && !path.IsAbs(r.WorkingDir):
		return invalid(operationCreate, "the working directory is not absolute")
	}
	for _, port := range r.Ports {
		if err := checkPort(operationCreate, port); err != nil {
			return err
		}
	}
	return nil
}

func isUserName(name string) bool {
	_, err := strconv.Atoi(name)
	return err != nil && !strings.Contains(name, ":")
}

func (b *backend) source(s backends.Source) string {
	for _, name := range []string{s.Snapshot, s.Template} {
		if name != "" {
			return name
		}
	}
	return b.options.Template
}

// lifetime checks one that is asked for; 0 = as long as E2B allows. One that is beyond the team's plan is cut to it, for the
// operator renews what it still needs.
func (b *backend) lifetime(operation string, asked time.Duration) (time.Duration, error) {
	if asked < 0 || asked > mostLifetime || asked > 0 && asked < time.Second {
		return 0, invalid(operation, "a lifetime must be 1 to %d seconds at E2B", seconds(mostLifetime))
	}
	if asked == 0 {
		return b.options.most(), nil
	}
	return min(asked, b.options.most()), nil
}

// networkOf is what a sandbox may reach, in E2B's words.
func networkOf(n backends.Network) (*bool, *networkBody, error) {
	switch n.Policy {
	case "":
		return nil, nil, nil
	case backends.NetworkAllow:
		return new(true), nil, nil
	case backends.NetworkDeny:
		return new(false), nil, nil
	case backends.NetworkRestricted:
		if len(n.Hosts)+len(n.CIDRs) == 0 {
			return new(false), nil, nil
		}
		return nil, &networkBody{AllowOut: slices.Concat(n.Hosts, n.CIDRs), DenyOut: []string{"0.0.0.0/0"}}, nil
	}
	return nil, nil, backends.Errorf(backends.Unsupported, Name, operationCreate, "there is no network policy %q", n.Policy)
}

// checkResources compares what is asked for with what the template has: E2B has no other way to say it.
func (b *backend) checkResources(ctx context.Context, r backends.Resources, name string) error {
	if r == (backends.Resources{}) {
		return nil
	}
	has, err := b.template(ctx, name)
	if err != nil {
		return err
	}
	const advice = "at E2B, CPU, memory and disk belong to the template: remove spec.resources, " +
		"or name a template that was built with these"
	if has == nil {
		return invalid(operationCreate, "%s (what template %q has is not known to this team's API key)", advice,
			backends.Bounded(name, 128))
	}
	const mebibyte = 1 << 20
	for _, figure := range []struct{ asked, has int64 }{
		{r.MilliCPU, has.CPUCount * 1000}, {r.MemoryBytes, has.MemoryMB * mebibyte}, {r.DiskBytes, has.DiskSizeMB * mebibyte},
	} {
		if figure.asked != 0 && figure.asked != figure.has {
			return invalid(operationCreate, "%s (template %q has cpu: %d, memory: %dMi, disk: %dMi)", advice,
				backends.Bounded(name, 128), has.CPUCount, has.MemoryMB, has.DiskSizeMB)
		}
	}
	return nil
}

// template finds one of the team's by its ID or name, without the tag; nil = it has none of that name.
func (b *backend) template(ctx context.Context, name string) (*templateBody, error) {
	untagged, _, _ := strings.Cut(name, ":")
	for page, err := range pages[templateBody](ctx, b, request{operation: operationCreate, method: http.MethodGet, path: "/v2/templates"}) {
		if err != nil {
			return nil, err
		}
		for _, t := range page {
			if t.TemplateID == untagged || slices.Contains(slices.Concat(t.Names, t.Aliases), untagged) {
				return &t, nil
			}
		}
	}
	return nil, nil //nolint:nilnil // none is no error
}

func invalid(operation, format string, args ...any) error {
	return backends.Errorf(backends.Invalid, Name, operation, format, args...)
}

// checkPort refuses what E2B's hosts don't carry: they speak HTTPS outside, and plain HTTP with the sandbox.
func checkPort(operation string, port backends.Port) error {
	if port.Protocol == backends.ProtocolHTTP {
		return nil
	}
	return backends.Errorf(backends.Unsupported, Name, operation, "port %s can't be reached at E2B: its ports are for HTTP only, not %s",
		fmt.Sprint(port.Number), port.Protocol)
}
