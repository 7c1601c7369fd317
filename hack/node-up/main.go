// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command node-up runs the cluster of package node by itself, a real one with pods that run, until it is interrupted:
//
//	bin/node-up --kubeconfig bin/node.kubeconfig
//
// It wants root and Debian's packages containerd, runc, containernetworking-plugins, busybox-static, iproute2 and nftables.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/hack/kubeconfig"
	"github.com/sandbox-operator/sandbox-operator/test/node"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "node-up:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// controller-runtime has a flag kubeconfig among those of the process, of another meaning.
	flags := flag.NewFlagSet("node-up", flag.ExitOnError)
	target := flags.String("kubeconfig", "kubeconfig", "file to write the administrator's kubeconfig to; gone at the end")
	var options node.Options
	flags.IntVar(&options.Workers, "workers", 1, "number of the cluster's nodes")
	flags.Func("image", "archive to load an image from, docker save's or an OCI layout; may be repeated", func(archive string) error {
		path, err := filepath.Abs(archive)
		options.Images = append(options.Images, path)
		return err
	})
	once := flags.Bool("once", false, "end as soon as the cluster is ready: it shows whether this machine can run one")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	began := time.Now()
	cluster, err := node.Start(ctx, options)
	if err != nil {
		return err
	}
	if *once {
		return cluster.Stop()
	}
	if err := serve(ctx, cluster, *target, time.Since(began)); err != nil {
		_ = cluster.Stop()
		return err
	}
	return cluster.Stop()
}

// serve hands out the kubeconfig and waits for the interrupt.
func serve(ctx context.Context, cluster *node.Node, target string, took time.Duration) error {
	return kubeconfig.Serve(ctx, cluster.Kubeconfig, target, func(path string) {
		fmt.Printf("Cluster ready after %.1f s at %s, data and logs in %s\n", took.Seconds(), cluster.Config.Host, cluster.Dir)
		fmt.Printf("  export KUBECONFIG=%s\n  alias kubectl=%s\n", path, cluster.Kubectl)
		fmt.Printf("Images in it: %s (shell and tools), %s (no tar), %s (one program alone).\n", node.Busybox, node.NoTar, node.NoShell)
		fmt.Println("Ctrl-C or SIGTERM ends it.")
	})
}
