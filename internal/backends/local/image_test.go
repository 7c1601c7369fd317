// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"archive/tar"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func imageRequest(name, image string) backends.CreateRequest {
	r := request(name)
	r.Source.Image = image
	return r
}

func TestASandboxHasItsImagesFilesEnvironmentUserAndDirectory(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	registry := newTestRegistry(t, h)
	image := imageOf(t, v1.Config{
		Env: []string{"PATH=/bin", "FROM=image", "BOTH=image"}, WorkingDir: "/app", User: "worker",
	}, shellLayer(t, "cat", "env", "id", "pwd", "mkdir"),
		layerOf(t, entry{name: "app/", uid: 500, gid: 501}, entry{name: "hello", content: "from the image"}))
	reference := registry.push(t, "team/app:v1", image)

	asked := imageRequest("box", reference)
	asked.Env = map[string]string{"BOTH": "request"}
	made := h.create(asked)
	digest, err := image.Digest()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(made.Image).To(Equal(registry.host + "/team/app@" + digest.String()))
	g.Expect(string(h.run("box", "cat", "/hello").Stdout)).To(Equal("from the image"))
	g.Expect(string(h.run("box", "/bin/sh", "-c", "id -u; id -g; pwd; echo new >file; cat file").Stdout)).To(Equal("500\n501\n/app\nnew\n"))
	g.Expect(strings.Fields(string(h.run("box", "env").Stdout))).To(ContainElements("PATH=/bin", "FROM=image", "BOTH=request"))
	g.Expect(h.run("box", "/bin/sh", "-c", "echo x >/hello").ExitCode).NotTo(BeZero(), "the image's user is no root")
	g.Expect(h.run("box", "mkdir", spoolRoot+"/fence").ExitCode).To(BeZero())

	// What the operator writes is the image's user's.
	g.Expect(h.WriteFile(t.Context(), "box", "/app/data/x", []byte("1"), 0o600)).To(Succeed())
	g.Expect(string(h.run("box", "cat", "/app/data/x").Stdout)).To(Equal("1"))
	g.Expect(h.run("box", "/bin/sh", "-c", "echo 2 >/app/data/y").ExitCode).To(BeZero())
}

func TestSandboxesOfOneImageShareItAndNothingElse(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	registry := newTestRegistry(t, h)
	reference := registry.push(t, "app:v1", imageOf(t, v1.Config{}, shellLayer(t), layerOf(t, entry{name: "file", content: "old"})))
	var wait sync.WaitGroup
	errs := make([]error, 8)
	for i, b := range []*backend{h.backend, h.another(), h.backend, h.another(), h.backend, h.backend, h.another(), h.backend} {
		wait.Go(func() { _, errs[i] = b.Create(t.Context(), imageRequest(string(rune('a'+i)), reference)) })
	}
	wait.Wait()
	g.Expect(errors.Join(errs...)).To(Succeed())
	g.Expect(registry.blobs.Load()).To(BeEquivalentTo(3), "one configuration and two layers are pulled once")
	g.Expect(filepath.Glob(h.root + "/images/*/rootfs")).To(HaveLen(1))

	read := func(id string) string { return string(h.sh(id, "read -r line </file; echo $line").Stdout) }
	h.sh("a", "echo new >/file; echo x >/workspace/x")
	g.Expect(read("a")).To(Equal("new\n"))
	g.Expect(read("b")).To(Equal("old\n"))
	g.Expect(h.sh("b", "test -e /workspace/x").ExitCode).NotTo(BeZero())
}

func TestAnImageThatIsThereNeedsNoNetworkWhenItIsNamedByDigest(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	registry := newTestRegistry(t, h)
	made := h.create(imageRequest("one", registry.push(t, "app:v1", imageOf(t, v1.Config{}, shellLayer(t)))))
	before := registry.requests.Load()
	registry.status.Store(http.StatusInternalServerError)
	h.create(imageRequest("two", made.Image))
	g.Expect(registry.requests.Load()).To(Equal(before))
}

func TestAWorkingDirectoryInWhichTheImageHasFilesShowsThem(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	registry := newTestRegistry(t, h)
	reference := registry.push(t, "app:v1", imageOf(t, v1.Config{WorkingDir: "/app"},
		shellLayer(t, "cat", "ls", "mkdir", "mv", "rm", "chmod", "stat", "head", "dirname", "wc"),
		layerOf(t, entry{name: "app/main", content: "program"})))
	id := h.create(imageRequest("box", reference)).ID
	g.Expect(string(h.run(id, "cat", "main").Stdout)).To(Equal("program"))
	g.Expect(h.ReadFile(t.Context(), id, "/app/main", 0)).To(BeEquivalentTo("program"))
	g.Expect(h.WriteFile(t.Context(), id, "/app/new", []byte("new"), 0o600)).To(Succeed())
	g.Expect(string(h.run(id, "cat", "new").Stdout)).To(Equal("new"))
}

