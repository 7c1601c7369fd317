// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// fileSystem is one way to the files of a remote.
type fileSystem struct {
	read    func(ctx context.Context, b backends.Backend, id, path string, limit int64) ([]byte, error)
	write   func(ctx context.Context, b backends.Backend, id, path string, content []byte, mode fs.FileMode) error
	makeDir func(ctx context.Context, b backends.Backend, id, path string) error
	readDir func(ctx context.Context, b backends.Backend, id, path string) ([]backends.FileInfo, error)
	stat    func(ctx context.Context, b backends.Backend, id, path string) (backends.FileInfo, error)
	remove  func(ctx context.Context, b backends.Backend, id, path string) error
}

var (
	natively = fileSystem{
		backends.ReadFile, backends.WriteFile, backends.MakeDir, backends.ReadDir, backends.Stat, backends.Remove,
	}
	byCommand = fileSystem{
		backends.ReadFileByCommand, backends.WriteFileByCommand, backends.MakeDirByCommand, backends.ReadDirByCommand,
		backends.StatByCommand, backends.RemoveByCommand,
	}
)

func fileChecks(how string, way fileSystem) []Check {
	check := func(name string, run func(f *fileCheck)) Check {
		return Check{Name: name + how, Run: func(t *T) {
			if _, native := t.Backend.(backends.FileReader); how != "" && !native {
				t.Skip("the backend has no other way to files, so it was checked already")
			}
			id := t.remote()
			run(&fileCheck{T: t, fileSystem: way, id: id, dir: t.scratch(id)})
		}}
	}
	return []Check{
		check("writes and reads files of any name and content", filesRoundTrip),
		check("reads what commands wrote, and commands read what it wrote", filesAreTheCommands),
		check("reads nothing that is larger than allowed", readIsLimited),
		check("says what is not there, or is something else", wrongFiles),
		check("gives a file its mode", fileModes),
		check("makes parents, and replaces files and links at once", writeReplaces),
		check("makes directories with their parents, twice if need be", makesDirs),
		check("lists all of a directory, sorted", listsDirs),
		check("describes links themselves", statsLinks),
		check("removes a directory with all that is in it, but not what links lead to", removesAll),
		check("follows no link out of the remote", staysInside),
	}
}

// fileCheck is a check of files in a directory of its own.
type fileCheck struct {
	*T
	fileSystem
	id, dir string
}

func (f *fileCheck) path(name string) string { return path.Join(f.dir, name) }

func (f *fileCheck) mustWrite(name string, content []byte, mode fs.FileMode) {
	if err := f.write(f.ctx, f.Backend, f.id, f.path(name), content, mode); err != nil {
		f.Fatalf("writing %q: %v", name, err)
	}
}

func (f *fileCheck) mustRead(name string) []byte {
	content, err := f.read(f.ctx, f.Backend, f.id, f.path(name), 0)
	if err != nil {
		f.Fatalf("reading %q: %v", name, err)
	}
	return content
}

// wantError complains of an error that is not this one, or that blames the remote for a file.
func (f *fileCheck) wantError(what string, err, want error) {
	var pathErr *fs.PathError
	if !errors.Is(err, want) || !errors.As(err, &pathErr) {
		f.Errorf("%s gives %v (%T); it must be %v in a *fs.PathError", what, err, err, want)
	}
}

// fileNames are names that careless scripts, URLs and listings break.
func fileNames() []string {
	names := []string{".hidden", "..two", "-rf", "100%", "a?b", "[x]", "%2e%2e", strings.Repeat("n", 200)}
	for _, word := range awkward {
		if strings.TrimSpace(word) != "" && !strings.Contains(word, "/") {
			names = append(names, word)
		}
	}
	return names
}

func filesRoundTrip(f *fileCheck) {
	for _, name := range fileNames() {
		f.mustWrite(name, []byte(name), 0o644)
	}
	var names []string
	entries, err := f.readDir(f.ctx, f.Backend, f.id, f.dir)
	if err != nil {
		f.Fatalf("listing: %v", err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name)
		f.wantBytes("the file "+entry.Name, f.mustRead(entry.Name), []byte(entry.Name))
	}
	if want := slices.Sorted(slices.Values(fileNames())); !slices.Equal(names, want) {
		f.Errorf("the files %q are listed as %q", want, names)
	}
	for what, content := range map[string][]byte{
		"an empty file": {}, "a binary file": allBytes(), "a file of 1 MiB": random(1 << 20), "a newline": []byte("\n"),
	} {
		f.mustWrite("content", content, 0o644)
		f.wantBytes(what, f.mustRead("content"), content)
	}
}

func filesAreTheCommands(f *fileCheck) {
	f.mustWrite("sub dir/-ours", allBytes(), 0o644)
	result := f.mustRun(f.id, scriptCommand(`cat "$1"`, f.path("sub dir/-ours")))
	f.wantBytes("what a command reads of a written file", result.Stdout, allBytes())
	command := scriptCommand(`cat > "$1"`, f.path("theirs"))
	command.Stdin = allBytes()
	f.mustRun(f.id, command)
	f.wantBytes("what is read of a command's file", f.mustRead("theirs"), allBytes())
	f.shell(f.id, `ln -s theirs "$1"`, f.path("link"))
	f.wantBytes("what is read through a link", f.mustRead("link"), allBytes())
}

