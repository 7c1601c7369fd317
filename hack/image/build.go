// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// source is what an image is made of.
type source struct {
	version, architecture string
	certificates          string // a file
}

// Where the files are in the image, and as whom the manager runs.
const (
	certificatesPath = "/etc/ssl/certs/ca-certificates.crt"
	managerPath      = "/manager"
	// A number, so that Kubernetes can tell that it is not root.
	user = "65532:65532"
)

// build compiles the manager and makes the image: one layer a file, that of what changes seldom first.
func build(ctx context.Context, s *source) (v1.Image, error) {
	temporary, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	manager := filepath.Join(temporary, "manager")
	if err := compile(ctx, s, manager); err != nil {
		return nil, err
	}
	var layers []v1.Layer
	for _, file := range []struct {
		path, source string
		mode         int64
	}{{certificatesPath, s.certificates, 0o644}, {managerPath, manager, 0o755}} {
		layer, err := layerOf(file.path, file.source, file.mode)
		if err != nil {
			return nil, fmt.Errorf("putting %s into the image: %w", file.source, err)
		}
		layers = append(layers, layer)
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	return configured(image, s)
}

// flags are those of the Dockerfile's go build.
func flags(version string) []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + version}
}

func compile(ctx context.Context, s *source, output string) error {
	root, err := binaries.Root()
	if err != nil {
		return err
	}
	arguments := append([]string{"build"}, append(flags(s.version), "-o", output, "./cmd/manager")...)
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+s.architecture)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the manager: %w\n%s", err, text)
	}
	return nil
}

// layerOf has one file, and the folders that lead to it. Nothing in it says when it was made.
func layerOf(name, source string, mode int64) (v1.Layer, error) {
	content, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	layer := tar.NewWriter(&buffer)
	for _, folder := range foldersOf(name) {
		if err := layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name[1:], Mode: mode, Size: int64(len(content))}
	if err := layer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := layer.Write(content); err != nil {
		return nil, err
	}
	if err := layer.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil })
}

// foldersOf lists the folders above a file, as a tar archive names them, the outermost first.
func foldersOf(name string) []string {
	folder := path.Dir(name)
	if folder == "/" {
		return nil
	}
	return append(foldersOf(folder), folder[1:]+"/")
}

func configured(image v1.Image, s *source) (v1.Image, error) {
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", s.architecture
	file.Config = v1.Config{Entrypoint: []string{managerPath}, User: user, WorkingDir: "/", Labels: labels(s.version)}
	return mutate.ConfigFile(image, file)
}

// labels are those that registries and scanners know.
func labels(version string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    "sandbox-operator",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.source":   "https://github.com/sandbox-operator/sandbox-operator",
		"org.opencontainers.image.version":  version,
	}
}

// compressedSize is what a registry keeps, and a node fetches, in bytes.
func compressedSize(image v1.Image) (int64, error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}