func TestAnImageThatCanNotBeUsedSaysWhy(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	registry := newTestRegistry(t, h)
	foreign := imageOf(t, v1.Config{}, shellLayer(t))
	foreign = withArchitecture(t, foreign, "riscv64")
	for reason, reference := range map[string]string{
		"does not exist":  registry.host + "/no/such:image",
		"no /bin/sh":      registry.push(t, "shell:less", imageOf(t, v1.Config{}, layerOf(t, entry{name: "x"}))),
		"no user \"ghost": registry.push(t, "user:less", imageOf(t, v1.Config{User: "ghost"}, shellLayer(t))),
		"linux/riscv64":   registry.push(t, "other:arch", foreign),
		"image reference": "UPPER/case",
	} {
		_, err := h.Create(t.Context(), imageRequest("box", reference))
		g.Expect(err).To(MatchError(backends.Invalid), reason)
		g.Expect(err).To(MatchError(ContainSubstring(reason)))
	}
	g.Expect(h.List(t.Context(), backends.Filter{})).To(BeEmpty())
	g.Expect(os.ReadDir(h.root + "/tmp")).To(BeEmpty())
}

func withArchitecture(t *testing.T, image v1.Image, architecture string) v1.Image {
	t.Helper()
	g := NewWithT(t)
	file, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	file = file.DeepCopy()
	file.Architecture = architecture
	changed, err := mutate.ConfigFile(image, file)
	g.Expect(err).NotTo(HaveOccurred())
	return changed
}

func TestARegistrysTroublesAreToldApart(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	registry := newTestRegistry(t, h)
	reference := registry.push(t, "app:v1", imageOf(t, v1.Config{}, shellLayer(t)))
	for status, code := range map[int]backends.Code{
		http.StatusUnauthorized: backends.Invalid, http.StatusForbidden: backends.Invalid, http.StatusNotFound: backends.Invalid,
		http.StatusTooManyRequests: backends.RateLimited, http.StatusBadGateway: backends.Unavailable,
	} {
		registry.status.Store(int64(status))
		_, err := h.Create(t.Context(), imageRequest("box", reference))
		g.Expect(err).To(MatchError(code), http.StatusText(status))
	}
	h.trust("127.0.0.1:1")
	_, err := h.Create(t.Context(), imageRequest("box", "127.0.0.1:1/app:v1"))
	g.Expect(err).To(MatchError(backends.Unavailable))
	g.Expect(err).To(MatchError(ContainSubstring("can't be reached")))
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	_, err = h.Create(ctx, imageRequest("box", reference))
	g.Expect(err).To(MatchError(backends.Unavailable))
}

func TestRegistriesOnTheMachineItselfAreForTheAdministratorToAllow(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	for _, registry := range []string{"127.0.0.1:1", "localhost:1", "[::1]:1", "169.254.169.254:80", "0.0.0.0:1"} {
		_, err := h.Create(t.Context(), imageRequest("box", registry+"/app:v1"))
		g.Expect(err).To(MatchError(backends.Invalid), registry)
		g.Expect(err).To(MatchError(ContainSubstring("--local-registries")), registry)
	}
}

// unpack applies layers to a new directory, beside which lies a file that nothing may touch.
func unpack(t *testing.T, layers ...v1.Layer) (dir string, err error) {
	t.Helper()
	g := NewWithT(t)
	parent := t.TempDir()
	dir = filepath.Join(parent, "root")
	g.Expect(os.Mkdir(dir, 0o755)).To(Succeed())
	outside := filepath.Join(parent, "outside")
	g.Expect(os.WriteFile(outside, []byte("untouched"), 0o600)).To(Succeed())
	files, err := openTree(dir)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		_ = files.Close()
		g.Expect(os.ReadFile(outside)).To(BeEquivalentTo("untouched"))
		g.Expect(os.ReadDir(parent)).To(HaveLen(2))
	})
	return dir, unpackLayers(t.Context(), imageOf(t, v1.Config{}, layers...), files)
}

