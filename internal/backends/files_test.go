// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// oddNames are file names that careless scripts break on.
func oddNames() []string {
	names := []string{"-rf", ".hidden", "..twice", "...", strings.Repeat("x", 255), "a\nb", "\n", "ff/1/1"}
	for _, word := range awkward {
		if word != "" {
			names = append(names, word)
		}
	}
	for i, name := range names {
		names[i] = strings.ReplaceAll(name, "/", "∕")
	}
	return names
}

// binary is every byte value, twice.
var binary = func() []byte {
	content := make([]byte, 512)
	for i := range content {
		content[i] = byte(i)
	}
	return content
}()

func writeLocal(t *testing.T, name string, content []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
	if _, ok := errors.AsType[*fs.PathError](got); !ok {
		t.Errorf("%s: %v is no *fs.PathError", what, got)
	}
}

func TestByCommandFilesKeepTheirNamesAndBytes(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		b, dir := &scripts{land: land}, t.TempDir()
		for _, name := range oddNames() {
			file := filepath.Join(dir, "made", name, name)
			contents := [][]byte{binary}
			if name == "-rf" {
				contents = append(contents, []byte{}, []byte("no final newline"), []byte("\n"))
			}
			for _, content := range contents {
				if err := backends.WriteFile(t.Context(), b, "", file, content, 0o640); err != nil {
					t.Fatalf("writing %q: %v", file, err)
				}
				if onDisk, err := os.ReadFile(file); err != nil || !bytes.Equal(onDisk, content) {
					t.Fatalf("%q holds %q, not %q (%v)", file, onDisk, content, err)
				}
				got, err := backends.ReadFile(t.Context(), b, "", file, 0)
				if err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%q reads %q, not %q (%v)", file, got, content, err)
				}
			}
			info, err := backends.Stat(t.Context(), b, "", file)
			size := int64(len(contents[len(contents)-1]))
			fresh := time.Since(info.ModTime).Abs() < time.Minute
			if err != nil || info.Name != name || info.Mode != 0o640 || info.Size != size || !fresh {
				t.Errorf("stat of %q is %+v (%v)", file, info, err)
			}
		}
		entries, err := backends.ReadDir(t.Context(), b, "", filepath.Join(dir, "made"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, entry := range entries {
			got = append(got, entry.Name)
			if entry.Mode != fs.ModeDir|0o755 || entry.Size != 0 {
				t.Errorf("directory that was made as a parent: %+v", entry)
			}
		}
		want := oddNames()
		slices.Sort(want)
		if !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("the listing is %q\nwant %q", got, want)
		}
		for _, name := range want {
			if err := backends.Remove(t.Context(), b, "", filepath.Join(dir, "made", name)); err != nil {
				t.Errorf("removing %q: %v", name, err)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "made")); len(left) != 0 {
			t.Errorf("removal left %v", left)
		}
	})
}

func TestByCommandNothingOfAFileTravelsByArgument(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		b := &scripts{land: land}
		err := backends.WriteFile(t.Context(), b, "", filepath.Join(t.TempDir(), "f"), []byte("S3CRET"), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if argv := strings.Join(b.last.Argv, " "); strings.Contains(argv, "S3CRET") || len(b.last.Env) > 0 {
			t.Error("content is visible in the process list of the sandbox")
		}
	})
}

func TestByCommandReadRefusesWhatIsTooLargeOrNoFile(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		b, dir := &scripts{land: land}, t.TempDir()
		file := filepath.Join(dir, "ten")
		writeLocal(t, file, []byte("0123456789"), 0o600)
		if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
			t.Fatal(err)
		}
		if content, err := backends.ReadFile(t.Context(), b, "", file, 10); err != nil || len(content) != 10 {
			t.Errorf("a file of exactly the limit: %q, %v", content, err)
		}
		for name, want := range map[string]error{
			"absent": fs.ErrNotExist, "absent/too": fs.ErrNotExist, "ten/below": fs.ErrNotExist, "fifo": fs.ErrInvalid,
			".": syscall.EISDIR,
		} {
			_, err := backends.ReadFile(t.Context(), b, "", filepath.Join(dir, name), 0)
			wantError(t, "reading "+name, err, want)
		}
		_, err := backends.ReadFile(t.Context(), b, "", file, 9)
		wantError(t, "a file over the limit", err, backends.ErrTooLarge)
	})
}

