// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package node runs a real Kubernetes cluster on this machine for tests: etcd, kube-apiserver, kube-controller-manager with all
// its controllers, kube-scheduler, kube-proxy, and workers with kubelet, containerd and runc, whose pods are real containers. It
// needs root and Debian's packages (see Packages), and no registry: its images are made here, and further ones are loaded
// from archives.
//
// All of it lives in namespaces of its own, as in a container: its processes, mounts, network, host name. Outside, it shows as one process,
// one folder, one cgroup and one port of the loopback address, where the API server answers. When whoever started it calls Stop
// or is killed, all of that goes.
//
// It is a cluster as users have it, with RBAC, service accounts, Pod Security and Services. What it has not: cluster DNS, network
// policies that are enforced, storage classes, a way out to the Internet.
package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/node/orders"
	"github.com/sandbox-operator/sandbox-operator/test/node/remains"
)

// Options say what a cluster starts with. The zero value is a cluster of one worker.
type Options struct {
	// Workers is the number of its nodes; 0 = one.
	Workers int
	// Images are archives (as docker save writes them, or OCI layouts as tar) to load beside those that every node has.
	Images []string
}

// Node is a running cluster. Its fields are read-only.
type Node struct {
	// Config is a client configuration for an administrator.
	Config *rest.Config
	// Kubeconfig is the path of a file that gives programs of this machine the same rights.
	Kubeconfig string
	// Kubectl is the path of a kubectl of the server's version.
	Kubectl string
	// Dir has everything, and the log of each program in PROGRAM.log.
	Dir string

	programs  *programs
	workers   []worker
	cgroup    string
	control   *control
	authority *authority
	outside   string // where the API server is reached outside the node, HOST:PORT
}

// Start runs a cluster and returns once its nodes are ready. The context bounds the wait, and ends nothing after that: call
// Stop. An error ends with the reason, after the last log lines of what failed.
func Start(ctx context.Context, options Options) (*Node, error) {
	found, err := findPrograms()
	if err != nil {
		return nil, err
	}
	n := &Node{programs: found, Kubectl: found.built["kubectl"]}
	if err := n.start(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a node: %w", err), n.Stop())
	}
	return n, nil
}

// Stop ends the cluster and returns when nothing of it is left. It may be called again.
func (n *Node) Stop() error {
	if n.control != nil {
		n.control.end()
	}
	if n.Dir == "" {
		return nil
	}
	// The first process has cleaned up behind itself, unless somebody killed it.
	dir := n.Dir
	n.Dir, n.control = "", nil
	return remains.Remove(dir, n.cgroup)
}

func (n *Node) start(ctx context.Context, options Options) error {
	if err := n.makeFolder(); err != nil {
		return err
	}
	n.makeWorkers(max(1, options.Workers))
	inside := filepath.Join(n.Dir, "inside")
	if err := binaries.Build(ctx, inside, "./test/node/inside"); err != nil {
		return err
	}
	if err := n.enter(ctx, inside); err != nil {
		return err
	}
	if err := n.writeConfigs(); err != nil {
		return fmt.Errorf("writing configurations: %w", err)
	}
	archives, err := n.makeImages(ctx, inside)
	if err != nil {
		return err
	}
	return n.startPrograms(ctx, append(archives, options.Images...))
}

func (n *Node) makeFolder() error {
	dir, err := os.MkdirTemp("", "node-")
	if err != nil {
		return err
	}
	for _, hidden := range hiddenFolders {
		if strings.HasPrefix(dir, hidden+"/") {
			return errors.Join(fmt.Errorf("a node can't have its folder in %s: set TMPDIR", hidden), os.Remove(dir))
		}
	}
	n.Dir, n.cgroup = dir, "sandbox-operator-"+filepath.Base(dir)
	return os.Mkdir(filepath.Join(dir, "pki"), 0o700)
}

// enter makes the namespaces, what is mounted there, the network, certificates, and the way in.
func (n *Node) enter(ctx context.Context, inside string) error {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	// The node's first process has a copy, which is the one that serves.
	defer func() { _ = listener.Close() }()
	n.outside = listener.Addr().String()
	if n.control, err = startInside(inside, n.Dir, n.cgroup, listener); err != nil {
		return err
	}
	if err := n.prepare(ctx); err != nil {
		return err
	}
	if _, err := n.control.do(ctx, &orders.Order{Do: orders.Forward, Address: "127.0.0.1:6443"}); err != nil {
		return err
	}
	return n.writeCredentials()
}

func (n *Node) writeCredentials() error {
	var err error
	if n.authority, err = newAuthority(filepath.Join(n.Dir, "pki")); err != nil {
		return err
	}
	if err := n.authority.writeAll(n.workers); err != nil {
		return err
	}
	content, err := n.authority.kubeconfig("https://"+n.outside, "admin", "system:masters")
	if err != nil {
		return err
	}
	if n.Config, err = clientcmd.RESTConfigFromKubeConfig(content); err != nil {
		return err
	}
	n.Config.QPS = -1
	n.Kubeconfig = filepath.Join(n.Dir, "kubeconfig")
	return os.WriteFile(n.Kubeconfig, content, 0o600)
}

// KubeconfigInside is the content of a kubeconfig with which a pod reaches the API server as that user, who has no rights but those
// that RBAC gives.
func (n *Node) KubeconfigInside(user string, groups ...string) ([]byte, error) {
	return n.authority.kubeconfig("https://"+serviceIP, user, groups...)
}
