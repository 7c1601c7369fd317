// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Unpack writes what an archive from a sandbox holds into a local directory, which it makes where there is none. Names that lead
// out of it are an error; links that lead out of it, devices and pipes are left out, and warn is told of each. Files that are there are
// replaced, never written through. Of all files together it writes at most so many bytes, sparse ones counted in full: else ErrTooLarge.
func Unpack(r io.Reader, directory string, most int64, warn func(string)) error {
	fresh := os.Mkdir(directory, 0o755) == nil //nolint:gosec // the archive says its mode
	root, err := os.OpenRoot(directory)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	u := &unpacker{root: root, fresh: fresh, left: most, warn: warn}
	reader := tar.NewReader(r)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if err := u.entry(header, reader); err != nil {
			return err
		}
	}
}

type unpacker struct {
	root *os.Root
	// fresh: the target was not there before.
	fresh bool
	left  int64
	warn  func(string)
	// links are made last: nothing is ever written through one that the archive brought.
	links []link
	// made are the directories that were not there before. They get their modes last, for they may be read-only.
	made []madeDirectory
}

type link struct{ name, destination string }

type madeDirectory struct {
	name string
	mode fs.FileMode
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	name, err := localName(header.Name)
	if err != nil {
		return err
	}
	mode := fs.FileMode(header.Mode).Perm()
	switch header.Typeflag {
	case tar.TypeDir:
		return u.directory(name, mode)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(name, mode, header.Size, content)
	case tar.TypeLink:
		return u.hardLink(name, header.Linkname)
	case tar.TypeSymlink:
		u.links = append(u.links, link{name, header.Linkname})
	default:
		u.warn(fmt.Sprintf("left out %q: it is neither a file, a directory nor a link", header.Name))
	}
	return nil
}

func (u *unpacker) directory(name string, mode fs.FileMode) error {
	if info, err := u.root.Stat(name); err == nil && info.IsDir() {
		if name == "." && u.fresh {
			u.made = append(u.made, madeDirectory{name, mode})
		}
		return nil
	}
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	u.made = append(u.made, madeDirectory{name, mode})
	return nil
}

// makeWay takes away what is at a name, so that the new one is never written through a link, and makes the directories above.
func (u *unpacker) makeWay(name string) error {
	if name == "." {
		return errors.New("the archive has a file in the place of the target")
	}
	info, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return u.root.MkdirAll(filepath.Dir(name), 0o755)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory here, and something else in the sandbox", filepath.Join(u.root.Name(), name))
	}
	return u.root.Remove(name)
}

func (u *unpacker) file(name string, mode fs.FileMode, size int64, content io.Reader) error {
	if u.left -= size; size < 0 || u.left < 0 {
		return ErrTooLarge
	}
	if err := u.makeWay(name); err != nil {
		return err
	}
	file, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Chmod(mode), file.Close())
}

func (u *unpacker) hardLink(name, destination string) error {
	from, err := localName(destination)
	if err != nil {
		return err
	}
	if info, err := u.root.Lstat(from); err != nil || !info.Mode().IsRegular() {
		u.warn(fmt.Sprintf("left out %q: it is one file with %q, which was not copied", name, destination))
		return nil //nolint:nilerr // what is not there can't be linked to
	}
	if from == name {
		return nil
	}
	if err := u.makeWay(name); err != nil {
		return err
	}
	return u.root.Link(from, name)
}

func (u *unpacker) finish() error {
	for _, l := range u.links {
		if !staysInside(l.name, l.destination) || u.behindLink(l.name) {
			u.warn(fmt.Sprintf("left out the link %q: it leads out of the target, to %q", l.name, l.destination))
			continue
		}
		if err := u.makeWay(l.name); err != nil {
			return err
		}
		if err := u.root.Symlink(l.destination, l.name); err != nil {
			return err
		}
	}
	// The deepest first: one that may not be entered keeps nobody from those below it.
	for _, d := range slices.Backward(u.made) {
		if err := u.root.Chmod(d.name, d.mode); err != nil {
			return err
		}
	}
	return nil
}

// behindLink says whether a directory above name is a link: then what lies where is not what names say.
func (u *unpacker) behindLink(name string) bool {
	for above := filepath.Dir(name); above != "."; above = filepath.Dir(above) {
		if info, err := u.root.Lstat(above); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}
