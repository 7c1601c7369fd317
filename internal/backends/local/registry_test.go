// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	. "github.com/onsi/gomega"
)

// testRegistry serves images on the loopback, and counts what is asked of it.
type testRegistry struct {
	host     string
	requests atomic.Int64
	blobs    atomic.Int64
	// status answers every request with this status, unless it is 0.
	status atomic.Int64
}

func newTestRegistry(tb testing.TB, h *host) *testRegistry {
	tb.Helper()
	r := &testRegistry{}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.requests.Add(1)
		if request.Method == http.MethodGet && strings.Contains(request.URL.Path, "/blobs/") {
			r.blobs.Add(1)
		}
		if status := r.status.Load(); status != 0 {
			w.WriteHeader(int(status))
			return
		}
		images.ServeHTTP(w, request)
	}))
	tb.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	h.trust(r.host)
	return r
}

// trust allows a registry on the loopback, for this host and all others that are opened on its directory.
func (h *host) trust(registry string) {
	h.registries = append(h.registries, registry)
	h.backend = h.another()
}

// push stores an image, and returns the reference to it.
func (r *testRegistry) push(tb testing.TB, tag string, image v1.Image) string {
	tb.Helper()
	g := NewWithT(tb)
	ref, err := name.ParseReference(r.host + "/" + tag)
	g.Expect(err).NotTo(HaveOccurred())
	transport := newTransport(checkNothing)
	defer transport.CloseIdleConnections()
	g.Expect(remote.Write(ref, image, remote.WithTransport(transport))).To(Succeed())
	return ref.String()
}

// entry is one file of a layer; a name that ends in "/" is a directory.
type entry struct {
	name, content, link, hardlink string
	mode                          int64
	uid, gid                      int
	kind                          byte
}

func (e entry) header() *tar.Header {
	header := &tar.Header{
		Name: e.name, Mode: e.mode, Uid: e.uid, Gid: e.gid, Typeflag: tar.TypeReg, Size: int64(len(e.content)),
	}
	if header.Mode == 0 {
		header.Mode = 0o755
	}
	switch {
	case e.kind != 0:
		header.Typeflag = e.kind
	case e.link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.link
	case e.hardlink != "":
		header.Typeflag, header.Linkname = tar.TypeLink, e.hardlink
	case strings.HasSuffix(e.name, "/"):
		header.Typeflag = tar.TypeDir
	}
	return header
}

func layerOf(tb testing.TB, entries ...entry) v1.Layer {
	tb.Helper()
	g := NewWithT(tb)
	var data bytes.Buffer
	archive := tar.NewWriter(&data)
	for _, e := range entries {
		g.Expect(archive.WriteHeader(e.header())).To(Succeed())
		_, err := io.WriteString(archive, e.content)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(archive.Close()).To(Succeed())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data.Bytes())), nil
	})
	g.Expect(err).NotTo(HaveOccurred())
	return layer
}

func imageOf(tb testing.TB, config v1.Config, layers ...v1.Layer) v1.Image {
	tb.Helper()
	g := NewWithT(tb)
	image, err := mutate.AppendLayers(empty.Image, layers...)
	g.Expect(err).NotTo(HaveOccurred())
	file, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	image, err = mutate.ConfigFile(image, file)
	g.Expect(err).NotTo(HaveOccurred())
	return image
}

// shellLayer has a shell and these tools, taken from the machine with the libraries that they load.
func shellLayer(tb testing.TB, tools ...string) v1.Layer {
	tb.Helper()
	entries := []entry{{name: "bin/"}, {name: "etc/"}, {name: "etc/passwd", mode: 0o644,
		content: "root:x:0:0::/root:/bin/sh\nworker:x:500:501::/home/worker:/bin/sh\n"}}
	libraries := map[string]bool{}
	for _, tool := range append([]string{"sh", "sleep"}, tools...) {
		path, err := exec.LookPath(tool)
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			tb.Skipf("this machine has no %s to make an image of", tool)
		}
		entries = append(entries, fileEntry(tb, "bin/"+tool, path))
		// A static program makes ldd fail, and has no libraries.
		listed, _ := exec.Command("ldd", path).Output()
		for _, library := range regexp.MustCompile(`/\S+`).FindAllString(string(listed), -1) {
			libraries[library] = true
		}
	}
	for library := range libraries {
		entries = append(entries, fileEntry(tb, strings.TrimPrefix(library, "/"), library))
	}
	return layerOf(tb, entries...)
}

func fileEntry(tb testing.TB, name, path string) entry {
	tb.Helper()
	content, err := os.ReadFile(path)
	NewWithT(tb).Expect(err).NotTo(HaveOccurred())
	return entry{name: name, content: string(content)}
}

func checkNothing(string, netip.Addr) error { return nil }
