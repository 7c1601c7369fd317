// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// tree is what is below a directory: modes, and content or destinations of links.
func tree(t *testing.T, directory string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		var content string
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			content = string(data)
			if err != nil {
				return err
			}
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			content, err = os.Readlink(path)
			found[name] = "link " + content
			return err
		}
		found[name] = info.Mode().String() + " " + content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// awkward makes a directory with all that a file system allows.
func awkward(t *testing.T) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "tree")
	for path, content := range map[string]string{
		"plain": "text\n", "with space": "a", "new\nline": "b", "-rf": "c", "caf\xe9": "not UTF-8", "empty": "",
		"deep/er/still": "\x00\xff\x00", "read-only/file": "d", strings.Repeat("long", 60): "e",
		strings.Repeat("l", 200) + "/" + strings.Repeat("m", 200): "longer than 255",
		"..dots": "f", "back\\slash": "g", "*": "h",
	} {
		path := filepath.Join(directory, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Symlink("deep/er", filepath.Join(directory, "link")), os.Mkdir(filepath.Join(directory, "nothing in it"), 0o700),
		os.Chmod(filepath.Join(directory, "plain"), 0o755), os.Chmod(filepath.Join(directory, "read-only"), 0o555),
		os.Chmod(directory, 0o750))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(directory, "read-only"), 0o755) })
	return directory
}

func refuseWarnings(t *testing.T) func(string) {
	t.Helper()
	return func(text string) { t.Errorf("an unexpected warning: %s", text) }
}

func TestWhatIsPackedAndUnpackedIsTheSameAsBefore(t *testing.T) {
	g := NewWithT(t)
	from, to := awkward(t), filepath.Join(t.TempDir(), "copy")
	var packed bytes.Buffer
	g.Expect(Pack(t.Context(), &packed, from, refuseWarnings(t))).To(Succeed())
	g.Expect(Unpack(bytes.NewReader(packed.Bytes()), to, 1<<20, refuseWarnings(t))).To(Succeed())
	g.Expect(tree(t, to)).To(Equal(tree(t, from)))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(to, "read-only"), 0o755) })

	t.Log("and a second time over the first, which is replaced")
	g.Expect(os.WriteFile(filepath.Join(to, "plain"), []byte("changed"), 0o600)).To(Succeed())
	g.Expect(os.Chmod(filepath.Join(to, "read-only"), 0o755)).To(Succeed())
	g.Expect(Unpack(bytes.NewReader(packed.Bytes()), to, 1<<20, refuseWarnings(t))).To(Succeed())
	g.Expect(tree(t, to)).To(HaveKeyWithValue("plain", "-rwxr-xr-x text\n"))
}

func TestTarsOfOthersAndOursReadEachOther(t *testing.T) {
	for _, program := range []string{"tar", "busybox tar"} {
		t.Run(program, func(t *testing.T) {
			words := strings.Fields(program)
			if _, err := exec.LookPath(words[0]); err != nil {
				t.Skipf("%s is not here; apt-get install %s", words[0], words[0])
			}
			g := NewWithT(t)
			from, theirs, ours := awkward(t), t.TempDir(), filepath.Join(t.TempDir(), "copy")
			g.Expect(os.Chmod(theirs, 0o750)).To(Succeed())
			var packed bytes.Buffer
			g.Expect(Pack(t.Context(), &packed, from, refuseWarnings(t))).To(Succeed())

			extract := exec.CommandContext(t.Context(), words[0], append(words[1:], "-xpf", "-", "-C", theirs)...)
			extract.Stdin = bytes.NewReader(packed.Bytes())
			said, err := extract.CombinedOutput()
			g.Expect(err).NotTo(HaveOccurred(), string(said))
			t.Cleanup(func() { _ = os.Chmod(filepath.Join(theirs, "read-only"), 0o755) })
			g.Expect(tree(t, theirs)).To(Equal(tree(t, from)))

			archive, err := exec.CommandContext(t.Context(), words[0], append(words[1:], "-cf", "-", "-C", from, ".")...).Output()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(Unpack(bytes.NewReader(archive), ours, 1<<20, refuseWarnings(t))).To(Succeed())
			t.Cleanup(func() { _ = os.Chmod(filepath.Join(ours, "read-only"), 0o755) })
			g.Expect(tree(t, ours)).To(Equal(tree(t, from)))
		})
	}
}