func TestByCommandWriteReplacesWithoutFollowingLinks(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		b, dir := &scripts{land: land}, t.TempDir()
		target, link, taken := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "taken")
		writeLocal(t, target, []byte("old"), 0o444)
		if err := errors.Join(os.Symlink("target", link), os.Mkdir(taken, 0o755)); err != nil {
			t.Fatal(err)
		}
		reader, err := os.Open(target)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reader.Close() }()
		for _, name := range []string{link, target} {
			if err := backends.WriteFile(t.Context(), b, "", name, []byte("new"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		held := make([]byte, 3)
		if _, err := reader.Read(held); err != nil || string(held) != "old" {
			t.Errorf("a reader of the replaced file sees %q: it was overwritten in place", held)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode() != 0o755 {
			t.Errorf("the link was followed, or the mode is wrong: %v %v", info.Mode(), err)
		}
		wantError(t, "over a directory", backends.WriteFile(t.Context(), b, "", taken, nil, 0o600), fs.ErrExist)
		wantError(t, "below a file", backends.WriteFile(t.Context(), b, "", target+"/a/b", nil, 0o600), fs.ErrExist)
		wantError(t, "over the root", backends.WriteFile(t.Context(), b, "", "/", nil, 0o600), fs.ErrExist)
		if left, _ := os.ReadDir(dir); len(left) != 3 {
			t.Errorf("temporary files are left: %v", left)
		}
	})
}

func TestByCommandWriteChangesNothingWhenTheContentIsCut(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		dir := t.TempDir()
		file := filepath.Join(dir, "f")
		writeLocal(t, file, []byte("whole"), 0o600)
		inner := &scripts{land: land}
		b := &scripts{answer: func(command backends.Command) (backends.Result, error) {
			command.Stdin = command.Stdin[:2]
			return inner.RunCommand(t.Context(), "", command)
		}}
		if err := backends.WriteFile(t.Context(), b, "", file, []byte("other"), 0o600); !errors.Is(err, backends.Unavailable) {
			t.Errorf("a cut stream gives %v, want Unavailable", err)
		}
		if content, _ := os.ReadFile(file); string(content) != "whole" {
			t.Errorf("half a file was put in place: %q", content)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("temporary files are left: %v", left)
		}
	})
}

func TestByCommandDirectories(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		b, dir := &scripts{land: land}, t.TempDir()
		deep, file := filepath.Join(dir, "a", "b"), filepath.Join(dir, "file")
		writeLocal(t, file, binary, 0o604)
		for range 2 {
			if err := backends.MakeDir(t.Context(), b, "", deep); err != nil {
				t.Errorf("making a directory twice: %v", err)
			}
		}
		wantError(t, "a directory over a file", backends.MakeDir(t.Context(), b, "", file), fs.ErrExist)
		wantError(t, "a directory below a file", backends.MakeDir(t.Context(), b, "", file+"/x"), fs.ErrExist)
		if entries, err := backends.ReadDir(t.Context(), b, "", deep); err != nil || len(entries) != 0 {
			t.Errorf("an empty directory lists %v, %v", entries, err)
		}
		_, err := backends.ReadDir(t.Context(), b, "", file)
		wantError(t, "listing a file", err, syscall.ENOTDIR)
		_, err = backends.ReadDir(t.Context(), b, "", deep+"/absent")
		wantError(t, "listing what is absent", err, fs.ErrNotExist)
		if err := os.Symlink("/nowhere", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		entries, err := backends.ReadDir(t.Context(), b, "", dir)
		if err != nil || len(entries) != 3 {
			t.Fatalf("the listing is %v, %v", entries, err)
		}
		if entries[1].Name != "file" || entries[1].Size != int64(len(binary)) || entries[1].Mode != 0o604 {
			t.Errorf("a file is listed as %+v", entries[1])
		}
		if entries[2].Name != "link" || entries[2].Mode.Type() != fs.ModeSymlink {
			t.Errorf("a link is listed as %+v", entries[2])
		}
	})
}