func TestLayersStayInsideTheirDirectory(t *testing.T) {
	g := NewWithT(t)
	dir, err := unpack(t, layerOf(t,
		entry{name: "../outside", content: "attack"},
		entry{name: "/absolute", content: "1"},
		entry{name: "up", link: ".."},
		entry{name: "up/outside", content: "attack"},
		entry{name: "root", link: "/"},
		entry{name: "root/through", content: "2"},
		entry{name: "far", link: "../../../../.."},
		entry{name: "far/far", content: "3"},
		entry{name: "stolen", hardlink: "../outside"},
		entry{name: "a/.wh.../x", content: ""},
	))
	g.Expect(err).NotTo(HaveOccurred())
	for name, content := range map[string]string{"absolute": "1", "through": "2", "outside": "attack", "stolen": "attack"} {
		g.Expect(os.ReadFile(filepath.Join(dir, name))).To(BeEquivalentTo(content), name)
	}
	_, err = unpack(t, layerOf(t, entry{name: "a/.wh...", content: ""}))
	g.Expect(err).To(MatchError(ContainSubstring("whiteout")))
	_, err = unpack(t, layerOf(t, entry{name: "loop", link: "loop"}, entry{name: "loop/x", content: ""}))
	g.Expect(err).To(MatchError(syscall.ELOOP))
}

func TestUpperLayersReplaceAndHideLowerOnes(t *testing.T) {
	g := NewWithT(t)
	dir, err := unpack(t,
		layerOf(t,
			entry{name: "etc/", mode: 0o700}, entry{name: "etc/kept", content: "1"}, entry{name: "etc/gone", content: "1"},
			entry{name: "opaque/old/deep", content: "1"}, entry{name: "opaque/both/old", content: "1"},
			entry{name: "usr/lib/a", content: "1"}, entry{name: "lib", link: "usr/lib"}, entry{name: "var/run", link: "/run"},
			entry{name: "file", content: "1"}, entry{name: "dir/x", content: "1"}, entry{name: "target", content: "t"},
			entry{name: "tolink", content: "1"}),
		layerOf(t,
			entry{name: "etc/", mode: 0o755}, entry{name: "etc/.wh.gone"}, entry{name: "etc/.wh.never"},
			entry{name: "opaque/new", content: "2"}, entry{name: "opaque/both/new", content: "2"}, entry{name: "opaque/.wh..wh..opq"},
			entry{name: "lib/b", content: "2"}, entry{name: "var/run/pid", content: "2"},
			entry{name: "file/now-a-dir", content: "2"}, entry{name: "dir", content: "2"},
			entry{name: "tolink", link: "target"}, entry{name: "hard", hardlink: "target"}),
	)
	g.Expect(err).NotTo(HaveOccurred())
	var found []string
	g.Expect(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			found = append(found, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})).To(Succeed())
	g.Expect(found).To(ConsistOf("etc/kept", "opaque/new", "opaque/both/new", "usr/lib/a", "usr/lib/b", "lib", "var/run",
		"run/pid", "file/now-a-dir", "dir", "target", "tolink", "hard"))
	g.Expect(os.Readlink(dir + "/tolink")).To(Equal("target"))
	g.Expect(os.ReadFile(dir + "/hard")).To(BeEquivalentTo("t"))
	g.Expect(os.Stat(dir + "/etc")).To(HaveField("Mode()", fs.ModeDir|0o755))
}

func TestAttributesAreKeptAndDevicesLeftOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	g := NewWithT(t)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir, err := unpack(t, layerOf(t,
		entry{name: "deep/in/suid", mode: 0o4755, uid: 12, gid: 34, content: "x"},
		entry{name: "sticky/", mode: 0o1777},
		entry{name: "link", link: "nowhere", uid: 12, gid: 34},
		entry{name: "null", kind: tar.TypeChar}, entry{name: "disk", kind: tar.TypeBlock}, entry{name: "fifo", kind: tar.TypeFifo}))
	g.Expect(err).NotTo(HaveOccurred())
	info, err := os.Stat(dir + "/deep/in/suid")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode()).To(Equal(fs.ModeSetuid | 0o755))
	g.Expect(info.Sys()).To(And(HaveField("Uid", BeEquivalentTo(12)), HaveField("Gid", BeEquivalentTo(34))))
	g.Expect(os.Stat(dir + "/deep/in")).To(HaveField("Mode()", fs.ModeDir|0o755))
	g.Expect(os.Stat(dir + "/sticky")).To(HaveField("Mode()", fs.ModeDir|fs.ModeSticky|0o777))
	g.Expect(os.ReadDir(dir)).To(ConsistOf(HaveField("Name()", "deep"), HaveField("Name()", "sticky"), HaveField("Name()", "link")))
}
