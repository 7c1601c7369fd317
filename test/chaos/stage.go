// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package chaos runs the life of sandboxes and commands with the real manager in a process of its own, on a real API server, against
// a provider that can fail in every way; kills the manager at a chosen call; starts it again; and looks whether anything leaked,
// ran twice, or got stuck. docs/chaos.md tells how to read and replay it.
//
// stage.go is what all runs share, scene.go one run's surroundings, point.go the calls at which things happen, plan.go what happens
// in a run, lifecycle.go what the run does meanwhile, verdict.go what must hold afterwards, and timeline.go what a person reads when
// it does not. crowd.go is about what shows only with many sandboxes.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// operatorNamespace is the managers' own.
const operatorNamespace = "sandbox-operator-system"

// Stage is a control plane, and the programs of the suite.
type Stage struct {
	plane  *controlplane.ControlPlane
	client client.WithWatch
	// dir has the programs, and a directory for each scene.
	dir string
}

// NewStage builds the programs and starts the control plane. Close it.
func NewStage(ctx context.Context) (*Stage, error) {
	s := &Stage{}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("setting the stage: %w", err), s.Close())
	}
	return s, nil
}

func (s *Stage) start(ctx context.Context) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
		return err
	}
	built := make(chan error, 1)
	go func() { built <- errors.Join(s.build(ctx, "manager"), s.build(ctx, "provider")) }()
	s.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{"config/crd/bases"}})
	if err := errors.Join(err, <-built); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if s.client, err = client.NewWithWatch(s.plane.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return s.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}})
}

func (s *Stage) build(ctx context.Context, name string) error {
	return binaries.Build(ctx, s.program(name), "./test/chaos/"+name)
}

func (s *Stage) program(name string) string { return filepath.Join(s.dir, name) }

// Close ends everything.
func (s *Stage) Close() error {
	var failures []error
	if s.plane != nil {
		failures = append(failures, s.plane.Stop())
	}
	return errors.Join(append(failures, os.RemoveAll(s.dir))...)
}
