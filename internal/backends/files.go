// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"time"
)

// ErrTooLarge is the cause of a *fs.PathError for a file or listing that is larger than the caller allowed.
var ErrTooLarge = errors.New("larger than allowed")

// FileInfo describes a file in a remote.
type FileInfo struct {
	// Name is the last element of the path.
	Name string
	// Size in bytes; 0 for directories.
	Size int64
	// Mode has type and permission bits.
	Mode fs.FileMode
	// ModTime is the time of the last change, to the second or better.
	ModTime time.Time
}

// The file operations. Paths are absolute and clean. What is wrong with a file is an fs error (fs.ErrNotExist,
// fs.ErrExist, fs.ErrPermission or ErrTooLarge wrapped in *fs.PathError, found with errors.Is); what is wrong with the
// remote or the call is an *Error. None of them follows a link out of the remote.
//
// Where it isn't plain: a path below something that is no directory is fs.ErrNotExist to who reads, stats or removes,
// and fs.ErrExist to who writes or makes a directory; so is writing over a directory, or making one where a file is.
// Reading what is no regular file is syscall.EISDIR or fs.ErrInvalid, listing what is no directory syscall.ENOTDIR.
type (
	// FileReader reads a regular file.
	FileReader interface {
		// ReadFile returns the exact content. A file of more than limit bytes is ErrTooLarge; 0 = DefaultOutputLimit.
		ReadFile(ctx context.Context, id, path string, limit int64) ([]byte, error)
	}
	// FileWriter writes a regular file.
	FileWriter interface {
		// WriteFile makes missing parent directories (0755) and replaces the file at once: no reader sees half of it. A link
		// is replaced, not followed. The file gets the permission bits of mode, whatever the umask; other bits are ignored.
		WriteFile(ctx context.Context, id, path string, content []byte, mode fs.FileMode) error
	}
	// DirMaker makes a directory.
	DirMaker interface {
		// MakeDir makes missing parents too; a directory that exists is no error.
		MakeDir(ctx context.Context, id, path string) error
	}
	// DirReader lists a directory.
	DirReader interface {
		// ReadDir returns the entries sorted by name, links not followed.
		ReadDir(ctx context.Context, id, path string) ([]FileInfo, error)
	}
	// Stater describes one file.
	Stater interface {
		// Stat describes the file, a link itself and not its target.
		Stat(ctx context.Context, id, path string) (FileInfo, error)
	}
	// Remover removes a file or a directory with all that is in it.
	Remover interface {
		// Remove of a path that does not exist is fs.ErrNotExist. Links are removed, not followed.
		Remove(ctx context.Context, id, path string) error
	}
)

// ReadFile returns the exact content of a regular file in the remote. A file of more than limit bytes is ErrTooLarge;
// 0 = DefaultOutputLimit.
func ReadFile(ctx context.Context, b Backend, id, path string, limit int64) ([]byte, error) {
	if err := checkPath("read file", path); err != nil {
		return nil, err
	}
	if native, ok := b.(FileReader); ok {
		return native.ReadFile(ctx, id, path, limit)
	}
	return ReadFileByCommand(ctx, b, id, path, limit)
}

// WriteFile replaces a file in the remote at once, and makes missing parent directories.
func WriteFile(ctx context.Context, b Backend, id, path string, content []byte, mode fs.FileMode) error {
	if err := checkPath("write file", path); err != nil {
		return err
	}
	if native, ok := b.(FileWriter); ok {
		return native.WriteFile(ctx, id, path, content, mode)
	}
	return WriteFileByCommand(ctx, b, id, path, content, mode)
}

// MakeDir makes a directory in the remote, with its missing parents; one that exists is no error.
func MakeDir(ctx context.Context, b Backend, id, path string) error {
	if err := checkPath("make directory", path); err != nil {
		return err
	}
	if native, ok := b.(DirMaker); ok {
		return native.MakeDir(ctx, id, path)
	}
	return MakeDirByCommand(ctx, b, id, path)
}

// ReadDir returns the entries of a directory in the remote, sorted by name, links not followed.
func ReadDir(ctx context.Context, b Backend, id, path string) ([]FileInfo, error) {
	if err := checkPath("read directory", path); err != nil {
		return nil, err
	}
	if native, ok := b.(DirReader); ok {
		return native.ReadDir(ctx, id, path)
	}
	return ReadDirByCommand(ctx, b, id, path)
}

// Stat describes a file in the remote, a link itself and not its target.
func Stat(ctx context.Context, b Backend, id, path string) (FileInfo, error) {
	if err := checkPath("stat", path); err != nil {
		return FileInfo{}, err
	}
	if native, ok := b.(Stater); ok {
		return native.Stat(ctx, id, path)
	}
	return StatByCommand(ctx, b, id, path)
}

// Exists says whether the remote has something at this path, be it a link that leads nowhere.
func Exists(ctx context.Context, b Backend, id, path string) (bool, error) {
	_, err := Stat(ctx, b, id, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Remove removes a file, or a directory with all that is in it, from the remote. Links are removed, not followed.
func Remove(ctx context.Context, b Backend, id, path string) error {
	if err := checkPath("remove", path); err != nil {
		return err
	}
	if path == "/" {
		return Errorf(Invalid, remoteFiles, "remove", "the root directory is never removed")
	}
	if native, ok := b.(Remover); ok {
		return native.Remove(ctx, id, path)
	}
	return RemoveByCommand(ctx, b, id, path)
}

// remoteFiles stands for the backend in errors of this file, which doesn't know the backend's name.
const remoteFiles = "sandbox"

// maxPath is Linux's PATH_MAX without the final NUL.
const maxPath = 4095

// checkPath refuses paths that could mean different things to different backends.
func checkPath(operation, name string) error {
	switch {
	case !path.IsAbs(name):
		return Errorf(Invalid, remoteFiles, operation, "path %q is not absolute", Bounded(name, 256))
	case path.Clean(name) != name:
		return Errorf(Invalid, remoteFiles, operation, "path %q is not clean: write %q",
			Bounded(name, 256), Bounded(path.Clean(name), 256))
	case strings.ContainsRune(name, 0):
		return Errorf(Invalid, remoteFiles, operation, "path %q has a NUL byte", Bounded(name, 256))
	case len(name) > maxPath:
		return Errorf(Invalid, remoteFiles, operation, "path is longer than %d bytes", maxPath)
	}
	return nil
}

// pathError makes the error of a file, as opposed to one of the remote.
func pathError(operation, name string, err error) error {
	return &fs.PathError{Op: operation, Path: name, Err: err}
}

var (
	errIsDir  error = syscall.EISDIR
	errNotDir error = syscall.ENOTDIR
)
