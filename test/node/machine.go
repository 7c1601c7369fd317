// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// Packages are Debian's packages with what a node needs beside the programs that hack/build-binaries builds.
const Packages = "containerd runc containernetworking-plugins busybox-static iproute2 nftables"

// machinePrograms are those that come from Packages and are found in PATH.
var machinePrograms = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "ip", "mount", "nft"}

// builtPrograms come from hack/build-binaries.
var builtPrograms = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl",
}

// programs are the paths of what the node runs.
type programs struct {
	built   map[string]string
	busybox string // a static one
	cni     string // folder of the network plugins
}

// CanRun says in one line why this machine can run no node; nil = it can.
func CanRun() error {
	_, err := findPrograms()
	return err
}

func findPrograms() (*programs, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a test node needs root: its containers have cgroups, mounts and a network of their own")
	}
	if err := canMakeNamespaces(); err != nil {
		return nil, err
	}
	p := &programs{built: map[string]string{}}
	var missing []string
	for _, name := range machinePrograms {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if p.busybox = findStaticBusybox(); p.busybox == "" {
		missing = append(missing, "a static busybox")
	}
	if p.cni = findCNI(); p.cni == "" {
		missing = append(missing, "the CNI plugins bridge, host-local and loopback")
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("a test node needs %s; on Debian: apt-get install %s", strings.Join(missing, ", "), Packages)
	}
	for _, name := range builtPrograms {
		path, err := binaries.ControlPlane(name)
		if err != nil {
			return nil, fmt.Errorf("a test node needs %s (hack/build-binaries node): %w", name, err)
		}
		p.built[name] = path
	}
	return p, nil
}

// canMakeNamespaces tries it, for a root in a container is often not allowed to.
func canMakeNamespaces() error {
	try := exec.Command("/bin/true") //nolint:noctx // it ends by itself
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := try.Run(); err != nil {
		return fmt.Errorf("a test node needs namespaces of its own, and this machine's kernel refuses them: %w", err)
	}
	return nil
}

// findCNI looks where Debian's package has the plugins, and where everybody else puts them.
func findCNI() string {
	for _, folder := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		complete := true
		for _, plugin := range []string{"bridge", "host-local", "loopback"} {
			if _, err := os.Stat(filepath.Join(folder, plugin)); err != nil {
				complete = false
			}
		}
		if complete {
			return folder
		}
	}
	return ""
}

// findStaticBusybox skips a busybox that needs libraries: the images have none.
func findStaticBusybox() string {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox", "/bin/busybox-static", "/sbin/busybox"} {
		if isStatic(path) {
			return path
		}
	}
	return ""
}

func isStatic(path string) bool {
	file, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
