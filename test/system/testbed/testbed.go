// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package testbed runs the operator as its users do: the manager's program in a process of its own, with the backend local,
// against a real control plane. Between the two stands a proxy that counts the manager's writes and can stop any of them.
//
// suite.go runs specs, testbed.go starts and ends what they need, manager.go is the manager's process, remotes.go what the
// provider has, objects.go makes objects and waits for them, and report.go says what was the matter when a test fails.
package testbed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// Namespace is the operator's own.
const Namespace = "sandbox-operator-system"

// Bed is a running operator with all that it needs.
type Bed struct {
	// Plane is the control plane.
	Plane *controlplane.ControlPlane
	// Proxy is what the manager takes for the API server.
	Proxy *apiproxy.Proxy
	// Client has an administrator's rights, and does not go through the proxy.
	Client client.WithWatch
	// Provider is the backend of the manager's sandboxes, to see what there is and to clean up.
	Provider backends.Backend

	// dir is short: sockets of sandboxes are below it.
	dir        string
	program    string
	runsc      string
	registries []string
	more       []string

	mutex   sync.Mutex
	running *Manager
}

// Options say what a Bed starts with.
type Options struct {
	// Registries on this machine, as host:port, from which images may be pulled.
	Registries []string
	// Arguments of every manager, after the bed's own.
	Arguments []string
	// CRDs is the folder of the CRDs that are there at the beginning; empty = those of the current version.
	CRDs string
	// User and Groups are who the manager is to the API server; empty = an administrator.
	User   string
	Groups []string
}

// unfit says, in a line, why sandboxes can't run here; empty where they can.
func unfit() string {
	if os.Geteuid() != 0 {
		return "real sandboxes need root"
	}
	return ""
}

// Start builds and starts all but the manager: call StartManager.
func Start(ctx context.Context, options Options) (*Bed, error) {
	b := &Bed{registries: options.Registries, more: options.Arguments}
	if err := b.start(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a test bed: %w", err), b.Stop(ctx))
	}
	return b, nil
}

func (b *Bed) start(ctx context.Context, options Options) error {
	var err error
	if b.runsc, err = binaries.Runsc(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "sbx-"); err != nil {
		return err
	}
	built := make(chan error, 1)
	go func() { built <- b.build(ctx) }()
	b.Plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{cmp.Or(options.CRDs, "config/crd/bases")}})
	if err := errors.Join(err, <-built); err != nil {
		return err
	}
	config := b.Plane.Config
	if options.User != "" {
		if config, err = b.Plane.User(options.User, options.Groups...); err != nil {
			return err
		}
	}
	if b.Proxy, err = apiproxy.Start(config); err != nil {
		return err
	}
	if err := b.Proxy.WriteKubeconfig(b.kubeconfig()); err != nil {
		return err
	}
	if b.Provider, err = b.openProvider(ctx); err != nil {
		return err
	}
	b.Client, err = client.NewWithWatch(b.Plane.Config, client.Options{Scheme: newScheme()})
	if err != nil {
		return err
	}
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	return b.Client.Create(ctx, own)
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

func (b *Bed) build(ctx context.Context) error {
	b.program = filepath.Join(b.dir, "manager")
	return binaries.Build(ctx, b.program, "./cmd/manager")
}

func (b *Bed) kubeconfig() string { return filepath.Join(b.dir, "kubeconfig") }

// Stop ends everything, and destroys what sandboxes are left.
func (b *Bed) Stop(ctx context.Context) error {
	failures := []error{b.StopManager()}
	if b.Provider != nil {
		failures = append(failures, b.destroyAll(ctx))
	}
	if b.Proxy != nil {
		failures = append(failures, b.Proxy.Close())
	}
	if b.Plane != nil {
		failures = append(failures, b.Plane.Stop())
	}
	if b.dir != "" {
		failures = append(failures, os.RemoveAll(b.dir))
	}
	return errors.Join(failures...)
}

// stopTime is how long the manager may take to end when it is asked to.
const stopTime = 20 * time.Second