func TestADirectoryMayBeGivenAsALink(t *testing.T) {
	g := NewWithT(t)
	from, link, to := awkward(t), filepath.Join(t.TempDir(), "link"), filepath.Join(t.TempDir(), "copy")
	g.Expect(os.Symlink(from, link)).To(Succeed())
	var packed bytes.Buffer
	g.Expect(Pack(t.Context(), &packed, link, refuseWarnings(t))).To(Succeed())
	g.Expect(Unpack(&packed, to, 1<<20, refuseWarnings(t))).To(Succeed())
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(to, "read-only"), 0o755) })
	g.Expect(tree(t, to)).To(Equal(tree(t, from)))
}

func TestPackLeavesOutWhatIsNoFile(t *testing.T) {
	g := NewWithT(t)
	from := t.TempDir()
	g.Expect(syscall.Mkfifo(filepath.Join(from, "pipe"), 0o600)).To(Succeed())
	var packed bytes.Buffer
	var said []string
	g.Expect(Pack(t.Context(), &packed, from, func(text string) { said = append(said, text) })).To(Succeed())
	g.Expect(said).To(ConsistOf(ContainSubstring("pipe\": it is neither a file")))
}

// hostile is an archive of these entries, each with the content "x" where it is a file.
func hostile(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, header := range headers {
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Typeflag == tar.TypeReg {
			header.Size = 1
		}
		header.Mode |= 0o644
		err := w.WriteHeader(&header)
		if err == nil && header.Size > 0 {
			_, err = w.Write([]byte("x"))
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return packed.Bytes()
}

func symlink(name, destination string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: destination}
}

func hardLink(name, destination string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: destination}
}

// tricks are what a hostile sandbox may send. All are seeds of the fuzz test, too.
var tricks = []struct {
	name    string
	entries []tar.Header
	// fails and warns are part of the error or of the only warning.
	fails, warns string
	// made is what is in the target afterwards, beside what was there.
	made []string
}{
	{name: "a name that climbs", entries: []tar.Header{{Name: "../victim"}}, fails: "leads out of the target"},
	{name: "a name that climbs from within", entries: []tar.Header{{Name: "a/../../victim"}}, fails: "leads out of the target"},
	{name: "an absolute name", entries: []tar.Header{{Name: "/victim"}}, fails: "leads out of the target"},
	{name: "a file in the place of the target", entries: []tar.Header{{Name: "a/.."}}, fails: "in the place of the target"},
	{name: "a link to an absolute place", entries: []tar.Header{symlink("l", "/etc")}, warns: "leads out of the target"},
	{name: "a link that climbs", entries: []tar.Header{symlink("l", "../victim")}, warns: "leads out of the target"},
	{name: "a link that climbs behind a name", entries: []tar.Header{symlink("l", "a/../../victim")}, warns: "leads out of the target"},
	{
		name: "a file through a link that the archive brought", entries: []tar.Header{symlink("l", ".."), {Name: "l/victim"}},
		warns: "leads out of the target", made: []string{"l", "l/victim"},
	},
	{
		name: "two links that climb together", entries: []tar.Header{symlink("here", "."), symlink("l", "here/../victim")},
		warns: "leads out of the target", made: []string{"here"},
	},
	{
		name: "a link made behind another", entries: []tar.Header{symlink("here", "."), symlink("here/l", "../victim")},
		warns: "leads out of the target", made: []string{"here"},
	},
	{name: "a hard link to outside", entries: []tar.Header{hardLink("l", "../victim")}, fails: "leads out of the target"},
	{
		name: "a hard link to a link", entries: []tar.Header{symlink("s", "kept"), hardLink("l", "s")},
		warns: "which was not copied", made: []string{"s"},
	},
	{name: "a hard link within", entries: []tar.Header{{Name: "a"}, hardLink("b", "a")}, made: []string{"a", "b"}},
	{name: "a hard link to itself", entries: []tar.Header{{Name: "a"}, hardLink("a", "a")}, made: []string{"a"}},
	{name: "a device", entries: []tar.Header{{Typeflag: tar.TypeBlock, Name: "sda"}}, warns: "neither a file"},
	{name: "a file that is set-user-ID", entries: []tar.Header{{Name: "a", Mode: 0o6755}}, made: []string{"a"}},
	{name: "the same name twice", entries: []tar.Header{{Name: "a"}, {Name: "./a"}}, made: []string{"a"}},
	{name: "a file over a directory", entries: []tar.Header{{Name: "kept-directory"}}, fails: "is a directory here"},
	{name: "a file over a link to outside", entries: []tar.Header{{Name: "outside"}}, made: nil},
	{name: "a file behind a link to outside", entries: []tar.Header{{Name: "outside-directory/victim"}}, fails: "escapes"},
	{name: "a link inside a directory", entries: []tar.Header{symlink("a/b/l", "../../kept")}, made: []string{"a", "a/b", "a/b/l"}},
}