func readIsLimited(f *fileCheck) {
	f.mustWrite("ten", []byte("0123456789"), 0o644)
	content, err := f.read(f.ctx, f.Backend, f.id, f.path("ten"), 10)
	if err != nil {
		f.Errorf("reading a file of exactly the limit: %v", err)
	}
	f.wantBytes("a file of exactly the limit", content, []byte("0123456789"))
	_, err = f.read(f.ctx, f.Backend, f.id, f.path("ten"), 9)
	f.wantError("reading a file of one byte more than the limit", err, backends.ErrTooLarge)
}

func wrongFiles(f *fileCheck) {
	f.mustWrite("file", nil, 0o644)
	f.shell(f.id, `ln -s nowhere "$1"`, f.path("dangling"))
	for _, name := range []string{"absent", "absent/deeper", "file/below"} {
		_, readErr := f.read(f.ctx, f.Backend, f.id, f.path(name), 0)
		_, statErr := f.stat(f.ctx, f.Backend, f.id, f.path(name))
		_, listErr := f.readDir(f.ctx, f.Backend, f.id, f.path(name))
		f.wantError("reading "+name, readErr, fs.ErrNotExist)
		f.wantError("stat of "+name, statErr, fs.ErrNotExist)
		f.wantError("listing "+name, listErr, fs.ErrNotExist)
		f.wantError("removing "+name, f.remove(f.ctx, f.Backend, f.id, f.path(name)), fs.ErrNotExist)
	}
	_, err := f.read(f.ctx, f.Backend, f.id, f.path("dangling"), 0)
	f.wantError("reading a link that leads nowhere", err, fs.ErrNotExist)
	_, err = f.read(f.ctx, f.Backend, f.id, f.dir, 0)
	f.wantError("reading a directory", err, syscall.EISDIR)
	_, err = f.readDir(f.ctx, f.Backend, f.id, f.path("file"))
	f.wantError("listing a file", err, syscall.ENOTDIR)
	f.wantError("writing over a directory", f.write(f.ctx, f.Backend, f.id, f.dir, nil, 0o644), fs.ErrExist)
	f.wantError("writing below a file", f.write(f.ctx, f.Backend, f.id, f.path("file/below"), nil, 0o644), fs.ErrExist)
	f.wantError("a directory where a file is", f.makeDir(f.ctx, f.Backend, f.id, f.path("file")), fs.ErrExist)
	f.wantError("a directory below a file", f.makeDir(f.ctx, f.Backend, f.id, f.path("file/below")), fs.ErrExist)
}

func fileModes(f *fileCheck) {
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o755, 0o777, 0o400} {
		f.mustWrite("file", []byte("#!/bin/sh\necho ran\n"), mode)
		info, err := f.stat(f.ctx, f.Backend, f.id, f.path("file"))
		if err != nil || info.Mode != mode {
			f.Errorf("a file written with mode %v has %v (%v)", mode, info.Mode, err)
		}
		if printed := f.shell(f.id, `stat -c %a "$1"`, f.path("file")); printed != fmt.Sprintf("%o\n", mode) {
			f.Errorf("a file written with mode %v has mode %s in the remote", mode, printed)
		}
		if age := time.Since(info.ModTime).Abs(); age > 5*time.Minute {
			f.Errorf("a file that was just written is of %s", info.ModTime)
		}
	}
	f.mustWrite("program", []byte("#!/bin/sh\necho ran\n"), 0o755)
	if result := f.run(f.id, backends.Command{Argv: []string{f.path("program")}}); string(result.Stdout) != "ran\n" {
		f.Errorf("a program that was written can't run: %+v", result)
	}
}

func writeReplaces(f *fileCheck) {
	f.mustWrite("made/on the way/file", []byte("old"), 0o600)
	// A second name of the old file shows whether the new content went into it, where a reader sees half of it.
	f.shell(f.id, `cd "$1/made" && ln "on the way/file" second && ln -s second link`, f.dir)
	f.mustWrite("made/on the way/file", []byte("new"), 0o640)
	f.mustWrite("made/link", []byte("no link"), 0o640)
	f.wantBytes("the replaced file", f.mustRead("made/on the way/file"), []byte("new"))
	f.wantBytes("the old file under its other name: it was written in place", f.mustRead("made/second"), []byte("old"))
	if output := f.shell(f.id, `[ -h "$1" ] && echo link; ls -A "$2"`, f.path("made/link"), f.path("made/on the way")); output != "file\n" {
		f.Errorf("a link was not replaced, or something is left beside the file: %q", output)
	}
	if mode := f.shell(f.id, `stat -c %a "$1"`, f.path("made/on the way")); mode != "755\n" {
		f.Errorf("a directory made on the way has mode %s", mode)
	}
}