func TestByCommandListsLargeDirectories(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		dir := t.TempDir()
		const files = 1001
		for i := range files {
			writeLocal(t, filepath.Join(dir, strings.Repeat("n", 200)+string(rune('a'+i%26))+strings.Repeat("x", i/26)), nil, 0o600)
		}
		entries, err := backends.ReadDir(t.Context(), &scripts{land: land}, "", dir)
		if err != nil || len(entries) != files {
			t.Errorf("%d of %d files are listed (%v)", len(entries), files, err)
		}
	})
}

func TestByCommandRemoveIsRecursiveAndFollowsNoLink(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		b, dir := &scripts{land: land}, t.TempDir()
		kept, tree := filepath.Join(dir, "kept"), filepath.Join(dir, "tree")
		if err := errors.Join(os.MkdirAll(tree+"/a/b", 0o755), os.Mkdir(kept, 0o755), os.Symlink(kept, tree+"/a/link"),
			os.Symlink(kept, dir+"/link"), os.Symlink("/nowhere", dir+"/dangling")); err != nil {
			t.Fatal(err)
		}
		writeLocal(t, kept+"/file", binary, 0o600)
		for _, name := range []string{"tree", "link", "dangling"} {
			if err := backends.Remove(t.Context(), b, "", filepath.Join(dir, name)); err != nil {
				t.Errorf("removing %s: %v", name, err)
			}
			err := backends.Remove(t.Context(), b, "", filepath.Join(dir, name))
			wantError(t, "removing "+name+" again", err, fs.ErrNotExist)
		}
		if _, err := os.Stat(kept + "/file"); err != nil {
			t.Error("what a removed link led to was removed")
		}
		if err := backends.Remove(t.Context(), b, "", "/"); !errors.Is(err, backends.Invalid) {
			t.Errorf("removing the root directory gives %v, want Invalid", err)
		}
	})
}

func TestByCommandPermissionIsNotAbsence(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to run as another user")
	}
	inEachUserland(t, func(t *testing.T, land userland) {
		land.uid = 65534
		b, dir := &scripts{land: land}, t.TempDir()
		for parent := dir; parent != "/tmp" && parent != "/"; parent = filepath.Dir(parent) {
			_ = os.Chmod(parent, 0o755)
		}
		if land.name == "busybox" {
			_ = os.Chmod(filepath.Dir(land.path), 0o755)
		}
		closed, file := filepath.Join(dir, "closed"), filepath.Join(dir, "file")
		if err := errors.Join(os.Mkdir(closed, 0o700), os.Mkdir(dir+"/sub", 0o755)); err != nil {
			t.Fatal(err)
		}
		writeLocal(t, file, nil, 0o600)
		writeLocal(t, dir+"/sub/file", nil, 0o600)
		denied := map[string]error{
			"write":      backends.WriteFile(t.Context(), b, "", file, nil, 0o600),
			"make":       backends.MakeDir(t.Context(), b, "", dir+"/new"),
			"remove":     backends.Remove(t.Context(), b, "", file),
			"remove all": backends.Remove(t.Context(), b, "", dir+"/sub"),
		}
		_, denied["read"] = backends.ReadFile(t.Context(), b, "", file, 0)
		_, denied["read hidden"] = backends.ReadFile(t.Context(), b, "", closed+"/hidden", 0)
		_, denied["stat hidden"] = backends.Stat(t.Context(), b, "", closed+"/deep/hidden")
		_, denied["list"] = backends.ReadDir(t.Context(), b, "", closed)
		for what, err := range denied {
			wantError(t, what, err, fs.ErrPermission)
		}
	})
}

func TestExists(t *testing.T) {
	inEachUserland(t, func(t *testing.T, land userland) {
		b, dir := &scripts{land: land}, t.TempDir()
		if err := os.Symlink("/nowhere", dir+"/dangling"); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{"dangling": true, "absent": false, "absent/too": false, ".": true} {
			if got, err := backends.Exists(t.Context(), b, "", filepath.Join(dir, name)); err != nil || got != want {
				t.Errorf("Exists(%s) is %v, %v", name, got, err)
			}
		}
		b.answer = func(backends.Command) (backends.Result, error) {
			return backends.Result{}, backends.Errorf(backends.NotFound, "test", "run command", "no such remote")
		}
		if got, err := backends.Exists(t.Context(), b, "", "/"); got || !errors.Is(err, backends.NotFound) {
			t.Errorf("of a remote that is gone: %v, %v; a missing remote is not a missing file", got, err)
		}
	})
}

