// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Root is where a tree is whose directory may be given as a link to it: what walks a tree follows no link, not even that. Any
// other name stays what it is.
func Root(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return name, err
	}
	if info, err = os.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return name, err
	}
	return filepath.EvalSymlinks(name)
}

// Pack writes the content of a local directory to w, with modes and links; the directory itself is ".", and may be given as a
// link. Those in it are kept as they are and never followed. warn is told of each entry that is left out, as it is neither file,
// directory nor link.
func Pack(ctx context.Context, w io.Writer, directory string, warn func(string)) error {
	root, err := Root(directory)
	if err != nil {
		return fmt.Errorf("reading %s: %w", directory, err)
	}
	writer := tar.NewWriter(w)
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return packEntry(writer, path, filepath.ToSlash(name), entry, warn)
	})
	if err != nil {
		return fmt.Errorf("reading %s: %w", directory, err)
	}
	return writer.Close()
}

func packEntry(w *tar.Writer, path, name string, entry fs.DirEntry, warn func(string)) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	var destination string
	switch info.Mode().Type() {
	case 0, fs.ModeDir:
	case fs.ModeSymlink:
		if destination, err = os.Readlink(path); err != nil {
			return err
		}
	default:
		warn(fmt.Sprintf("left out %q: it is neither a file, a directory nor a link", path))
		return nil
	}
	header, err := tar.FileInfoHeader(info, destination)
	if err != nil {
		return err
	}
	// Who has it here means nothing there. GNU's format has names of any length and any bytes; BusyBox skips those of PAX.
	header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
	header.Format, header.PAXRecords, header.Name = tar.FormatGNU, nil, name
	header.Mode &= 0o777
	header.ModTime, header.AccessTime, header.ChangeTime = header.ModTime.Truncate(time.Second), time.Time{}, time.Time{}
	if info.IsDir() {
		header.Name += "/"
	}
	if err := w.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return packContent(w, path)
}

func packContent(w *tar.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(w, file)
	return err
}
