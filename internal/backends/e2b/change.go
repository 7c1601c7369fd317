// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2b

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	operationDestroy  = "destroy"
	operationLifetime = "set lifetime"
	operationPause    = "pause"
	operationResume   = "resume"
	operationEndpoint = "endpoint"
)

// Destroy implements backends.Backend. Of a paused sandbox the snapshot goes.
func (b *backend) Destroy(ctx context.Context, id string) error {
	err := b.ofSandbox(ctx, operationDestroy, http.MethodDelete, id, "", nil, nil)
	if err == nil || errors.Is(err, backends.NotFound) {
		b.places.forget(id)
	}
	return err
}

// SetLifetime implements backends.LifetimeSetter. E2B silently cuts what is beyond the time that the plan leaves a sandbox, counted
// from when it was started or resumed.
func (b *backend) SetLifetime(ctx context.Context, id string, lifetime time.Duration) error {
	lifetime, err := b.lifetime(operationLifetime, lifetime)
	if err != nil {
		return err
	}
	return b.ofSandbox(ctx, operationLifetime, http.MethodPost, id, "/timeout", timeoutBody{seconds(lifetime)}, nil)
}

// Pause implements backends.Pauser. E2B answers when memory and disk are saved.
func (b *backend) Pause(ctx context.Context, id string) error {
	err := b.ofSandbox(ctx, operationPause, http.MethodPost, id, "/pause", struct{}{}, nil)
	if !errors.Is(err, errTransition) {
		return err
	}
	// It is paused already, or on its way to something else.
	if now, lookErr := b.look(ctx, operationPause, id); lookErr != nil {
		return lookErr
	} else if now.State == "paused" {
		return nil
	}
	return err
}

// Resume implements backends.Pauser. The sandbox gets the lifetime again that it was made with; of one that runs the end is
// at most put off.
func (b *backend) Resume(ctx context.Context, id string) error {
	now, err := b.look(ctx, operationResume, id)
	if err != nil || now.State == "running" {
		return err
	}
	_, err = b.connect(ctx, operationResume, id, b.lifetimeAgain(now.Metadata))
	return err
}

func (b *backend) lifetimeAgain(metadata map[string]string) int64 {
	given, err := strconv.ParseInt(metadata[metadataLifetime], 10, 64)
	if err != nil || given <= 0 {
		return b.options.MaxLifetimeSeconds
	}
	return min(given, b.options.MaxLifetimeSeconds)
}

// connect resumes a sandbox, or puts off the end of one that runs, and returns how it is entered.
func (b *backend) connect(ctx context.Context, operation, id string, timeout int64) (access, error) {
	var made access
	err := b.ofSandbox(ctx, operation, http.MethodPost, id, "/connect", timeoutBody{timeout}, &made)
	return made, err
}

// Endpoint implements backends.Endpointer. Every port of every sandbox has a host; nothing is opened.
func (b *backend) Endpoint(ctx context.Context, id string, port backends.Port) (backends.Endpoint, error) {
	if err := checkPort(operationEndpoint, port); err != nil {
		return backends.Endpoint{}, err
	}
	now, err := b.look(ctx, operationEndpoint, id)
	if err != nil {
		return backends.Endpoint{}, err
	}
	if err := b.checkDomain(operationEndpoint, now.Domain); err != nil {
		return backends.Endpoint{}, err
	}
	number := strconv.Itoa(int(port.Number))
	endpoint := backends.Endpoint{URL: b.options.host(id, number, now.Domain)}
	if b.options.SandboxURL != "" {
		endpoint = backends.Endpoint{URL: b.options.SandboxURL, Headers: map[string]string{headerID: id, headerPort: number}}
	}
	if !now.isPrivate() {
		return endpoint, nil
	}
	token, err := b.trafficToken(ctx, id, now)
	if endpoint.Headers == nil {
		endpoint.Headers = map[string]string{}
	}
	endpoint.Headers[headerTraffic] = token
	return endpoint, err
}

// trafficToken returns what opens the ports of a private sandbox. Only creation and connection tell it; of a sandbox that runs,
// connection changes no more than that it lives at least a second longer.
func (b *backend) trafficToken(ctx context.Context, id string, now described) (string, error) {
	if p, ok := b.places.find(id); ok && p.traffic != "" {
		return p.traffic, nil
	}
	if now.State != "running" {
		return "", notRunning(operationEndpoint)
	}
	made, err := b.connect(ctx, operationEndpoint, id, 1)
	if err != nil {
		return "", err
	}
	b.places.keep(id, placeOf(made, now.Metadata))
	return made.TrafficAccessToken, nil
}

func notRunning(operation string) error {
	return backends.Errorf(backends.NotRunning, Name, operation, "the sandbox is paused")
}
