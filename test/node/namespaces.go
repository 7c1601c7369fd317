// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sandbox-operator/sandbox-operator/test/node/remains"
)

// hiddenFolders are the machine's, where the node's programs write whatever they are told. In the node they are empty, and gone with it.
var hiddenFolders = []string{"/run", "/var/lib", "/var/log"}

// kubeletSettings are those that a kubelet sets on its machine (or, told to protect them, insists on).
var kubeletSettings = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// prepare does in the new namespaces what a machine does when it starts.
func (n *Node) prepare(ctx context.Context) error {
	steps := [][]string{
		{"mount", "--make-rprivate", "/"},
		{"mount", "-t", "proc", "proc", "/proc"},
		// Kernel settings are the machine's and stay as they are, but for those of the network.
		{"mount", "--bind", "/proc/sys", "/proc/sys"},
		{"mount", "--bind", "/proc/sys/net", "/proc/sys/net"},
		{"mount", "-o", "remount,bind,ro", "/proc/sys"},
	}
	pretended, err := n.pretendSettings()
	if err != nil {
		return err
	}
	steps = append(steps, pretended...)
	for _, folder := range hiddenFolders {
		steps = append(steps, []string{"mount", "-t", "tmpfs", "tmpfs", folder})
	}
	for i := range n.workers {
		steps = append(steps, []string{"mkdir", "-p", "/run/" + n.workers[i].name})
	}
	// Mounts of one program are to be seen by the containers of another.
	steps = append(steps, []string{"mount", "--make-rshared", "/"}, []string{"hostname", "node"})
	steps = append(steps, n.network()...)
	for _, step := range steps {
		if _, err := n.control.run(ctx, step...); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(step, " "), err)
		}
	}
	return n.makeCgroups()
}

// pretendSettings hides kernel settings that the kubelet wants to be otherwise behind files that say that they are.
func (n *Node) pretendSettings() ([][]string, error) {
	var steps [][]string
	for setting, value := range kubeletSettings {
		file := filepath.Join(n.Dir, "settings", setting)
		if err := writeFile(file, value+"\n"); err != nil {
			return nil, err
		}
		steps = append(steps, []string{"mount", "--bind", file, "/proc/sys/" + setting})
	}
	return steps, nil
}

// network is a bridge with nothing on it but the addresses of server and workers. Pods get a bridge of their own.
func (n *Node) network() [][]string {
	steps := [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "link", "add", "node0", "type", "bridge"},
		{"ip", "link", "set", "node0", "up"},
		{"ip", "address", "add", serverIP + "/24", "dev", "node0"},
		{"sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"},
	}
	for i := range n.workers {
		steps = append(steps, []string{"ip", "address", "add", n.workers[i].ip + "/24", "dev", "node0"})
	}
	return steps
}

// makeCgroups makes the cgroups under which the kubelets put those of their pods.
func (n *Node) makeCgroups() error {
	for _, folder := range remains.CgroupFolders(n.cgroup) {
		for i := range n.workers {
			if err := os.MkdirAll(folder+"/"+n.workers[i].name, 0o750); err != nil {
				return fmt.Errorf("making cgroups: %w", err)
			}
		}
	}
	return nil
}
