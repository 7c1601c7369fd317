// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package bench measures the real manager, a process of its own, on a real API server: how long a Sandbox takes to be Ready and to be
// gone as a watching client sees it, how many a second, and what that costs the manager. The provider is in the manager's memory, so that
// all of the time is the operator's and the API server's. A bare controller that makes the same two writes is measured in the
// same run: what it reaches, no operator can surpass on that machine.
//
// bench.go is the stage and the programs, load.go makes and deletes objects and takes the time, and figures.go says what came of it.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// The programs that are measured.
const (
	Manager = "manager"
	Floor   = "floor"
)

const operatorNamespace = "sandbox-operator-system"

// Stage is a control plane, and the programs.
type Stage struct {
	plane  *controlplane.ControlPlane
	client client.Client
	dir    string
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
	if s.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	for _, name := range []string{Manager, Floor} {
		if err := binaries.Build(ctx, filepath.Join(s.dir, name), "./test/bench/"+name); err != nil {
			return err
		}
	}
	if s.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{"config/crd/bases"}}); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if s.client, err = client.New(s.plane.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return errors.Join(
		s.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}),
		s.client.Create(ctx, builders.MakeClusterProvider("bench", "bench").Default().Obj()))
}

// Close ends everything.
func (s *Stage) Close() error {
	var failures []error
	if s.plane != nil {
		failures = append(failures, s.plane.Stop())
	}
	return errors.Join(append(failures, os.RemoveAll(s.dir))...)
}

// process is a program that runs. Stop it.
type process struct{ command *exec.Cmd }

func (s *Stage) run(name string, arguments ...string) (*process, error) {
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(filepath.Join(s.dir, name), arguments...) //nolint:noctx // Stop ends it
	command.Env = append(os.Environ(), "KUBECONFIG="+s.plane.Kubeconfig)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return &process{command}, command.Start()
}

func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.command.Wait()
}
