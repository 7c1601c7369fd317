// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package bench measures the real manager, a process of its own, on a real API server: how long Sandboxes and SandboxExecs take
// as a watching client sees it, how many are done in a second, and what that costs in writes, provider calls, CPU and memory. The
// provider is in the manager's memory, so that all of the time is the operator's and the API server's. A bare controller that makes
// the same writes, and does nothing else, is measured beside it in the same run: what it reaches, no operator can surpass on that
// machine, and the ratio to it is what machines can be compared by.
//
// bench.go is the stage, process.go the programs, load.go makes and deletes objects and takes the time, counters.go counts requests
// and calls, profiles.go takes profiles, scenarios.go, mixture.go and crowd.go are what is measured, figures.go says what came of it,
// and ranges.go holds that against ranges.yaml. The command in cmd/ runs it.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// The programs that are measured.
const (
	// Manager is the operator.
	Manager = "manager"
	// Floor is the bare controller.
	Floor = "floor"
)

// Program is one of them, with arguments.
type Program struct {
	Name      string
	arguments []string
}

func floor(arguments ...string) Program { return Program{Name: Floor, arguments: arguments} }

func manager(arguments ...string) Program {
	return Program{Name: Manager, arguments: append([]string{
		"--backends=bench", "--health-probe-bind-address=0", "--zap-devel=false", "--compact-after=-1s",
	}, arguments...)}
}

const operatorNamespace = "sandbox-operator-system"

// Stage is a control plane, the programs, and what was measured.
type Stage struct {
	// Size is by what the numbers of objects are divided: 1 measures, and more only shows that everything works.
	Size int
	// MixedSeconds is how long the mixed load goes on.
	MixedSeconds int
	// Profiles is a folder for CPU profiles of the first seconds of each load; empty = none are taken, as they cost time.
	Profiles string
	// Out gets a line for each figure as it comes.
	Out io.Writer

	plane     *controlplane.ControlPlane
	client    client.Client
	clientset *kubernetes.Clientset
	dir       string
	figures   []Figures
}

// Open builds the programs and starts the control plane. Close it in any case.
func (s *Stage) Open(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return fmt.Errorf("setting the stage: %w", err)
	}
	return nil
}

func (s *Stage) open(ctx context.Context) error {
	var err error
	if s.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	for _, name := range []string{Manager, Floor, Crowd} {
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
	if s.clientset, err = kubernetes.NewForConfig(s.plane.Config); err != nil {
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

// Figures are all that were measured so far.
func (s *Stage) Figures() []Figures { return s.figures }

// record keeps figures, and prints them.
func (s *Stage) record(f Figures) {
	s.figures = append(s.figures, f)
	_, _ = fmt.Fprintln(s.Out, f.String())
}

// scaled is a number of objects in the stage's size.
func (s *Stage) scaled(objects int) int { return max(objects/max(s.Size, 1), 2) }