func makesDirs(f *fileCheck) {
	for range 2 {
		if err := f.makeDir(f.ctx, f.Backend, f.id, f.path("a/it's b/c")); err != nil {
			f.Errorf("making a directory that may exist: %v", err)
		}
	}
	f.shell(f.id, `cd "$1"`, f.path("a/it's b/c"))
	f.mustWrite("a/it's b/c/file", []byte("x"), 0o600)
	if err := f.makeDir(f.ctx, f.Backend, f.id, f.path("a/it's b/c")); err != nil {
		f.Errorf("making a directory that has something in it: %v", err)
	}
	f.wantBytes("a file in a directory that was made again", f.mustRead("a/it's b/c/file"), []byte("x"))
}

func listsDirs(f *fileCheck) {
	f.shell(f.id, `cd "$1" && mkdir sub empty && printf 12345 > file && printf 1 > .hidden && ln -s /nowhere link && chmod 640 file &&
		printf x > sub/below`, f.dir)
	entries, err := f.readDir(f.ctx, f.Backend, f.id, f.dir)
	if err != nil {
		f.Fatalf("listing: %v", err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name+" "+entry.Mode.Type().String())
		if entry.Name == "file" && (entry.Size != 5 || entry.Mode != 0o640 || time.Since(entry.ModTime).Abs() > 5*time.Minute) {
			f.Errorf("a file of 5 bytes and mode 640 is listed as %+v", entry)
		}
		if entry.Mode.IsDir() && entry.Size != 0 {
			f.Errorf("a directory is listed with a size: %+v", entry)
		}
	}
	want := []string{".hidden ----------", "empty d---------", "file ----------", "link L---------", "sub d---------"}
	if !slices.Equal(got, want) {
		f.Errorf("the listing is %q, not %q", got, want)
	}
	if entries, err := f.readDir(f.ctx, f.Backend, f.id, f.path("empty")); err != nil || len(entries) > 0 {
		f.Errorf("an empty directory lists as %+v, %v", entries, err)
	}
	f.shell(f.id, `cd "$1/empty"; i=0; while [ $i -lt 450 ]; do : > "file $i"; i=$((i+1)); done`, f.dir)
	if entries, err := f.readDir(f.ctx, f.Backend, f.id, f.path("empty")); err != nil || len(entries) != 450 {
		f.Errorf("%d files of 450 are listed: %v", len(entries), err)
	}
}

func statsLinks(f *fileCheck) {
	f.shell(f.id, `cd "$1" && mkdir dir && ln -s dir link && ln -s /nowhere dangling && printf 123 > file`, f.dir)
	for name, want := range map[string]fs.FileMode{
		"dir": fs.ModeDir, "link": fs.ModeSymlink, "dangling": fs.ModeSymlink, "file": 0,
	} {
		info, err := f.stat(f.ctx, f.Backend, f.id, f.path(name))
		if err != nil || info.Mode.Type() != want || info.Name != name {
			f.Errorf("stat of %s is %+v (%v)", name, info, err)
		}
	}
}

func removesAll(f *fileCheck) {
	f.shell(f.id, `cd "$1" && mkdir -p tree/a/b kept && printf x > kept/file && ln -s ../../kept tree/a/link && ln -s kept link &&
		printf x > 'tree/a/odd
name' && printf x > tree/-rf && chmod 555 tree/a/b && ln -s /nowhere dangling && printf x > file`, f.dir)
	for _, name := range []string{"tree", "link", "dangling", "file"} {
		if err := f.remove(f.ctx, f.Backend, f.id, f.path(name)); err != nil {
			f.Errorf("removing %s: %v", name, err)
		}
	}
	if output := f.shell(f.id, `cd "$1" && ls -A . kept`, f.dir); output != ".:\nkept\n\nkept:\nfile\n" {
		f.Errorf("after removal of all but the directory \"kept\" and its file there is %q", output)
	}
}

func staysInside(f *fileCheck) {
	up := strings.Repeat("../", 20)
	f.shell(f.id, `cd "$1" && ln -s /etc/hostname absolute && ln -s "$2etc/hostname" relative && ln -s / root &&
		ln -s /proc/sys/kernel/random/boot_id boot`, f.dir, up)
	for _, name := range []string{"absolute", "relative", "root/etc/hostname", "boot"} {
		content, err := f.read(f.ctx, f.Backend, f.id, f.path(name), 0)
		if err != nil {
			if _, ok := errors.AsType[*backends.Error](err); ok {
				f.Errorf("reading through a link out of the directory blames the remote: %v", err)
			}
			continue
		}
		inside := f.run(f.id, scriptCommand(`cat "$1"`, f.path(name)))
		if inside.ExitCode != 0 || !bytes.Equal(inside.Stdout, content) {
			f.Errorf("%s leads to a file outside of the remote: %.40q; inside it is %.40q", name, content, inside.Stdout)
		}
	}
	outside := "/tmp/conformance-" + unique()
	if err := f.write(f.ctx, f.Backend, f.id, f.path("root"+outside), []byte("x"), 0o600); err != nil {
		return
	}
	if result := f.run(f.id, scriptCommand(`cat "$1" && rm "$1"`, outside)); string(result.Stdout) != "x" {
		f.Errorf("a file was written through a link to the root directory, and the remote has no such file: %+v", result)
	}
}
