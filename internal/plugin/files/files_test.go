// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestPlaces(t *testing.T) {
	for text, want := range map[string]place{
		"box:/x":         {"box", "/x"},
		"box:":           {"box", ""},
		"box:a:b":        {"box", "a:b"},
		"box:new\nline":  {"box", "new\nline"},
		"my.box-2:~":     {"my.box-2", "~"},
		"./a:b":          {"", "./a:b"},
		"/tmp/a:b":       {"", "/tmp/a:b"},
		"file":           {"", "file"},
		"-":              {"", "-"},
		`C:\Users\x.txt`: {"", `C:\Users\x.txt`},
	} {
		NewWithT(t).Expect(parsePlace(text)).To(Equal(want), text)
	}
}

func TestTheNameOfACopy(t *testing.T) {
	for path, want := range map[string]string{"/a/b": "b", "b/": "b", ".": "", "a/..": "", "a/.": "", "/": "", "-x": "-x"} {
		NewWithT(t).Expect(place{path: path}.base()).To(Equal(want), path)
	}
}

// shells are those of this machine that scripts have to work in.
func shells(t *testing.T) [][]string {
	t.Helper()
	var found [][]string
	for _, words := range [][]string{{"sh"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(words[0]); err == nil {
			found = append(found, words)
		}
	}
	if len(found) == 0 {
		t.Skip("there is no shell here; apt-get install dash")
	}
	return found
}

func TestEveryPathArrivesAsItIs(t *testing.T) {
	content, err := scripts.ReadFile("scripts/common.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, shell := range shells(t) {
		for _, path := range []string{
			"/plain/path", "/with space", "/ends with newline\n", "/$HOME `id` $(id) 'x' \"y\" *",
			"/caf\xe9", "/back\\0101slash\\", "/%s%n", "/é",
		} {
			decodes := string(content) + `decode "$1"; printf %s "$path"`
			arguments := slices.Concat(shell[1:], []string{"-c", decodes, "test", escaped(path)})
			out, err := exec.CommandContext(t.Context(), shell[0], arguments...).Output()
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			NewWithT(t).Expect(string(out)).To(Equal(path), "%v", shell)
		}
	}
}

// runHere runs a script on this machine.
func runHere(t *testing.T, shell []string, name string, arguments ...string) (stdout, stderr string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), shell[0], append(append(shell[1:], "-c", script(name), name), arguments...)...)
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	err = command.Run()
	return out.String(), said.String(), err
}

func TestScriptsWorkInEveryShell(t *testing.T) {
	for _, shell := range shells(t) {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			g := NewWithT(t)
			directory := t.TempDir()
			stage, target := filepath.Join(directory, "stage"), filepath.Join(directory, "new", "x y")
			g.Expect(os.Mkdir(stage, 0o700)).To(Succeed())
			g.Expect(os.WriteFile(filepath.Join(stage, "part-00"), []byte("con"), 0o600)).To(Succeed())
			_, said, err := runHere(t, shell, "put.sh", stage, "file", "no", escaped(target), "base", "3", "-", "0640")
			g.Expect(err).NotTo(HaveOccurred(), said)
			g.Expect(os.WriteFile(filepath.Join(stage, "part-00"), []byte("tent"), 0o600)).To(Succeed())
			const sum = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
			out, said, err := runHere(t, shell, "put.sh", stage, "file", "yes", escaped(target), "base", "7", sum, "0640")
			g.Expect(err).NotTo(HaveOccurred(), said)
			g.Expect(out).To(Equal(sum + "\n"))
			g.Expect(os.ReadFile(target)).To(BeEquivalentTo("content"))
			g.Expect(stage).NotTo(BeADirectory())

			out, said, err = runHere(t, shell, "get.sh", stage, "any", escaped(target), "4", "100")
			g.Expect(err).NotTo(HaveOccurred(), said)
			g.Expect(out).To(Equal("cont"))
			g.Expect(said).To(Equal("file 7 640 " + sum + "\n"))
			out, _, _ = runHere(t, shell, "more.sh", escaped(target), "4", "1")
			g.Expect(out).To(Equal("ent"))
			_, said, _ = runHere(t, shell, "get.sh", stage, "any", escaped(target), "4", "6")
			g.Expect(said).To(Equal("file 7 640 -\n"), "what is too large is not read")

			g.Expect(os.Symlink("x y", filepath.Join(directory, "new", "link"))).To(Succeed())
			out, said, err = runHere(t, shell, "list.sh", escaped(filepath.Dir(target)), "yes")
			g.Expect(err).NotTo(HaveOccurred(), said)
			entries, err := parseEntries([]byte(out))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(entries).To(HaveLen(2))
			g.Expect([]string{entries[0].Name, entries[0].Target, entries[1].Name, entries[1].Mode}).
				To(Equal([]string{"link", "x y", "x y", "0640"}))
		})
	}
}

