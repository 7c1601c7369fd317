// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// The images that a node has from the start. Nobody else can have them, for no name under .test leads anywhere: the pods of a
// test use them with the pull policy Never or IfNotPresent.
const (
	// Busybox has a shell and the usual commands.
	Busybox = "images.test/busybox:1"
	// NoTar has a shell and the commands that the operator needs to run others, but no tar.
	NoTar = "images.test/no-tar:1"
	// NoShell has one program, /pause, which sleeps until it is ended: no shell and no other command.
	NoShell = "images.test/no-shell:1"
	// Pause is what holds a pod's namespaces.
	Pause = "images.test/pause:1"
)

// makeImages writes the images to archives, and returns their paths.
func (n *Node) makeImages(ctx context.Context, inside string) ([]string, error) {
	commands, err := n.busyboxCommands(ctx)
	if err != nil {
		return nil, err
	}
	busybox := file{"bin/busybox", n.programs.busybox}
	pause := file{"pause", inside}
	var few []string
	for _, command := range commands {
		if command != "tar" && command != "cpio" && command != "ar" {
			few = append(few, command)
		}
	}
	var archives []string
	for _, image := range []struct {
		reference string
		file      file
		commands  []string
		config    v1.Config
	}{
		{Busybox, busybox, commands, v1.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}},
		{NoTar, busybox, few, v1.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}},
		{NoShell, pause, nil, v1.Config{Entrypoint: []string{"/pause", "pause"}}},
		{Pause, pause, nil, v1.Config{Entrypoint: []string{"/pause", "pause"}, User: "65535:65535"}},
	} {
		archive := filepath.Join(n.Dir, "images", strings.NewReplacer("/", "-", ":", "-").Replace(image.reference)+".tar")
		if err := writeImage(archive, image.reference, image.file, image.commands, image.config); err != nil {
			return nil, fmt.Errorf("making the image %s: %w", image.reference, err)
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// busyboxCommands are the names that the machine's busybox goes by.
func (n *Node) busyboxCommands(ctx context.Context) ([]string, error) {
	output, err := n.control.run(ctx, n.programs.busybox, "--list")
	return strings.Fields(string(output)), err
}

// file is one that an image has from this machine.
type file struct{ path, source string }

func writeImage(archive, reference string, program file, commands []string, config v1.Config) error {
	if err := os.MkdirAll(filepath.Dir(archive), 0o700); err != nil {
		return err
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	content, err := layerOf(program, commands)
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	if image, err = mutate.ConfigFile(image, platformOf(image, config)); err != nil {
		return err
	}
	return tarball.WriteToFile(archive, tag, image)
}

func layerOf(program file, commands []string) ([]byte, error) {
	content, err := os.ReadFile(program.source)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	layer := tar.NewWriter(&buffer)
	for _, folder := range []string{"bin/", "etc/", "home/", "root/"} {
		if err := layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	for folder, mode := range map[string]int64{"tmp/": 0o1777} {
		if err := layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: mode}); err != nil {
			return nil, err
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: program.path, Mode: 0o755, Size: int64(len(content))}
	if err := layer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := layer.Write(content); err != nil {
		return nil, err
	}
	for _, command := range commands {
		link := &tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + command, Linkname: "busybox", Mode: 0o777}
		if command == "busybox" {
			continue
		}
		if err := layer.WriteHeader(link); err != nil {
			return nil, err
		}
	}
	return buffer.Bytes(), layer.Close()
}

// Load makes the image of an archive (docker save's or an OCI layout's) known to every worker.
func (n *Node) Load(ctx context.Context, archive string) error {
	for i := range n.workers {
		w := &n.workers[i]
		if _, err := n.control.run(ctx, "ctr", "--address", w.socket(), "--namespace", "k8s.io",
			"images", "import", "--snapshotter", snapshotter(n.Dir), archive); err != nil {
			return fmt.Errorf("loading %s on %s: %w", archive, w.name, err)
		}
	}
	return nil
}

// platformOf completes an image's configuration: a runtime refuses one of another architecture, or of none.
func platformOf(image v1.Image, config v1.Config) *v1.ConfigFile {
	of := &v1.ConfigFile{RootFS: v1.RootFS{Type: "layers"}}
	if file, err := image.ConfigFile(); err == nil {
		of = file.DeepCopy()
	}
	of.OS, of.Architecture, of.Config = "linux", runtime.GOARCH, config
	return of
}
