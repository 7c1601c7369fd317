// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/internal/plugin/archive"
)

// localTarget is where a copy goes on this machine: into a directory that is there, or that a slash at the end asks for, else to
// that name. The directories above it are made.
func localTarget(destination, base string) (string, error) {
	info, err := os.Stat(destination)
	isDirectory := err == nil && info.IsDir()
	if !isDirectory && strings.HasSuffix(destination, string(filepath.Separator)) {
		if err := os.MkdirAll(destination, 0o755); err != nil { //nolint:gosec // the umask decides, as with mkdir(1)
			return "", err
		}
		isDirectory = true
	}
	if isDirectory {
		return filepath.Join(destination, base), nil
	}
	return destination, os.MkdirAll(filepath.Dir(destination), 0o755) //nolint:gosec // likewise
}

// replace puts the content that write writes to a file of its own at a path, at once and whole, with these permission bits. What
// is no file, such as a pipe, is written to.
func replace(path string, mode fs.FileMode, write func(*os.File) error) (err error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory", path)
	}
	directory := filepath.Dir(path)
	special := err == nil && !info.Mode().IsRegular()
	if special {
		directory = ""
	}
	return withTemporary(directory, func(file *os.File) error {
		if err := write(file); err != nil {
			return err
		}
		if special {
			return appendTo(path, file)
		}
		if err := errors.Join(file.Chmod(mode), file.Close()); err != nil {
			return err
		}
		return os.Rename(file.Name(), path)
	})
}

func appendTo(path string, from io.Reader) error {
	to, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// withTemporary makes a file that is gone afterwards; directory empty = where such files go.
func withTemporary(directory string, use func(*os.File) error) error {
	file, err := os.CreateTemp(directory, ".sandbox-copy-*")
	if err != nil {
		return err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	return use(file)
}

// sizeOf is about what an archive of a directory will have.
func sizeOf(directory string) (int64, error) {
	const block, end = 512, 1024
	root, err := archive.Root(directory)
	if err != nil {
		return 0, err
	}
	total := int64(end)
	err = filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		total += block
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += (info.Size() + block - 1) / block * block
		}
		return nil
	})
	return total, err
}
