// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is an unpacked root filesystem seen as its processes will see it: absolute links and ".." stay inside. The os.Root
// underneath makes sure of that even where the resolution here were wrong.
type tree struct{ *os.Root }

// maxLinks is how many symbolic links one path may cross, as in the kernel.
const maxLinks = 40

func openTree(dir string) (tree, error) {
	root, err := os.OpenRoot(dir)
	return tree{root}, err
}

// resolve returns the path, relative to the root and free of links, that name leads to; the last element is followed only
// when follow is set. Elements that don't exist are kept as they are. The root itself is ".".
func (t tree) resolve(name string, follow bool) (string, error) {
	var done []string
	rest := elements(name)
	for links := 0; len(rest) > 0; {
		element := rest[0]
		rest = rest[1:]
		if element == ".." {
			done = done[:max(len(done)-1, 0)]
			continue
		}
		here := path.Join(append(slices.Clip(done), element)...)
		target, err := t.link(here, follow || len(rest) > 0)
		if err != nil {
			return "", err
		}
		if target == "" {
			done = append(done, element)
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "resolve", Path: name, Err: unix.ELOOP}
		}
		if path.IsAbs(target) {
			done = nil
		}
		rest = append(elements(target), rest...)
	}
	return path.Join(append([]string{"."}, done...)...), nil
}

// link returns the target of the symbolic link at a resolved path, or "" for anything else and for nothing.
func (t tree) link(name string, follow bool) (string, error) {
	if !follow {
		return "", nil
	}
	info, err := t.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return "", nil
	}
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return "", err
	}
	return t.Readlink(name)
}

func elements(name string) []string {
	var out []string
	for element := range strings.SplitSeq(name, "/") {
		if element != "" && element != "." {
			out = append(out, element)
		}
	}
	return out
}

// stat follows links.
func (t tree) stat(name string) (fs.FileInfo, error) {
	resolved, err := t.resolve(name, true)
	if err != nil {
		return nil, err
	}
	return t.Lstat(resolved)
}

// read returns a small file, following links; a missing one is empty.
func (t tree) read(name string) ([]byte, error) {
	const limit = 1 << 20
	resolved, err := t.resolve(name, true)
	if err != nil {
		return nil, err
	}
	file, err := t.OpenFile(resolved, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, limit))
}

// isExecutable says whether name leads to a program.
func (t tree) isExecutable(name string) bool {
	info, err := t.stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// isVacant says whether nothing would be hidden by a mount at name: it does not exist, or is an empty directory.
func (t tree) isVacant(name string) bool {
	resolved, err := t.resolve(name, true)
	if err != nil {
		return false
	}
	dir, err := t.Open(resolved)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer func() { _ = dir.Close() }()
	_, err = dir.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// ensureDir makes a directory at a resolved path, with its parents, whatever the umask is.
func (t tree) ensureDir(name string) error {
	here := "."
	for _, element := range elements(name) {
		here = path.Join(here, element)
		err := t.Mkdir(here, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err := errors.Join(err, t.Chmod(here, 0o755)); err != nil {
			return err
		}
	}
	info, err := t.Lstat(here)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: name, Err: unix.ENOTDIR}
	}
	return err
}

// writeFile makes or replaces a file at a resolved path, whatever the umask is.
func (t tree) writeFile(name string, content []byte) error {
	if err := t.WriteFile(name, content, 0o644); err != nil {
		return err
	}
	return t.Chmod(name, 0o644)
}

// prepare adds what the sandbox's kernel and this backend need in every root filesystem.
func (t tree) prepare() error {
	// gVisor mounts a filesystem in memory over an empty /tmp, where it would count against the memory limit and not
	// against the disk's; so /tmp gets something in it.
	const inTmp = "tmp/.X11-unix"
	for _, dir := range []string{"proc", "dev", "sys", "etc", "tmp", inTmp, spoolRoot} {
		resolved, err := t.resolve(dir, true)
		if err != nil {
			return err
		}
		if err := t.ensureDir(resolved); err != nil {
			return err
		}
		if dir == "tmp" || dir == inTmp || dir == spoolRoot {
			if err := t.Chmod(resolved, 0o777|fs.ModeSticky); err != nil {
				return err
			}
		}
	}
	return t.ensureHosts()
}

func (t tree) ensureHosts() error {
	present, err := t.read("etc/hosts")
	if err != nil || len(present) > 0 {
		return err
	}
	resolved, err := t.resolve("etc/hosts", true)
	if err != nil {
		return err
	}
	return t.writeFile(resolved, []byte(hostsFile))
}

const hostsFile = "127.0.0.1\tlocalhost " + sandboxHostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n"
