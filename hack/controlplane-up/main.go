// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Command controlplane-up runs the control plane of package controlplane by itself, with the operator's CRDs in it, until
// it is interrupted. The demo uses it, and so can whoever wants a Kubernetes API for an afternoon:
//
//	go run ./hack/controlplane-up --kubeconfig /tmp/kubeconfig
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/hack/kubeconfig"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane-up:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// controller-runtime has a flag kubeconfig among those of the process, of another meaning.
	flags := flag.NewFlagSet("controlplane-up", flag.ExitOnError)
	target := flags.String("kubeconfig", "kubeconfig", "file to write the administrator's kubeconfig to; gone at the end")
	crds := flags.String("crds", "config/crd/bases", "folder with CRDs to install, from the repository's root; empty for none")
	dir := flags.String("dir", "", "empty folder for data and logs, which stays; by default a temporary one, which does not")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}

	options := controlplane.Options{Dir: *dir}
	if *crds != "" {
		options.CRDs = []string{*crds}
	}
	began := time.Now()
	plane, err := controlplane.Start(ctx, options)
	if err != nil {
		return err
	}
	if err := serve(ctx, plane, *target, time.Since(began)); err != nil {
		_ = plane.Stop()
		return err
	}
	return plane.Stop()
}

// serve hands out the kubeconfig and waits for the interrupt.
func serve(ctx context.Context, plane *controlplane.ControlPlane, target string, took time.Duration) error {
	return kubeconfig.Serve(ctx, plane.Kubeconfig, target, func(path string) {
		fmt.Printf("Control plane ready after %.1f s at %s, data and logs in %s\n", took.Seconds(), plane.Config.Host, plane.Dir)
		fmt.Printf("  export KUBECONFIG=%s\n  alias kubectl=%s\n", path, plane.Kubectl)
		fmt.Println("Ctrl-C or SIGTERM ends it.")
	})
}
