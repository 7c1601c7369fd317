// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestWorkingDirIsTheRequestsThenTheImages(t *testing.T) {
	g := NewWithT(t)
	for _, c := range []struct{ wished, images, expected string }{
		{"", "", "/workspace"},
		{"", "/", "/workspace"},
		{"", "/app", "/app"},
		{"", "app/", "/app"},
		{"/data/", "/app", "/data"},
		{"/", "/app", "/"},
		{"/../x", "", "/x"},
	} {
		g.Expect(workingDir(c.wished, c.images)).To(Equal(c.expected), "%+v", c)
	}
}

func TestTheWorkDirectoryHidesNothing(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	g.Expect(os.MkdirAll(dir+"/app/src", 0o755)).To(Succeed())
	g.Expect(os.MkdirAll(dir+"/empty", 0o755)).To(Succeed())
	g.Expect(os.Symlink("/empty", dir+"/link")).To(Succeed())
	files, err := openTree(dir)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = files.Close() }()
	from := rootfs{mounts: []specs.Mount{{Destination: "/usr"}}}
	for name, expected := range map[string]bool{
		"/workspace": true, "/empty": true, "/new/deep": true, "/app/other": true,
		"/app": false, "/": false, "/link": false, "/link/below": false,
		"/usr": false, "/usr/src/app": false, "/proc": false, "/proc/1": false, "/dev/shm": false, "/run": false, spoolRoot: false,
	} {
		g.Expect(canMountWork(name, from, files)).To(Equal(expected), name)
	}
}

func TestOfAVariableGivenTwiceTheLastCounts(t *testing.T) {
	g := NewWithT(t)
	g.Expect(mergeEnv([]string{"A=1", "B=2", "broken", "=x"}, []string{"B=3=4", "C="})).To(Equal([]string{"A=1", "B=3=4", "C="}))
}

func TestTheMachinesFilesThatNotEveryoneMayReadStayOut(t *testing.T) {
	g := NewWithT(t)
	machine, dir := t.TempDir(), t.TempDir()+"/base"
	certs := filepath.Join(machine, "etc/ssl/certs")
	g.Expect(os.MkdirAll(certs+"/private", 0o755)).To(Succeed())
	g.Expect(os.MkdirAll(machine+"/usr/bin", 0o755)).To(Succeed())
	g.Expect(os.MkdirAll(machine+"/lib", 0o755)).To(Succeed())
	g.Expect(os.Symlink("usr/bin", machine+"/bin")).To(Succeed())
	g.Expect(os.WriteFile(certs+"/ca.crt", []byte("public"), 0o644)).To(Succeed())
	g.Expect(os.WriteFile(certs+"/key", []byte("secret"), 0o640)).To(Succeed())
	g.Expect(os.WriteFile(certs+"/private/key", []byte("secret"), 0o644)).To(Succeed())
	g.Expect(os.Chmod(certs+"/private", 0o700)).To(Succeed())
	g.Expect(os.Symlink("/etc/shadow", certs+"/link")).To(Succeed())

	g.Expect(fillBase(machine, dir)).To(Succeed())
	g.Expect(os.ReadDir(dir + "/etc/ssl/certs")).To(ConsistOf(
		HaveField("Name()", "ca.crt"), HaveField("Name()", "link")))
	g.Expect(os.Readlink(dir + "/etc/ssl/certs/link")).To(Equal("/etc/shadow"))
	g.Expect(os.Readlink(dir + "/bin")).To(Equal("usr/bin"))
	g.Expect(usrMounts(machine)).To(ConsistOf(HaveField("Destination", "/usr"), HaveField("Destination", "/lib")))
}

func TestABaseIsMadeOnceUntilTheMachineChanges(t *testing.T) {
	g := NewWithT(t)
	machine := t.TempDir()
	g.Expect(os.MkdirAll(machine+"/usr", 0o755)).To(Succeed())
	st, err := openStore(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	first, err := st.base(machine)
	g.Expect(err).NotTo(HaveOccurred())
	again, err := st.base(machine)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.dir).To(Equal(first.dir))
	g.Expect(os.MkdirAll(machine+"/etc", 0o755)).To(Succeed())
	g.Expect(os.WriteFile(machine+"/etc/ld.so.cache", []byte("x"), 0o644)).To(Succeed())
	changed, err := st.base(machine)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(changed.dir).NotTo(Equal(first.dir))
}