func TestWhatArrivedOtherwiseIsNotPutIntoItsPlace(t *testing.T) {
	for _, shell := range shells(t) {
		g := NewWithT(t)
		for says, sent := range map[string][]string{
			"were sent":      {"8", strings.Repeat("0", 64)},
			"has the digest": {"7", strings.Repeat("0", 64)},
		} {
			directory := t.TempDir()
			stage, target := filepath.Join(directory, "stage"), filepath.Join(directory, "x")
			g.Expect(os.Mkdir(stage, 0o700)).To(Succeed())
			g.Expect(os.WriteFile(filepath.Join(stage, "part-00"), []byte("content"), 0o600)).To(Succeed())
			_, said, err := runHere(t, shell, "put.sh", stage, "file", "yes", escaped(target), "base", sent[0], sent[1], "0640")
			g.Expect(err).To(HaveOccurred())
			g.Expect(said).To(ContainSubstring(says))
			g.Expect(target).NotTo(BeAnExistingFile())
			g.Expect(stage).NotTo(BeADirectory())
		}
	}
}

func TestPiecesOfAContent(t *testing.T) {
	g := NewWithT(t)
	for _, wanted := range []struct{ size, first, rest int }{
		{0, 1, 0}, {1, 1, 0}, {pieceBytes, 1, 0}, {pieceBytes + 1, 2, 0},
		{mostPieces * pieceBytes, mostPieces, 0}, {mostPieces*pieceBytes + 1, mostPieces, 1},
	} {
		reader := bufio.NewReader(bytes.NewReader(make([]byte, wanted.size)))
		pieces, last, err := nextPieces(reader)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pieces).To(HaveLen(wanted.first), "of %d bytes", wanted.size)
		g.Expect(last).To(Equal(wanted.rest == 0), "of %d bytes", wanted.size)
		if wanted.rest > 0 {
			pieces, last, err = nextPieces(reader)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(pieces).To(HaveLen(wanted.rest))
			g.Expect(last).To(BeTrue())
		}
	}
}

func TestAListingThatMakesNoSenseIsAnError(t *testing.T) {
	for _, said := range []string{
		"fname", "xname\x00", "f\x00", "fname\x00\x00no details\x00",
		"fname\x00\x0081a4 5 0 root root\n", "fname\x00\x00zz 5 0 root root\n\x00",
		"lname\x00\x00a1ff 5 0 root root\n\x00one\x00two\x00",
	} {
		_, err := parseEntries([]byte(said))
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("changed while it was listed")), "%q", said)
	}
	entries, err := parseEntries([]byte("f./-x\x00"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(entries).To(Equal([]entry{{Name: "-x", Type: "File"}}))
}

func TestTheSizeOfADirectoryThatIsGivenAsALink(t *testing.T) {
	g := NewWithT(t)
	directory, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	g.Expect(os.WriteFile(filepath.Join(directory, "file"), make([]byte, 5000), 0o600)).To(Succeed())
	g.Expect(os.Symlink(directory, link)).To(Succeed())
	want, err := sizeOf(directory)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(sizeOf(link)).To(Equal(want))
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte("fname\x00\x0081a4 5 0 root root\n\x00"))
	f.Add([]byte("la\x00db\x00\x00a1ff 1 1 a b\n41ed 2 2 c d\n\x00to\x00"))
	f.Fuzz(func(_ *testing.T, said []byte) { _, _ = parseEntries(said) })
}

func TestTheBar(t *testing.T) {
	g := NewWithT(t)
	var drawn bytes.Buffer
	began := time.Unix(0, 0)
	bar := &progress{to: &drawn, now: func() time.Time { return began.Add(2 * time.Second) }, began: began}
	bar.show(1 << 20)
	g.Expect(drawn.String()).To(Equal("\r\x1b[K1.0 MiB  512 KiB/s"))
	bar.expect(4 << 20)
	bar.add(1 << 20)
	g.Expect(drawn.String()).To(HaveSuffix("[###############...............]  50%  2.0 MiB of 4.0 MiB  1.0 MiB/s"))
	bar.end()
	g.Expect(drawn.String()).To(HaveSuffix("\r\x1b[K"))

	var none *progress
	none.expect(1)
	none.add(1)
	none.end()
	g.Expect(newProgress(&drawn, false)).To(BeNil(), "nobody looks at a buffer")
}