func TestFilePathsMustBeAbsoluteAndClean(t *testing.T) {
	b := &scripts{answer: func(backends.Command) (backends.Result, error) {
		t.Error("a bad path reached the remote")
		return backends.Result{}, nil
	}}
	long := "/" + strings.Repeat("x", 5000)
	for _, name := range []string{"", "a", "./a", "/a/../b", "/a/", "//a", "/a/.", "/a\x00b", long} {
		_, readErr := backends.ReadFile(t.Context(), b, "", name, 0)
		_, listErr := backends.ReadDir(t.Context(), b, "", name)
		_, statErr := backends.Stat(t.Context(), b, "", name)
		for _, err := range []error{
			readErr, listErr, statErr, backends.WriteFile(t.Context(), b, "", name, nil, 0o600),
			backends.MakeDir(t.Context(), b, "", name), backends.Remove(t.Context(), b, "", name),
		} {
			if !errors.Is(err, backends.Invalid) || len(err.Error()) > 1100 {
				t.Errorf("path %.40q gives %v, want Invalid", name, err)
			}
		}
	}
}

func TestByCommandSaysWhatTheSandboxLacks(t *testing.T) {
	b := &scripts{answer: func(backends.Command) (backends.Result, error) {
		return backends.Result{ExitCode: 127, Stderr: []byte("exec: sh: not found\n")}, nil
	}}
	_, err := backends.Stat(t.Context(), b, "", "/x")
	if !errors.Is(err, backends.Unsupported) || !strings.Contains(err.Error(), "sh: not found") {
		t.Errorf("a sandbox without shell gives %v, want Unsupported with its words", err)
	}
}

func TestByCommandBoundsTheScriptByTheCallersDeadline(t *testing.T) {
	b := &scripts{answer: func(backends.Command) (backends.Result, error) {
		return backends.Result{TimedOut: true, ExitCode: 137}, nil
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := backends.ReadFile(ctx, b, "", "/x", 0); !errors.Is(err, backends.Unavailable) {
		t.Errorf("a read that took too long gives %v, want Unavailable", err)
	}
	if err := backends.WriteFile(ctx, b, "", "/x", nil, 0o600); !errors.Is(err, backends.Ambiguous) {
		t.Errorf("a write that took too long gives %v, want Ambiguous", err)
	}
	if b.last.Timeout <= 0 || b.last.Timeout > time.Minute {
		t.Errorf("the script's timeout is %s: it could outlive its caller", b.last.Timeout)
	}
}

// native has every file interface, and counts its calls.
type native struct {
	scripts
	calls int
}

func (n *native) ReadFile(context.Context, string, string, int64) ([]byte, error) {
	n.calls++
	return nil, nil
}

func (n *native) WriteFile(context.Context, string, string, []byte, fs.FileMode) error {
	n.calls++
	return nil
}
func (n *native) MakeDir(context.Context, string, string) error { n.calls++; return nil }
func (n *native) ReadDir(context.Context, string, string) ([]backends.FileInfo, error) {
	n.calls++
	return nil, nil
}

func (n *native) Stat(context.Context, string, string) (backends.FileInfo, error) {
	n.calls++
	return backends.FileInfo{}, nil
}
func (n *native) Remove(context.Context, string, string) error { n.calls++; return nil }

func TestNativeFileOperationsArePreferred(t *testing.T) {
	b := &native{}
	b.answer = func(backends.Command) (backends.Result, error) {
		t.Error("a command was run although the backend can do it natively")
		return backends.Result{}, nil
	}
	_, _ = backends.ReadFile(t.Context(), b, "", "/x", 0)
	_, _ = backends.ReadDir(t.Context(), b, "", "/x")
	_, _ = backends.Exists(t.Context(), b, "", "/x")
	_ = backends.WriteFile(t.Context(), b, "", "/x", nil, 0)
	_ = backends.MakeDir(t.Context(), b, "", "/x")
	_ = backends.Remove(t.Context(), b, "", "/x")
	if b.calls != 6 {
		t.Errorf("%d of 6 operations were native", b.calls)
	}
}
