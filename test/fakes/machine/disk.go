// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// account is a user of machines.
type account struct {
	id   int
	home string
}

// users are those that every machine has.
var users = map[string]account{
	"root": {0, "/root"}, "daytona": {1000, "/home/daytona"}, "user": {1001, "/home/user"}, "nobody": {65534, "/"},
}

// KnowsUser says whether machines have a user of this name.
func KnowsUser(name string) bool {
	_, known := users[name]
	return known
}

func home(user string) string { return users[user].home }

// become makes this process one of the user's.
func become(user string) error {
	who, known := users[user]
	if !known {
		return errors.New("there is no such user")
	}
	if err := os.Chdir(who.home); err != nil {
		return err
	}
	if who.id == 0 {
		return nil
	}
	if err := syscall.Setgroups([]int{who.id}); err != nil {
		return err
	}
	if err := syscall.Setgid(who.id); err != nil {
		return err
	}
	if err := syscall.Setuid(who.id); err != nil {
		return err
	}
	// With a change of user the kernel forgets that this process is to die with its parent. It is not dumpable either, then: /proc
	// would hide even its own files from it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}

// accountFiles have the users, as /etc says it.
var accountFiles = map[string]string{
	"passwd": "root:x:0:0:root:/root:/bin/sh\ndaytona:x:1000:1000::/home/daytona:/bin/sh\nuser:x:1001:1001::/home/user:/bin/sh\n" +
		"nobody:x:65534:65534:nobody:/:/bin/sh\n",
	"group":         "root:x:0:\ndaytona:x:1000:\nuser:x:1001:\nnogroup:x:65534:\n",
	"shells":        "/bin/sh\n/bin/bash\n",
	"hosts":         "127.0.0.1 localhost\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

// makeDisk makes what is missing of a machine's own files.
func makeDisk(o Options) error {
	for _, dir := range []string{"etc", "proc", "dev", "usr", "root", "var/tmp", "tmp", "run", "home"} {
		if err := os.MkdirAll(filepath.Join(o.Disk, dir), 0o755); err != nil { //nolint:gosec // users of the machine go there
			return err
		}
	}
	for _, dir := range []string{"", "tmp", "var/tmp"} {
		mode := fs.FileMode(0o755)
		if dir != "" {
			mode = 0o777 | fs.ModeSticky
		}
		if err := os.Chmod(filepath.Join(o.Disk, dir), mode); err != nil {
			return err
		}
	}
	for name, content := range accountFiles {
		if err := writeMissing(filepath.Join(o.Disk, "etc", name), content); err != nil {
			return err
		}
	}
	if err := makeHomes(o.Disk); err != nil {
		return err
	}
	if err := writeMissing(filepath.Join(o.Disk, "etc/hostname"), o.Hostname+"\n"); err != nil {
		return err
	}
	return linkPrograms(o.Disk)
}

func writeMissing(path, content string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	return os.WriteFile(path, []byte(content), 0o644) //nolint:gosec // every user of the machine reads it
}

func makeHomes(disk string) error {
	for _, who := range users {
		if filepath.Dir(who.home) != "/home" {
			continue
		}
		dir := filepath.Join(disk, who.home)
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as homes are
			return err
		}
		if err := os.Chown(dir, who.id, who.id); err != nil {
			return err
		}
	}
	return nil
}

// programDirs are where programs and libraries of this machine are, beside /usr. Most are links into it.
var programDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// linkPrograms makes the places of programs: links as this machine has them, directories for what will be mounted.
func linkPrograms(disk string) error {
	for _, name := range programDirs {
		target := filepath.Join(disk, name)
		if _, err := os.Lstat(target); err == nil {
			continue
		}
		link, err := os.Readlink("/" + name)
		switch {
		case err == nil:
			err = os.Symlink(link, target)
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		default:
			err = os.Mkdir(target, 0o755) //nolint:gosec // every user of the machine goes there
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enterDisk makes the disk the root of this process, which has mounts of its own.
func enterDisk(disk string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts apart: %w", err)
	}
	if err := showPrograms(disk); err != nil {
		return fmt.Errorf("showing it programs: %w", err)
	}
	if err := unix.Mount("proc", filepath.Join(disk, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := showDevices(filepath.Join(disk, "dev")); err != nil {
		return fmt.Errorf("showing it devices: %w", err)
	}
	if err := unix.Chroot(disk); err != nil {
		return fmt.Errorf("entering its root: %w", err)
	}
	return os.Chdir("/")
}

// showPrograms mounts this machine's programs read-only.
func showPrograms(disk string) error {
	for _, name := range append([]string{"usr", "etc/alternatives", "etc/ssl"}, programDirs...) {
		source, target := "/"+name, filepath.Join(disk, name)
		if info, err := os.Lstat(source); err != nil || !info.IsDir() {
			continue
		}
		if err := os.MkdirAll(target, 0o755); err != nil { //nolint:gosec // every user of the machine goes there
			return err
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func showDevices(dev string) error {
	if err := unix.Mount("tmpfs", dev, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		target := filepath.Join(dev, name)
		if err := os.WriteFile(target, nil, 0o666); err != nil { //nolint:gosec // it is covered by the device
			return err
		}
		if err := unix.Mount("/dev/"+name, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}
