// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

// files is the part of a backend that handles files by itself.
type files struct{ c *connection }

// within says whether a path is the directory or below it.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// hostPath returns where a path of the remote is on this machine.
func (r *remote) hostPath(path string) string {
	if within(r.dir, path) {
		return path
	}
	return filepath.Join(r.dir, "root", path)
}

// contained returns the path on this machine, if its links don't lead out of the remote's directory. The last element
// is followed only where the caller will.
func (r *remote) contained(path string, follow bool) (string, error) {
	host := r.hostPath(path)
	checked := host
	if !follow {
		checked = filepath.Dir(host)
	}
	for {
		resolved, err := filepath.EvalSymlinks(checked)
		switch {
		case err == nil && !within(r.dir, resolved):
			return "", fs.ErrPermission
		case err == nil:
			return host, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return "", err
		}
		checked = filepath.Dir(checked)
	}
}

// access runs an operation on a file of the remote, and words its error as the contract wants it.
func (f files) access(
	ctx context.Context, operation, id, path string, follow bool, work func(host string) error,
) error {
	return f.c.call(ctx, Call{Operation: operation, ID: id, Path: path}, func() error {
		r, _, err := f.c.running(operation, id)
		if err != nil {
			return err
		}
		host, err := r.contained(path, follow)
		if err == nil {
			err = work(host)
		}
		if err == nil {
			return nil
		}
		// The remote may have vanished meanwhile, with its directory.
		if _, _, gone := f.c.running(operation, id); gone != nil {
			return gone
		}
		if cause, ok := errors.AsType[*fs.PathError](err); ok {
			err = cause.Err
		}
		return &fs.PathError{Op: operation, Path: path, Err: err}
	})
}

// belowFile says of a path below something that is no directory that it does not exist.
func belowFile(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrNotExist
	}
	return err
}

// ReadFile implements backends.FileReader.
func (f files) ReadFile(ctx context.Context, id, path string, limit int64) (content []byte, err error) {
	if limit <= 0 {
		limit = backends.DefaultOutputLimit
	}
	err = f.access(ctx, OperationReadFile, id, path, true, func(host string) error {
		content, err = readRegular(host, limit)
		return belowFile(err)
	})
	return content, err
}

func readRegular(host string, limit int64) ([]byte, error) {
	info, err := os.Stat(host)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, fs.ErrInvalid
	}
	file, err := os.Open(host)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if int64(len(content)) > limit {
		return nil, backends.ErrTooLarge
	}
	return content, err
}

// WriteFile implements backends.FileWriter.
func (f files) WriteFile(ctx context.Context, id, path string, content []byte, mode fs.FileMode) error {
	return f.access(ctx, OperationWriteFile, id, path, false, func(host string) error {
		if err := makeDir(filepath.Dir(host)); err != nil {
			return err
		}
		if info, err := os.Stat(host); err == nil && info.IsDir() {
			return fs.ErrExist
		}
		return replace(host, content, mode.Perm())
	})
}

func makeDir(host string) error {
	err := os.MkdirAll(host, 0o755) //nolint:gosec // as the contract has it
	if errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrExist
	}
	return err
}

func replace(host string, content []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(host), ".sandboxes.run-")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), host)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// MakeDir implements backends.DirMaker.
func (f files) MakeDir(ctx context.Context, id, path string) error {
	return f.access(ctx, OperationMakeDir, id, path, true, makeDir)
}

// ReadDir implements backends.DirReader.
func (f files) ReadDir(ctx context.Context, id, path string) (found []backends.FileInfo, err error) {
	err = f.access(ctx, OperationReadDir, id, path, true, func(host string) error {
		if _, err := os.Stat(host); err != nil {
			return belowFile(err)
		}
		entries, err := os.ReadDir(host)
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil {
				found = append(found, describeFile(info))
			}
		}
		return err
	})
	return found, err
}

// Stat implements backends.Stater.
func (f files) Stat(ctx context.Context, id, path string) (found backends.FileInfo, err error) {
	err = f.access(ctx, OperationStat, id, path, false, func(host string) error {
		info, err := os.Lstat(host)
		if err != nil {
			return belowFile(err)
		}
		found = describeFile(info)
		found.Name = filepath.Base(path)
		return nil
	})
	return found, err
}

func describeFile(info fs.FileInfo) backends.FileInfo {
	described := backends.FileInfo{
		Name: info.Name(), Size: info.Size(), Mode: info.Mode(), ModTime: info.ModTime(),
	}
	if info.IsDir() {
		described.Size = 0
	}
	return described
}

// Remove implements backends.Remover.
func (f files) Remove(ctx context.Context, id, path string) error {
	return f.access(ctx, OperationRemove, id, path, false, func(host string) error {
		if _, err := os.Lstat(host); err != nil {
			return belowFile(err)
		}
		return os.RemoveAll(host)
	})
}
