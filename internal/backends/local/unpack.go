// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

const (
	// maxImageBytes and maxImageEntries bound what an image unpacks to: a small archive can hold a very large file.
	maxImageBytes   = 16 << 30
	maxImageEntries = 2 << 20

	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// unpacker applies the layers of an image, lowest first, to a tree that nothing else touches meanwhile. Whatever names and
// links a layer contains, it writes nowhere but into that tree.
//
// Devices, sockets and named pipes are left out: a sandbox has its own /dev, and images have no use for the others. So are
// extended attributes: file capabilities would have no effect in a sandbox anyway.
type unpacker struct {
	files          tree
	bytes, entries int64
	// fresh are the paths that the present layer made, and the directories above them; an opaque whiteout hides all else.
	fresh map[string]bool
	// times are set at the end, since writing into a directory changes its own.
	times map[string]time.Time
}

func unpackLayers(ctx context.Context, image v1.Image, files tree) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	u := &unpacker{files: files, times: map[string]time.Time{}}
	for _, layer := range layers {
		if err := u.apply(ctx, layer); err != nil {
			return err
		}
	}
	for name, modified := range u.times {
		// A later layer may have replaced it, or hidden it; and a wrong time harms nobody.
		_ = u.files.Chtimes(name, modified, modified)
	}
	return nil
}

func (u *unpacker) apply(ctx context.Context, layer v1.Layer) error {
	content, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	u.fresh = map[string]bool{}
	archive := tar.NewReader(content)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return archiveError(ctx, err)
		}
		if err := u.entry(header, archive); err != nil {
			return fmt.Errorf("unpacking /%s: %w", strings.TrimPrefix(path.Clean(header.Name), "/"), err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	// The layer's digest is checked when its end is read, which is beyond the archive's.
	_, err = io.Copy(io.Discard, content)
	return err
}

// archiveError tells a layer that is no archive from a connection that broke.
func archiveError(ctx context.Context, err error) error {
	if errors.Is(err, tar.ErrHeader) && ctx.Err() == nil {
		return unfit("one of its layers is no tar archive")
	}
	return err
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	if u.entries++; u.entries > maxImageEntries {
		return unfit("it has more than %d files", maxImageEntries)
	}
	if u.bytes += max(header.Size, 0); u.bytes > maxImageBytes {
		return unfit("it unpacks to more than %d GiB", maxImageBytes>>30)
	}
	name, err := u.files.resolve(path.Clean("/"+header.Name), false)
	if err != nil {
		return err
	}
	if name == "." {
		return u.attributes(name, header)
	}
	if base := path.Base(name); strings.HasPrefix(base, whiteoutPrefix) {
		return u.whiteout(path.Dir(name), base)
	}
	if err := u.parents(path.Dir(name)); err != nil {
		return err
	}
	if err := u.make(name, header, content); err != nil {
		return err
	}
	return u.attributes(name, header)
}

// mark makes a path and the directories above it fresh.
func (u *unpacker) mark(name string) {
	for ; name != "." && !u.fresh[name]; name = path.Dir(name) {
		u.fresh[name] = true
	}
}

// parents makes missing directories, and replaces what stands in their way, as a later layer may.
func (u *unpacker) parents(dir string) error {
	err := u.files.ensureDir(dir)
	if !errors.Is(err, unix.ENOTDIR) {
		return err
	}
	here := "."
	for _, element := range elements(dir) {
		here = path.Join(here, element)
		info, err := u.files.Lstat(here)
		if err == nil && !info.IsDir() {
			err = u.files.RemoveAll(here)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return u.files.ensureDir(dir)
}

// whiteout hides a path of the lower layers, or all of a directory.
func (u *unpacker) whiteout(dir, base string) error {
	if base != whiteoutOpaque {
		hidden := strings.TrimPrefix(base, whiteoutPrefix)
		if hidden == "" || hidden == "." || hidden == ".." {
			return unfit("it has a malformed whiteout")
		}
		return u.files.RemoveAll(path.Join(dir, hidden))
	}
	return u.hideLower(dir)
}

// hideLower removes from a directory all that the present layer did not make.
func (u *unpacker) hideLower(dir string) error {
	handle, err := u.files.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := handle.ReadDir(-1)
	if err := errors.Join(err, handle.Close()); err != nil {
		return err
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case !u.fresh[name]:
			err = u.files.RemoveAll(name)
		case entry.IsDir():
			err = u.hideLower(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// make makes the entry, unless it is of a kind that is left out.
func (u *unpacker) make(name string, header *tar.Header, content io.Reader) error {
	var err error
	switch header.Typeflag {
	case tar.TypeDir:
		err = u.directory(name)
	case tar.TypeReg, tar.TypeGNUSparse:
		err = errors.Join(u.clear(name), u.regular(name, content))
	case tar.TypeSymlink:
		err = errors.Join(u.clear(name), u.files.Symlink(header.Linkname, name))
	case tar.TypeLink:
		err = u.link(name, header.Linkname)
	default:
		return nil
	}
	u.mark(name)
	return err
}

func (u *unpacker) link(name, to string) error {
	target, err := u.files.resolve(path.Clean("/"+to), false)
	if err != nil || target == name {
		return err
	}
	return errors.Join(u.clear(name), u.files.Link(target, name))
}

// directory keeps one that a lower layer made, with what is in it.
func (u *unpacker) directory(name string) error {
	info, err := u.files.Lstat(name)
	if err == nil && info.IsDir() {
		return nil
	}
	if err := u.clear(name); err != nil {
		return err
	}
	return u.files.Mkdir(name, 0o755)
}

// clear removes what a lower layer has at the path.
func (u *unpacker) clear(name string) error { return u.files.RemoveAll(name) }

func (u *unpacker) regular(name string, content io.Reader) error {
	file, err := u.files.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// attributes sets owner, mode and time. A hard link has those of the file that it leads to.
func (u *unpacker) attributes(name string, header *tar.Header) error {
	switch header.Typeflag {
	case tar.TypeDir, tar.TypeReg, tar.TypeGNUSparse, tar.TypeSymlink:
	default:
		return nil
	}
	if err := u.files.Lchown(name, header.Uid, header.Gid); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeSymlink {
		return nil
	}
	u.times[name] = header.ModTime
	// After the change of owner, which clears set-user-ID.
	return u.files.Chmod(name, header.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
}
