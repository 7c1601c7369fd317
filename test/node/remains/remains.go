// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package remains removes what namespaces do not take with them when a test node ends: its cgroups and its folder.
package remains

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Cgroups is where the cgroup file systems are.
const Cgroups = "/sys/fs/cgroup"

// CgroupFolders are the folders of a cgroup: one a hierarchy with cgroup v1, one with v2.
func CgroupFolders(cgroup string) []string {
	if _, err := os.Stat(filepath.Join(Cgroups, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(Cgroups, cgroup)}
	}
	hierarchies, _ := filepath.Glob(filepath.Join(Cgroups, "*", "cgroup.procs"))
	var folders []string
	for _, hierarchy := range hierarchies {
		if folder, err := filepath.EvalSymlinks(filepath.Dir(hierarchy)); err == nil {
			folders = append(folders, filepath.Join(folder, cgroup))
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// Remove removes the cgroups and the folder of a node whose processes are gone. File systems that are still mounted in the
// folder, where they can be seen from here, are unmounted first.
func Remove(dir, cgroup string) error {
	var failures []error
	for _, folder := range CgroupFolders(cgroup) {
		failures = append(failures, removeCgroup(folder))
	}
	mounts, err := mountsIn(dir)
	failures = append(failures, err)
	for _, mount := range slices.Backward(mounts) {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			failures = append(failures, fmt.Errorf("unmounting %s: %w", mount, err))
		}
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// removeCgroup removes a cgroup and those in it, the innermost first. Their files are the kernel's.
func removeCgroup(folder string) error {
	var inner []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			inner = append(inner, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	for _, path := range slices.Backward(inner) {
		if failure := syscall.Rmdir(path); failure != nil && !errors.Is(failure, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("removing the cgroup %s: %w", path, failure))
		}
	}
	return err
}

// mountsIn lists what is mounted in a folder, in the order of mounting.
func mountsIn(dir string) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var mounts []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts, lines.Err()
}
