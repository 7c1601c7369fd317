// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image builds the operator's image without a container engine and without a registry: the same entrypoint, user, files
// and labels as the Dockerfile's last stage has, which a test holds. The result is an archive that `docker load`, `podman load`,
// `kind load image-archive` and `ctr images import` take. The same sources give the same bytes.
//
//	go run ./hack/image --tag controller:latest --output dist/image.tar
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := source{}
	tag := flag.String("tag", "controller:latest", "name of the image")
	output := flag.String("output", "dist/image.tar", "file to write")
	flag.StringVar(&s.version, "version", "unknown", "version that the manager reports")
	flag.StringVar(&s.architecture, "arch", runtime.GOARCH, "architecture that the image is for, as Go names it")
	flag.StringVar(&s.certificates, "ca-certificates", "/etc/ssl/certs/ca-certificates.crt", "file with the authorities to trust")
	flag.Parse()
	// Without the registry that container engines put in front of a name by themselves, and that nobody wrote.
	reference, err := name.NewTag(*tag, name.WithDefaultRegistry(""))
	if err != nil {
		return err
	}
	image, err := build(ctx, &s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*output), 0o750); err != nil {
		return err
	}
	partial := *output + ".partial"
	if err := tarball.WriteToFile(partial, reference, image); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	size, err := compressedSize(image)
	if err != nil {
		return err
	}
	if err := os.Rename(partial, *output); err != nil {
		return err
	}
	fmt.Printf("Wrote %s: %s for linux/%s, %.1f MB compressed\n", *output, reference, s.architecture, float64(size)/1e6)
	return nil
}
