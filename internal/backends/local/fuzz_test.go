// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A layer's names and links are those of who made the image: nothing is written but below the tree.
func FuzzLayer(f *testing.F) {
	f.Add(archive(
		tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Mode: 0o644}, tar.Header{Name: "../../outside", Typeflag: tar.TypeReg, Mode: 0o4755},
		tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "../.."}, tar.Header{Name: "link/outside", Typeflag: tar.TypeReg}))
	f.Add(archive(
		tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../sentinel"}, tar.Header{Name: ".wh...", Typeflag: tar.TypeReg},
		tar.Header{Name: "d/.wh..wh..opq", Typeflag: tar.TypeReg}, tar.Header{Name: "/", Typeflag: tar.TypeDir}))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		inside, sentinel := filepath.Join(dir, "inside"), filepath.Join(dir, "sentinel")
		for _, err := range []error{os.Mkdir(inside, 0o755), os.WriteFile(sentinel, []byte("untouched"), 0o600)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		unpackFuzzed(t, content, inside)
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 2 {
			t.Errorf("beside the tree is %v: %v", left, err)
		}
		about, err := os.Stat(sentinel)
		if text, readErr := os.ReadFile(sentinel); readErr != nil || err != nil || string(text) != "untouched" || about.Mode() != 0o600 {
			t.Errorf("the file beside the tree is %q, %v", text, about)
		}
	})
}

func unpackFuzzed(t *testing.T, content []byte, into string) {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return
	}
	image, err := mutate.AppendLayers(empty.Image, []v1.Layer{layer}...)
	if err != nil {
		return
	}
	files, err := openTree(into)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	_ = unpackLayers(context.WithoutCancel(t.Context()), image, files)
}

// archive is a tar of files without content.
func archive(headers ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range headers {
		if err := w.WriteHeader(&headers[i]); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}