// target makes a directory in which some things are, beside a file "victim" that nothing may touch.
func target(tb testing.TB) (directory, victim string) {
	tb.Helper()
	above := tb.TempDir()
	directory, victim = filepath.Join(above, "target"), filepath.Join(above, "victim")
	err := errors.Join(os.MkdirAll(filepath.Join(directory, "kept-directory"), 0o755), os.WriteFile(victim, []byte("untouched"), 0o600),
		os.WriteFile(filepath.Join(directory, "kept"), []byte("kept"), 0o600),
		os.Symlink(victim, filepath.Join(directory, "outside")), os.Symlink(above, filepath.Join(directory, "outside-directory")))
	if err != nil {
		tb.Fatal(err)
	}
	return directory, victim
}

// expectUntouched fails where anything outside of the target is not as target left it.
func expectUntouched(tb testing.TB, victim string) {
	tb.Helper()
	content, err := os.ReadFile(victim)
	entries, dirErr := os.ReadDir(filepath.Dir(victim))
	if err != nil || dirErr != nil || string(content) != "untouched" || len(entries) != 2 {
		tb.Errorf("something was written outside of the target: %q, %v, %v, %v", content, entries, err, dirErr)
	}
}

func TestNoArchiveReachesOutOfTheTarget(t *testing.T) {
	for _, trick := range tricks {
		t.Run(trick.name, func(t *testing.T) {
			g := NewWithT(t)
			directory, victim := target(t)
			var warnings []string
			err := Unpack(bytes.NewReader(hostile(t, trick.entries...)), directory, 1<<20,
				func(text string) { warnings = append(warnings, text) })
			if trick.fails == "" {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(err).To(MatchError(ContainSubstring(trick.fails)))
			}
			if trick.warns == "" {
				g.Expect(warnings).To(BeEmpty())
			} else {
				g.Expect(warnings).To(ConsistOf(ContainSubstring(trick.warns)))
			}
			expectUntouched(t, victim)
			found := tree(t, directory)
			for _, name := range []string{".", "kept", "kept-directory", "outside", "outside-directory"} {
				g.Expect(found).To(HaveKey(name))
				delete(found, name)
			}
			names := make([]string, 0, len(found))
			for name, is := range found {
				names = append(names, name)
				g.Expect(is).NotTo(HavePrefix("u"), "no set-user-ID bit comes over")
			}
			g.Expect(names).To(ConsistOf(trick.made))
		})
	}
}

func TestWhatAnArchiveHoldsIsBounded(t *testing.T) {
	g := NewWithT(t)
	directory, _ := target(t)
	archive := hostile(t, tar.Header{Name: "a"}, tar.Header{Name: "b"})
	g.Expect(Unpack(bytes.NewReader(archive), directory, 2, refuseWarnings(t))).To(Succeed())
	g.Expect(Unpack(bytes.NewReader(archive), directory, 1, refuseWarnings(t))).To(MatchError(ErrTooLarge))
}

func TestATornArchiveIsAnError(t *testing.T) {
	g := NewWithT(t)
	directory, _ := target(t)
	archive := hostile(t, tar.Header{Name: "a"})
	g.Expect(Unpack(bytes.NewReader(archive[:512]), directory, 1<<20, refuseWarnings(t))).To(MatchError(ContainSubstring("unexpected EOF")))
}

func FuzzUnpack(f *testing.F) {
	for _, trick := range tricks {
		f.Add(hostile(f, trick.entries...))
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		directory, victim := target(t)
		_ = Unpack(bytes.NewReader(archive), directory, 1<<16, func(string) {})
		expectUntouched(t, victim)
		// No link that was made leads out, followed as the system follows it.
		_ = filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Type() != fs.ModeSymlink || strings.HasPrefix(entry.Name(), "outside") {
				return nil //nolint:nilerr // what can't be read is of no interest
			}
			if leads, err := filepath.EvalSymlinks(path); err == nil && !strings.HasPrefix(leads+"/", directory+"/") {
				destination, _ := os.Readlink(path)
				if !strings.Contains(destination, "outside") {
					t.Errorf("the link %q leads to %q", path, leads)
				}
			}
			return nil
		})
	})
}
