// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package backends

import (
	"context"
	"io/fs"
	"time"
)

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
type (
	// FileReader reads a regular file.
	FileReader interface {
		// ReadFile returns the exact content. A file of more than limit bytes is ErrTooLarge; 0 = DefaultOutputLimit.
		ReadFile(ctx context.Context, id, path string, limit int64) ([]byte, error)
	}
	// FileWriter writes a regular file.
	FileWriter interface {
		// WriteFile makes missing parent directories and replaces the file at once: no reader sees half of it.
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
