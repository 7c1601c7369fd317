// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// The work directory is a directory of the machine too, and files in it are read and written there, without a process in the
// sandbox. os.Root keeps every step below it, whatever links the sandbox has made; a link that leads out, which in the sandbox
// means one of its other directories, makes the operation fall back to a command in the sandbox, as do all paths elsewhere and
// all cases that are not plain. So the sandbox's own view decides in the end.

// errByCommand says that an operation is not for the native way.
var errByCommand = errors.New("not in the work directory")

// work is the work directory of a running remote.
type work struct {
	*os.Root
	owner identity
}

// work returns the work directory, and the path relative to it. The remote must run: in a dead one's files nobody may see
// changes that its processes would never see.
func (b *backend) work(ctx context.Context, operation, id, name string) (work, string, error) {
	_, d, rec, err := b.running(ctx, operation, id)
	if err != nil {
		return work{}, "", err
	}
	if !rec.WorkMounted || !isWithin(name, rec.WorkingDir) || name == rec.WorkingDir {
		return work{}, "", errByCommand
	}
	root, err := os.OpenRoot(d.work())
	if errors.Is(err, fs.ErrNotExist) {
		return work{}, "", notFound(operation)
	}
	if err != nil {
		return work{}, "", backends.Errorf(backends.Unavailable, Name, operation, "the work directory can't be opened: %w", err)
	}
	return work{Root: root, owner: rec.User}, strings.TrimPrefix(name, rec.WorkingDir+"/"), nil
}

// natively runs an operation on the work directory; the fall-back is taken unless that gives a plain answer.
func natively[T any](
	ctx context.Context, b *backend, operation, id, name string,
	native func(w work, relative string) (T, error), byCommand func() (T, error),
) (T, error) {
	var none T
	w, relative, err := b.work(ctx, operation, id, name)
	if errors.Is(err, errByCommand) {
		return byCommand()
	}
	if err != nil {
		return none, err
	}
	defer func() { _ = w.Close() }()
	value, err := native(w, relative)
	switch {
	case err == nil:
		return value, nil
	case errors.Is(err, fs.ErrNotExist):
		return none, &fs.PathError{Op: operation, Path: name, Err: fs.ErrNotExist}
	case errors.Is(err, backends.ErrTooLarge):
		return none, &fs.PathError{Op: operation, Path: name, Err: backends.ErrTooLarge}
	}
	return byCommand()
}

// ReadFile implements backends.FileReader.
func (b *backend) ReadFile(ctx context.Context, id, name string, limit int64) ([]byte, error) {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	return natively(ctx, b, "read file", id, name,
		func(w work, relative string) ([]byte, error) { return w.read(relative, limit) },
		func() ([]byte, error) { return backends.ReadFileByCommand(ctx, b, id, name, limit) })
}

// read never blocks on what only looks like a file.
func (w work) read(name string, limit int64) ([]byte, error) {
	file, err := w.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errByCommand
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if int64(len(content)) > limit {
		return nil, backends.ErrTooLarge
	}
	return content, err
}

// WriteFile implements backends.FileWriter.
func (b *backend) WriteFile(ctx context.Context, id, name string, content []byte, mode fs.FileMode) error {
	_, err := natively(ctx, b, "write file", id, name,
		func(w work, relative string) (struct{}, error) { return struct{}{}, w.write(relative, content, mode) },
		func() (struct{}, error) {
			return struct{}{}, backends.WriteFileByCommand(ctx, b, id, name, content, mode)
		})
	return err
}

// write makes the file under another name first, so that no reader sees half of it, and gives it to the sandbox's user.
func (w work) write(name string, content []byte, mode fs.FileMode) error {
	dir := path.Dir(name)
	if err := w.makeDirs(dir); err != nil {
		return err
	}
	if info, err := w.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return errByCommand
	}
	temporary := path.Join(dir, ".sandboxes.run-"+rand.Text())
	err := w.writeNew(temporary, content, mode)
	if err == nil {
		err = w.Rename(temporary, name)
	}
	if err != nil {
		_ = w.Remove(temporary)
	}
	return err
}

func (w work) writeNew(name string, content []byte, mode fs.FileMode) error {
	file, err := w.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err,
		file.Chown(int(w.owner.UID), int(w.owner.GID)), file.Chmod(mode.Perm()), file.Close())
}

// makeDirs makes a directory and its parents, those that are missing for the sandbox's user.
func (w work) makeDirs(name string) error {
	here := "."
	for _, element := range elements(name) {
		here = path.Join(here, element)
		err := w.Mkdir(here, 0o755)
		if err == nil {
			err = errors.Join(w.Chmod(here, 0o755), w.Lchown(here, int(w.owner.UID), int(w.owner.GID)))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	info, err := w.Stat(here)
	if err == nil && !info.IsDir() {
		return errByCommand
	}
	return err
}

// MakeDir implements backends.DirMaker.
func (b *backend) MakeDir(ctx context.Context, id, name string) error {
	_, err := natively(ctx, b, "make directory", id, name,
		func(w work, relative string) (struct{}, error) { return struct{}{}, w.makeDirs(relative) },
		func() (struct{}, error) { return struct{}{}, backends.MakeDirByCommand(ctx, b, id, name) })
	return err
}

// ReadDir implements backends.DirReader.
func (b *backend) ReadDir(ctx context.Context, id, name string) ([]backends.FileInfo, error) {
	return natively(ctx, b, "read directory", id, name, work.list,
		func() ([]backends.FileInfo, error) { return backends.ReadDirByCommand(ctx, b, id, name) })
}

func (w work) list(name string) ([]backends.FileInfo, error) {
	dir, err := w.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	infos := make([]backends.FileInfo, 0, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, fileInfo(info))
	}
	slices.SortFunc(infos, func(a, b backends.FileInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos, nil
}

func fileInfo(info fs.FileInfo) backends.FileInfo {
	described := backends.FileInfo{Name: info.Name(), Mode: info.Mode(), ModTime: info.ModTime()}
	if !info.IsDir() {
		described.Size = info.Size()
	}
	return described
}

// Stat implements backends.Stater.
func (b *backend) Stat(ctx context.Context, id, name string) (backends.FileInfo, error) {
	return natively(ctx, b, "stat", id, name,
		func(w work, relative string) (backends.FileInfo, error) {
			info, err := w.Lstat(relative)
			if err != nil {
				return backends.FileInfo{}, err
			}
			return fileInfo(info), nil
		},
		func() (backends.FileInfo, error) { return backends.StatByCommand(ctx, b, id, name) })
}

// Remove implements backends.Remover.
func (b *backend) Remove(ctx context.Context, id, name string) error {
	_, err := natively(ctx, b, "remove", id, name,
		func(w work, relative string) (struct{}, error) {
			if _, err := w.Lstat(relative); err != nil {
				return struct{}{}, err
			}
			return struct{}{}, w.RemoveAll(relative)
		},
		func() (struct{}, error) { return struct{}{}, backends.RemoveByCommand(ctx, b, id, name) })
	return err
}
