// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package release_test makes a release as a maintainer does, and checks it as somebody does who got it, by the lines in SECURITY.md.
package release_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const changelog = `# Changelog

## [Unreleased]

- not yet

## [0.0.1-test] - 2026-01-02

### Added

- what is new

## [0.0.0] - 2026-01-01

- what is old

[0.0.0]: https://example.com
`

// inRoot runs a command at the root of the repository.
func inRoot(t *testing.T, environment []string, name string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Dir = "../.."
	command.Env = append(os.Environ(), environment...)
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestAReleaseIsWhatItsSignatureSays(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the manager, and Helm where that is not built yet")
	}
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("there is no ssh-keygen to sign with: install openssh-client")
	}
	g := NewWithT(t)
	folder := t.TempDir()
	key, log := filepath.Join(folder, "release"), filepath.Join(folder, "CHANGELOG.md")
	g.Expect(os.WriteFile(log, []byte(changelog), 0o600)).To(Succeed())
	said, err := inRoot(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	g.Expect(err).NotTo(HaveOccurred(), said)

	environment := []string{"KEY=" + key, "CHANGELOG=" + log, "PLATFORMS=linux/amd64", "PLUGIN_PLATFORMS=linux/amd64"}
	said, err = inRoot(t, environment, "hack/release", "v0.0.1-test", "example.com/sandbox-operator:v0.0.1-test")
	g.Expect(err).NotTo(HaveOccurred(), said)
	release := "../../dist/release"
	t.Cleanup(func() { _ = os.RemoveAll(release) })
	for _, name := range []string{
		"manager-linux-amd64", "install.yaml", "crds.yaml", "sandbox-operator-0.0.1-test.tgz", "sbom.cdx.json", "notes.md",
		"kubectl-sandbox-linux-amd64.tar.gz", "sandbox.krew.yaml",
		"checksums.txt", "checksums.txt.sig",
	} {
		g.Expect(filepath.Join(release, name)).To(BeAnExistingFile())
	}
	notes, err := os.ReadFile(filepath.Join(release, "notes.md"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(strings.TrimSpace(string(notes))).To(Equal("### Added\n\n- what is new"))
	install, err := os.ReadFile(filepath.Join(release, "install.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Count(install, []byte("image: example.com/sandbox-operator:v0.0.1-test"))).To(Equal(1))
	crds, err := os.ReadFile(filepath.Join(release, "crds.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Count(crds, []byte("\nkind: CustomResourceDefinition\n"))).To(Equal(4))

	check := `cd dist/release && echo "release@example.com $(cat "$1.pub")" >"$2/allowed" &&
		ssh-keygen -Y verify -f "$2/allowed" -I release@example.com -n sandbox-operator -s checksums.txt.sig <checksums.txt &&
		sha256sum --check checksums.txt`
	said, err = inRoot(t, nil, "bash", "-c", check, "check", key, folder)
	g.Expect(err).NotTo(HaveOccurred(), said)

	g.Expect(os.WriteFile(filepath.Join(release, "install.yaml"), append(install, '\n'), 0o600)).To(Succeed())
	said, err = inRoot(t, nil, "bash", "-c", check, "check", key, folder)
	g.Expect(err).To(HaveOccurred(), "a file that was changed: %s", said)
}

func TestAReleaseHasAVersionThatTheChangelogKnows(t *testing.T) {
	g := NewWithT(t)
	said, err := inRoot(t, nil, "hack/release", "1.2", "image:tag")
	g.Expect(err).To(HaveOccurred())
	g.Expect(said).To(ContainSubstring("is no version of Semantic Versioning"))
	said, err = inRoot(t, nil, "hack/release", "v99.0.0", "image:tag")
	g.Expect(err).To(HaveOccurred())
	g.Expect(said).To(ContainSubstring(`has no section "## [99.0.0]`))
}
