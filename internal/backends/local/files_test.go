// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

func TestFilesInTheWorkDirectoryAreWhatTheSandboxSees(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	odd := "/workspace/a b/-ü\n'\"$x"
	g.Expect(h.WriteFile(t.Context(), id, odd, []byte("\x00\xff"), 0o640)).To(Succeed())
	g.Expect(h.run(id, "cat", odd).Stdout).To(Equal([]byte("\x00\xff")))
	g.Expect(string(h.run(id, "stat", "-c", "%a", odd).Stdout)).To(Equal("640\n"))
	h.runCommand(id, backends.Command{Argv: []string{"tee", odd}, Stdin: []byte("from inside")})
	g.Expect(h.ReadFile(t.Context(), id, odd, 0)).To(BeEquivalentTo("from inside"))
	g.Expect(h.WriteFile(t.Context(), id, odd, []byte("replaced"), 0o600)).To(Succeed())
	g.Expect(string(h.run(id, "cat", odd).Stdout)).To(Equal("replaced"))

	_, err := h.ReadFile(t.Context(), id, odd, 3)
	g.Expect(err).To(MatchError(backends.ErrTooLarge))
	_, err = h.ReadFile(t.Context(), id, "/workspace/absent", 0)
	g.Expect(err).To(MatchError(fs.ErrNotExist))
	_, err = h.ReadFile(t.Context(), id, "/workspace", 0)
	g.Expect(err).To(HaveOccurred())

	g.Expect(h.MakeDir(t.Context(), id, "/workspace/d/e")).To(Succeed())
	g.Expect(h.MakeDir(t.Context(), id, "/workspace/d/e")).To(Succeed())
	g.Expect(h.MakeDir(t.Context(), id, odd)).To(HaveOccurred())
	g.Expect(h.ReadDir(t.Context(), id, "/workspace")).To(HaveExactElements(
		And(HaveField("Name", "a b"), HaveField("Mode", fs.ModeDir|0o755)), HaveField("Name", "d")))
	g.Expect(h.Stat(t.Context(), id, odd)).To(And(HaveField("Size", int64(8)), HaveField("Mode", fs.FileMode(0o600))))
	g.Expect(h.Remove(t.Context(), id, "/workspace/d")).To(Succeed())
	g.Expect(h.Remove(t.Context(), id, "/workspace/d")).To(MatchError(fs.ErrNotExist))
	g.Expect(h.run(id, "ls", "/workspace/d").ExitCode).NotTo(BeZero())
}

func TestFilesOutsideTheWorkDirectoryWorkThroughCommands(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	g.Expect(h.WriteFile(t.Context(), id, "/home/user/x/y", []byte("content"), 0o600)).To(Succeed())
	g.Expect(h.ReadFile(t.Context(), id, "/home/user/x/y", 0)).To(BeEquivalentTo("content"))
	g.Expect(h.ReadDir(t.Context(), id, "/home/user/x")).To(ConsistOf(HaveField("Name", "y")))
	g.Expect(h.Remove(t.Context(), id, "/home/user/x")).To(Succeed())
}

// A sandbox's links lead where they lead in the sandbox, and never into the machine.
func TestLinksOfASandboxLeadNowhereOnTheMachine(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	id := h.running("box")
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	g.Expect(os.WriteFile(secret, []byte("the machine's"), 0o600)).To(Succeed())
	h.sh(id, `ln -s `+secret+` absolute; ln -s `+outside+` dir; ln -s ../../../../../../../../../../..`+secret+` relative
ln -s /etc/hostname inside; ln -s ../sandbox.json record; ln -s / root; ln -s loop loop; mkfifo fifo`)

	for _, name := range []string{"absolute", "relative", "dir/secret", "record", "root" + secret} {
		_, err := h.ReadFile(t.Context(), id, "/workspace/"+name, 0)
		g.Expect(err).To(MatchError(fs.ErrNotExist), name)
	}
	for _, name := range []string{"loop", "fifo"} {
		_, err := h.ReadFile(t.Context(), id, "/workspace/"+name, 0)
		g.Expect(err).To(HaveOccurred(), name)
	}
	g.Expect(h.ReadFile(t.Context(), id, "/workspace/inside", 0)).To(BeEquivalentTo("sandbox\n"))
	g.Expect(h.ReadFile(t.Context(), id, "/workspace/root/etc/hostname", 0)).To(BeEquivalentTo("sandbox\n"))

	_ = h.WriteFile(t.Context(), id, "/workspace/absolute", []byte("x"), 0o600)
	_ = h.WriteFile(t.Context(), id, "/workspace/dir/new", []byte("x"), 0o600)
	_ = h.MakeDir(t.Context(), id, "/workspace/dir/newdir")
	_ = h.Remove(t.Context(), id, "/workspace/dir/secret")
	g.Expect(h.Remove(t.Context(), id, "/workspace/dir")).To(Succeed())
	g.Expect(os.ReadFile(secret)).To(BeEquivalentTo("the machine's"))
	g.Expect(os.ReadDir(outside)).To(HaveLen(1))
	g.Expect(h.Stat(t.Context(), id, "/workspace/inside")).To(HaveField("Mode", fs.ModeSymlink|0o777))
}

func TestADiskLimitHoldsForTheWorkDirectoryAndTmpToo(t *testing.T) {
	g, h := NewWithT(t), newHost(t)
	asked := request("box")
	asked.Resources.DiskBytes = 16 << 20
	id := h.create(asked).ID
	for _, dir := range []string{"/workspace", "/tmp", "/root"} {
		result := h.run(id, "dd", "if=/dev/zero", "of="+dir+"/big", "bs=1M", "count=32")
		g.Expect(result.ExitCode).NotTo(BeZero(), dir)
		g.Expect(string(result.Stderr)).To(ContainSubstring("No space left"), dir)
		h.run(id, "rm", "-f", dir+"/big")
	}
	g.Expect(h.WriteFile(t.Context(), id, "/workspace/x", []byte("fits"), 0o600)).To(Succeed())
	g.Expect(h.ReadFile(t.Context(), id, "/workspace/x", 0)).To(BeEquivalentTo("fits"))
	g.Expect(os.ReadDir(h.root + "/sandboxes/box/work")).To(BeEmpty())
}
