// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package local

import (
	"maps"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
)

const (
	sandboxHostname   = "sandbox"
	sandboxShell      = "/bin/sh"
	defaultWorkingDir = "/workspace"
	defaultPath       = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// initScript is the sandbox's first process. While it waits for sleep it reaps every orphan, in all common shells. Without a
// sleep to run it reads from a pipe that never ends and has no end (see start).
const initScript = `trap '' HUP INT QUIT TERM
while :; do sleep 2147483647; [ $? = 127 ] && read -r _; done`

// bind is a bind mount of the machine's path.
func bind(source, destination, access string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: []string{"rbind", access}}
}

// newRecord decides what the remote will be.
func newRecord(request backends.CreateRequest, from rootfs, files tree) record {
	dir := workingDir(request.WorkingDir, from.workingDir)
	return record{
		Name:        request.Name,
		Labels:      labelsOf(request.Labels, request.Mark),
		Image:       from.image,
		Env:         mergeEnv([]string{defaultPath}, from.env, pairs(request.Env)),
		WorkingDir:  dir,
		WorkMounted: request.Resources.DiskBytes == 0 && canMountWork(dir, from, files),
		User:        from.user,
	}
}

// workingDir is the request's wish, else the image's, else a directory of its own: an image that says nothing, or "/", has no
// opinion.
func workingDir(wished, images string) string {
	for _, dir := range []string{wished, images} {
		if dir != "" && (dir != "/" || dir == wished) {
			return path.Clean("/" + dir)
		}
	}
	return defaultWorkingDir
}

// canMountWork says whether a directory of the machine can take the place of dir without hiding anything: neither content of
// the image nor what every sandbox has.
func canMountWork(dir string, from rootfs, files tree) bool {
	taken := []string{"/proc", "/dev", "/sys", spoolRoot}
	for _, mount := range from.mounts {
		taken = append(taken, mount.Destination)
	}
	for _, other := range taken {
		if isWithin(dir, other) || isWithin(other, dir) {
			return false
		}
	}
	// A path through links would be another path for the mount than for commands and native file operations.
	resolved, err := files.resolve(dir, true)
	return err == nil && "/"+resolved == dir && files.isVacant(dir)
}

func isWithin(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// pairs returns NAME=VALUE in a stable order.
func pairs(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		out = append(out, key+"="+env[key])
	}
	return out
}

// mergeEnv joins environments; of a name that is there more than once the last counts.
func mergeEnv(envs ...[]string) []string {
	var out []string
	position := map[string]int{}
	for _, entry := range slices.Concat(envs...) {
		key, _, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			continue
		}
		if i, seen := position[key]; seen {
			out[i] = entry
			continue
		}
		position[key] = len(out)
		out = append(out, entry)
	}
	return out
}

// newBundle is the OCI runtime configuration of the remote in directory d.
func newBundle(d remoteDir, r record, from rootfs, resources backends.Resources) *specs.Spec {
	mounts := append([]specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}, from.mounts...)
	if r.WorkMounted {
		mounts = append(mounts, bind(d.work(), r.WorkingDir, "rw"))
	}
	linux := &specs.Linux{Namespaces: []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
		// That of the runsc which starts the sandbox, and so the starter's (see network.go).
		{Type: specs.NetworkNamespace, Path: "/proc/self/ns/net"},
	}}
	if r.Cgroup != "" {
		linux.CgroupsPath = r.Cgroup
		linux.Resources = cgroupResources(resources)
	}
	process := newProcess(identity{}, r.Env, "/", []string{sandboxShell, "-c", initScript})
	return &specs.Spec{
		Version:  specs.Version,
		Process:  process,
		Root:     &specs.Root{Path: from.dir},
		Hostname: sandboxHostname,
		Mounts:   mounts,
		Linux:    linux,
	}
}

// newProcess is one process in a sandbox. It can't gain privileges, and a user other than root has none to begin with.
func newProcess(user identity, env []string, dir string, argv []string) *specs.Process {
	capabilities := &specs.LinuxCapabilities{Bounding: capabilities()}
	if user.UID == 0 {
		capabilities.Effective = capabilities.Bounding
		capabilities.Permitted = capabilities.Bounding
	}
	return &specs.Process{
		User:            specs.User{UID: user.UID, GID: user.GID, AdditionalGids: user.Groups},
		Args:            argv,
		Env:             env,
		Cwd:             dir,
		Capabilities:    capabilities,
		NoNewPrivileges: true,
	}
}

// capabilities are what root has in a sandbox, towards the sandbox's own kernel only: as containers usually have, without
// raw sockets.
func capabilities() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}
