// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rootfs is a root filesystem that a bundle can name: a directory that is shared and never changed, since each sandbox
// writes to an overlay of its own.
type rootfs struct {
	dir string
	// mounts are put on it, beside those that every sandbox has.
	mounts []specs.Mount
	// image is the resolved reference, "" for the machine's own /usr.
	image string
	// env, workingDir and user are the image's wishes.
	env        []string
	workingDir string
	user       identity
}

// A base is the root filesystem of remotes that name no image: the machine's /usr, read-only, with a small /etc. Of the
// machine's /etc it has only what programs under /usr need to start and to verify certificates, and of that only what every
// user of the machine may read.

// usrLinks are the top directories that are links into /usr on most machines, and directories of their own on some.
func usrLinks() []string { return []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} }

// borrowed is what a base copies from the machine's /etc.
func borrowed() []string {
	return []string{
		"etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d", "etc/alternatives", "etc/services", "etc/protocols",
		"etc/ssl/certs", "etc/ssl/openssl.cnf", "etc/pki/tls/certs", "etc/pki/ca-trust/extracted",
	}
}

// maxBorrowed bounds one file that a base copies, in bytes.
const maxBorrowed = 4 << 20

// baseRootfs is the root filesystem in a base's directory, which itself is closed to others than root.
const baseRootfs = "rootfs"

// baseFiles are written into each base.
func baseFiles() map[string]string {
	return map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n" +
			"user:x:1000:1000:user:/home/user:/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"etc/group":         "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
		"etc/hostname":      sandboxHostname + "\n",
		"etc/hosts":         hostsFile,
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"etc/resolv.conf":   "",
	}
}

// baseDirs are made in each base, with these modes.
func baseDirs() map[string]fs.FileMode {
	return map[string]fs.FileMode{
		"usr": 0o755, "root": 0o700, "home/user": 0o755, "opt": 0o755, "srv": 0o755, "mnt": 0o755,
		"var/lib": 0o755, "var/log": 0o755, "var/cache": 0o755, "var/tmp": 0o777 | fs.ModeSticky,
	}
}

// base returns the root filesystem for remotes without an image. It is made anew when what it borrows from the machine has
// changed; older ones stay, for sandboxes may be using them.
func (s store) base(host string) (rootfs, error) {
	key, err := baseKey(host)
	if err != nil {
		return rootfs{}, err
	}
	place := filepath.Join(s.root, basesDir, key)
	if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
		err = s.makeBase(host, place)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return rootfs{}, err
		}
	} else if err != nil {
		return rootfs{}, err
	}
	mounts, err := usrMounts(host)
	return rootfs{dir: filepath.Join(place, baseRootfs), mounts: mounts, user: identity{}}, err
}

// baseKey changes when the machine's borrowed files do, as far as their own times and links tell.
func baseKey(host string) (string, error) {
	const layout = "1" // changes with the code that makes bases
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, layout)
	for _, name := range append(usrLinks(), borrowed()...) {
		info, err := os.Lstat(filepath.Join(host, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintln(sum, name, info.Mode(), info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(sum.Sum(nil)[:12]), nil
}

func (s store) makeBase(host, place string) error {
	staged, err := s.newStage()
	if err != nil {
		return err
	}
	if err := fillBase(host, filepath.Join(staged.path, baseRootfs)); err != nil {
		return errors.Join(err, staged.discard())
	}
	if err := staged.publish(place); err != nil {
		return errors.Join(err, staged.discard())
	}
	return nil
}

func fillBase(host, dir string) error {
	if err := makeOpenDir(dir); err != nil {
		return err
	}
	base, err := openTree(dir)
	if err != nil {
		return err
	}
	defer func() { _ = base.Close() }()
	for name, mode := range baseDirs() {
		if err := errors.Join(base.ensureDir(name), base.Chmod(name, mode)); err != nil {
			return err
		}
	}
	if err := errors.Join(base.Chown("home/user", 1000, 1000), linkUsr(host, base), base.prepare()); err != nil {
		return err
	}
	for _, name := range borrowed() {
		if err := borrow(host, name, base); err != nil {
			return err
		}
	}
	for name, content := range baseFiles() {
		if err := base.writeFile(name, []byte(content)); err != nil {
			return err
		}
	}
	return nil
}

// linkUsr repeats the machine's links from its top directory into /usr.
func linkUsr(host string, base tree) error {
	for _, name := range usrLinks() {
		target, err := os.Readlink(filepath.Join(host, name))
		if err != nil || !strings.HasPrefix(strings.TrimPrefix(target, "/"), "usr/") {
			continue
		}
		if err := base.Symlink(target, name); err != nil {
			return err
		}
	}
	return nil
}

// usrMounts binds /usr, and those of its companions that are directories of their own, read-only.
func usrMounts(host string) ([]specs.Mount, error) {
	var mounts []specs.Mount
	for _, name := range append([]string{"usr"}, usrLinks()...) {
		info, err := os.Lstat(filepath.Join(host, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			mounts = append(mounts, bind(filepath.Join(host, name), "/"+name, "ro"))
		}
	}
	return mounts, nil
}

// borrow copies a file or a directory tree from the machine, links as links, and leaves out what is not for everyone to
// read, what is no plain file, and what vanished meanwhile.
func borrow(host, name string, base tree) error {
	return filepath.WalkDir(filepath.Join(host, name), func(source string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return nil //nolint:nilerr // it vanished
		}
		target, err := filepath.Rel(host, source)
		if err != nil {
			return err
		}
		return borrowOne(source, info, base, target)
	})
}

func borrowOne(source string, info fs.FileInfo, base tree, target string) error {
	if err := base.ensureDir(filepath.Dir(target)); err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return base.Symlink(link, target)
	case info.Mode()&0o004 == 0:
		if info.IsDir() {
			return fs.SkipDir
		}
		return nil
	case info.IsDir():
		return base.ensureDir(target)
	case info.Mode().IsRegular() && info.Size() <= maxBorrowed:
		return copyFile(source, base, target, info.Mode().Perm())
	}
	return nil
}

func copyFile(source string, base tree, target string, perm fs.FileMode) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := base.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, maxBorrowed))
	return errors.Join(err, out.Chmod(perm), out.Close())
}
