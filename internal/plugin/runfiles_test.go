// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

func TestInputsOfADirectoryThatIsGivenAsALink(t *testing.T) {
	g := NewWithT(t)
	directory, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	g.Expect(os.Mkdir(filepath.Join(directory, "sub"), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(directory, "sub", "file"), []byte("x"), 0o600)).To(Succeed())
	g.Expect(os.Symlink(directory, link)).To(Succeed())
	g.Expect(inputsOf([]string{link + ":/in"}, "", &runs.Cargo{})).To(ConsistOf(HaveField("Path", "/in/sub/file")))
	g.Expect(inputsOf([]string{link}, "/workspace", &runs.Cargo{})).To(ConsistOf(HaveField("Path", "/workspace/link/sub/file")))

	_, err := inputsOf([]string{filepath.Join(directory, "nope")}, "/workspace", &runs.Cargo{})
	g.Expect(err).To(MatchError(ContainSubstring("there is no file")))
}
