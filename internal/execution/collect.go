// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// Files are the file operations of one remote, as package backends has them.
type Files interface {
	// Stat describes the file, a link itself and not its target.
	Stat(ctx context.Context, path string) (backends.FileInfo, error)
	// ReadFile returns the exact content of a regular file of at most so many bytes.
	ReadFile(ctx context.Context, path string, limit int64) ([]byte, error)
	// ReadDir returns the entries of a directory, sorted by name.
	ReadDir(ctx context.Context, path string) ([]backends.FileInfo, error)
}

// Finding is what was found at a path.
type Finding string

// The findings.
const (
	// FoundFile: Content is the whole file.
	FoundFile Finding = "file"
	// FoundDirectory: Entries is what is in it.
	FoundDirectory Finding = "directory"
	// FoundNothing: there is nothing, or a link that leads nowhere.
	FoundNothing Finding = "nothing"
	// FoundTooLarge: a file, or a directory's listing, of more than the limit. Info.Size says how large a file is, unless a
	// link leads to it.
	FoundTooLarge Finding = "too large"
	// FoundOther: neither a file nor a directory.
	FoundOther Finding = "other"
	// FoundUnreadable: Err says why it could not be read.
	FoundUnreadable Finding = "unreadable"
)

// Collected is a file or directory that was read from a sandbox.
type Collected struct {
	Finding Finding
	// Info is that of the path itself: of a link, where there is one.
	Info    backends.FileInfo
	Content []byte
	Entries []backends.FileInfo
	// Err is the error of the file, with FoundUnreadable.
	Err error
}

// Collect reads what is at a path: a file of at most limit bytes, or the listing of a directory; links are followed within
// the sandbox. What is wrong with the file is a Finding; an error is one of the sandbox or the call, after which it may be
// tried again.
func Collect(ctx context.Context, files Files, path string, limit int64) (Collected, error) {
	info, err := files.Stat(ctx, path)
	if err != nil {
		return unread(Collected{}, err)
	}
	c := Collected{Info: info}
	switch {
	case info.Mode.IsDir():
		return list(ctx, files, path, c)
	case info.Mode.IsRegular() && info.Size > limit:
		c.Finding = FoundTooLarge
		return c, nil
	case info.Mode.IsRegular(), info.Mode.Type() == fs.ModeSymlink:
		c.Content, err = files.ReadFile(ctx, path, limit)
		if errors.Is(err, syscall.EISDIR) {
			return list(ctx, files, path, c)
		}
		if err != nil {
			return unread(c, err)
		}
		c.Finding = FoundFile
		return c, nil
	default:
		c.Finding = FoundOther
		return c, nil
	}
}

func list(ctx context.Context, files Files, path string, c Collected) (Collected, error) {
	entries, err := files.ReadDir(ctx, path)
	if errors.Is(err, syscall.ENOTDIR) {
		c.Finding = FoundOther
		return c, nil
	}
	if err != nil {
		return unread(c, err)
	}
	c.Finding, c.Entries = FoundDirectory, entries
	return c, nil
}

// unread makes what is wrong with a file into a finding.
func unread(c Collected, err error) (Collected, error) {
	var e *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.Finding = FoundNothing
	case errors.Is(err, backends.ErrTooLarge):
		c.Finding = FoundTooLarge
	case errors.Is(err, fs.ErrInvalid):
		c.Finding = FoundOther
	case errors.As(err, &e):
		c.Finding, c.Err = FoundUnreadable, e.Err
	default:
		return c, err
	}
	return c, nil
}
