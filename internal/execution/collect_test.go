// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// fakeFile is what a fake sandbox has at a path.
type fakeFile struct {
	info    backends.FileInfo
	content string
	entries []backends.FileInfo
	// stat, read and list are the errors of these operations.
	stat, read, list error
}

// fakeFiles answers as package backends promises, and counts what was read.
type fakeFiles struct {
	files map[string]fakeFile
	reads int
}

func (f *fakeFiles) at(path string) (fakeFile, error) {
	file, ok := f.files[path]
	if !ok {
		return file, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
	}
	return file, file.stat
}

func (f *fakeFiles) Stat(_ context.Context, path string) (backends.FileInfo, error) {
	file, err := f.at(path)
	return file.info, err
}

func (f *fakeFiles) ReadFile(_ context.Context, path string, limit int64) ([]byte, error) {
	f.reads++
	file, err := f.at(path)
	switch {
	case err != nil:
		return nil, err
	case file.read != nil:
		return nil, &fs.PathError{Op: "read", Path: path, Err: file.read}
	case int64(len(file.content)) > limit:
		return nil, &fs.PathError{Op: "read", Path: path, Err: backends.ErrTooLarge}
	}
	return []byte(file.content), nil
}

func (f *fakeFiles) ReadDir(_ context.Context, path string) ([]backends.FileInfo, error) {
	file, err := f.at(path)
	if err == nil && file.list != nil {
		err = &fs.PathError{Op: "list", Path: path, Err: file.list}
	}
	return file.entries, err
}

func TestWhatIsCollected(t *testing.T) {
	const limit, huge = 10, int64(5) << 30
	mode := func(m fs.FileMode, size int64) backends.FileInfo {
		return backends.FileInfo{Name: "x", Mode: m, Size: size}
	}
	listing := []backends.FileInfo{{Name: "a", Mode: 0o644}}
	cases := map[string]struct {
		file    fakeFile
		finding Finding
		reads   int
	}{
		"a file":                         {fakeFile{info: mode(0o644, 5), content: "hello"}, FoundFile, 1},
		"an empty file":                  {fakeFile{info: mode(0o644, 0)}, FoundFile, 1},
		"a file of just the limit":       {fakeFile{info: mode(0o644, 10), content: "0123456789"}, FoundFile, 1},
		"a file of 5 GiB, unread":        {fakeFile{info: mode(0o644, huge)}, FoundTooLarge, 0},
		"a file that grew meanwhile":     {fakeFile{info: mode(0o644, 5), content: "0123456789a"}, FoundTooLarge, 1},
		"a file that vanished meanwhile": {fakeFile{info: mode(0o644, 5), read: fs.ErrNotExist}, FoundNothing, 1},
		"a file nobody may read":         {fakeFile{info: mode(0, 5), read: fs.ErrPermission}, FoundUnreadable, 1},
		"a directory":                    {fakeFile{info: mode(fs.ModeDir|0o755, 0), entries: listing}, FoundDirectory, 0},
		"a directory of too many":        {fakeFile{info: mode(fs.ModeDir|0o755, 0), list: backends.ErrTooLarge}, FoundTooLarge, 0},
		"a directory nobody may list":    {fakeFile{info: mode(fs.ModeDir, 0), list: fs.ErrPermission}, FoundUnreadable, 0},
		"a directory that became a file": {fakeFile{info: mode(fs.ModeDir, 0), list: syscall.ENOTDIR}, FoundOther, 0},
		"a link to a file":               {fakeFile{info: mode(fs.ModeSymlink|0o777, 3), content: "hello"}, FoundFile, 1},
		"a link to a large file":         {fakeFile{info: mode(fs.ModeSymlink|0o777, 3), content: "0123456789a"}, FoundTooLarge, 1},
		"a link to a directory": {
			fakeFile{info: mode(fs.ModeSymlink, 3), read: syscall.EISDIR, entries: listing}, FoundDirectory, 1,
		},
		"a link that leads nowhere": {fakeFile{info: mode(fs.ModeSymlink, 3), read: fs.ErrNotExist}, FoundNothing, 1},
		"a link to a device":        {fakeFile{info: mode(fs.ModeSymlink, 3), read: fs.ErrInvalid}, FoundOther, 1},
		"links in a circle":         {fakeFile{info: mode(fs.ModeSymlink, 3), read: syscall.ELOOP}, FoundUnreadable, 1},
		"a device, unread":          {fakeFile{info: mode(fs.ModeDevice|fs.ModeCharDevice|0o666, 0)}, FoundOther, 0},
		"a pipe, unread":            {fakeFile{info: mode(fs.ModeNamedPipe|0o666, 0)}, FoundOther, 0},
		"a socket, unread":          {fakeFile{info: mode(fs.ModeSocket|0o666, 0)}, FoundOther, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			files := &fakeFiles{files: map[string]fakeFile{"/x": c.file}}
			got, err := Collect(t.Context(), files, "/x", limit)
			if err != nil || got.Finding != c.finding || files.reads != c.reads {
				t.Fatalf("got %+v after %d reads, %v; want %q after %d", got, files.reads, err, c.finding, c.reads)
			}
			if got.Info.Mode != c.file.info.Mode || got.Info.Size != c.file.info.Size {
				t.Errorf("it is said to be %+v", got.Info)
			}
			if got.Finding == FoundFile && string(got.Content) != c.file.content {
				t.Errorf("the content is %q", got.Content)
			}
			if got.Finding == FoundDirectory && len(got.Entries) != 1 {
				t.Errorf("the listing is %v", got.Entries)
			}
			if (got.Finding == FoundUnreadable) != (got.Err != nil) {
				t.Errorf("the error of the file is %v", got.Err)
			}
		})
	}
}

func TestAPathWithNothingThereIsNoError(t *testing.T) {
	got, err := Collect(t.Context(), &fakeFiles{}, "/x", 10)
	if err != nil || got.Finding != FoundNothing {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestATroubleOfTheCallIsNoFinding(t *testing.T) {
	trouble := errors.New("the line is dead")
	_, err := Collect(t.Context(), &fakeFiles{files: map[string]fakeFile{"/x": {stat: trouble}}}, "/x", 10)
	if !errors.Is(err, trouble) {
		t.Fatalf("got %v", err)
	}
}
