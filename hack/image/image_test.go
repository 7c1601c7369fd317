// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const (
	testVersion = "v0.0.0-image-test"
	// The most that a node should have to fetch.
	mostBytes = 40_000_000
)

// stage is the last one of the Dockerfile.
type stage struct {
	base        string
	copied      []string // paths in the image
	user        string
	entrypoint  []string
	labels      map[string]string
	buildFlags  string
	unsupported []string // instructions that this test does not know
}

func TestTheImageIsTheDockerfiles(t *testing.T) {
	image := assembled(t)
	dockerfile := lastStage(t)
	if len(dockerfile.unsupported) > 0 {
		t.Fatalf("the Dockerfile's last stage has instructions that hack/image does not follow: %v", dockerfile.unsupported)
	}
	if dockerfile.base != "scratch" {
		t.Errorf("the Dockerfile's last stage begins with %s, and hack/image with an empty image", dockerfile.base)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.Config.Entrypoint, dockerfile.entrypoint) {
		t.Errorf("entrypoint %v, in the Dockerfile %v", config.Config.Entrypoint, dockerfile.entrypoint)
	}
	if config.Config.User != dockerfile.user {
		t.Errorf("user %s, in the Dockerfile %s", config.Config.User, dockerfile.user)
	}
	if !maps.Equal(config.Config.Labels, dockerfile.labels) {
		t.Errorf("labels %v, in the Dockerfile %v", config.Config.Labels, dockerfile.labels)
	}
	files := slices.Sorted(maps.Keys(filesOf(t, image)))
	if !slices.Equal(files, dockerfile.copied) {
		t.Errorf("files %v, in the Dockerfile %v", files, dockerfile.copied)
	}
	ours := strings.Join(flags("${VERSION}"), " ")
	if theirs := strings.ReplaceAll(dockerfile.buildFlags, `"`, ""); ours != theirs {
		t.Errorf("the manager is built with %s, in the Dockerfile with %s", ours, theirs)
	}
}

func TestTheImageRunsWithNothingElseInIt(t *testing.T) {
	image := assembled(t)
	files := filesOf(t, image)
	program, err := elf.NewFile(bytes.NewReader(files[managerPath]))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("the manager is not static: it would want libraries that the image has not")
		}
	}
	if !bytes.Contains(files[certificatesPath], []byte("BEGIN CERTIFICATE")) {
		t.Error("the image has no CA certificates: no provider could be reached")
	}
	manager := filepath.Join(t.TempDir(), "manager")
	if err := os.WriteFile(manager, files[managerPath], 0o700); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), manager, "--version").CombinedOutput()
	if err != nil || strings.TrimSpace(string(said)) != testVersion {
		t.Errorf("the manager calls itself %q (%v), want %s", said, err, testVersion)
	}
}

func TestTheImageIsSmall(t *testing.T) {
	size, err := compressedSize(assembled(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f MB compressed", float64(size)/1e6)
	if size > mostBytes {
		t.Errorf("the image has %d bytes compressed, more than %d", size, mostBytes)
	}
}

func TestTheSameSourcesGiveTheSameBytes(t *testing.T) {
	again, err := assemble()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(archive(t, assembled(t)), archive(t, again)) {
		t.Error("two images of the same sources differ")
	}
}

// firstImage is the one that most tests look at: to link and compress the manager takes a while.
var firstImage = sync.OnceValues(assemble)

func assembled(t *testing.T) v1.Image {
	t.Helper()
	image, err := firstImage()
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// assemble makes the image anew.
func assemble() (v1.Image, error) {
	folder, err := os.MkdirTemp("", "image-test-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	certificates := filepath.Join(folder, "ca-certificates.crt")
	content := "-----BEGIN CERTIFICATE-----\nof a test\n-----END CERTIFICATE-----\n"
	if err := os.WriteFile(certificates, []byte(content), 0o600); err != nil {
		return nil, err
	}
	return build(context.Background(), &source{version: testVersion, architecture: runtime.GOARCH, certificates: certificates})
}

func archive(t *testing.T, image v1.Image) []byte {
	t.Helper()
	tag, err := name.NewTag("controller:latest")
	if err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	if err := tarball.Write(tag, image, &buffer); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// filesOf has every file that is no folder, by its path.
func filesOf(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }()
	files := map[string][]byte{}
	reader := tar.NewReader(content)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		if files["/"+header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	continued = regexp.MustCompile(`\\\n\s*`)
	goBuild   = regexp.MustCompile(`go build (.*) -o /manager ./cmd/manager`)
	label     = regexp.MustCompile(`(\S+)="?([^"\s]+)"?`)
)

func lastStage(t *testing.T) stage {
	t.Helper()
	content, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var s stage
	for line := range strings.Lines(continued.ReplaceAllString(string(content), "")) {
		instruction, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if found := goBuild.FindStringSubmatch(rest); found != nil {
			s.buildFlags = found[1]
		}
		if instruction == "FROM" {
			s = stage{base: strings.Fields(rest)[0], buildFlags: s.buildFlags, labels: map[string]string{}}
			continue
		}
		s.follow(t, instruction, rest)
	}
	slices.Sort(s.copied)
	return s
}

// follow takes up one instruction.
func (s *stage) follow(t *testing.T, instruction, rest string) {
	t.Helper()
	switch instruction {
	case "", "#", "ARG":
	case "COPY":
		words := strings.Fields(rest)
		target := words[len(words)-1]
		if strings.HasSuffix(target, "/") {
			target += filepath.Base(words[len(words)-2])
		}
		s.copied = append(s.copied, target)
	case "USER":
		s.user = rest
	case "ENTRYPOINT":
		if err := json.Unmarshal([]byte(rest), &s.entrypoint); err != nil {
			t.Fatal(err)
		}
	case "LABEL":
		for _, found := range label.FindAllStringSubmatch(rest, -1) {
			s.labels[found[1]] = strings.ReplaceAll(found[2], "${VERSION}", testVersion)
		}
	default:
		s.unsupported = append(s.unsupported, instruction)
	}
}
