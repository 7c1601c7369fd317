// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"fmt"
	"path/filepath"
)

// The addresses inside the node. They are private to it, so every node has the same.
const (
	serverIP     = "10.200.0.1"
	serviceIP    = "10.96.0.1" // that of the Service kubernetes, where pods find the API server
	serviceRange = "10.96.0.0/16"
	podRange     = "10.244.0.0/16"
)

// worker is one kubelet with a containerd of its own. Several share the machine, its network and each other's pods' bridge.
type worker struct {
	name, ip string
	dir      string
	number   int
}

func (n *Node) makeWorkers(count int) {
	for i := range count {
		name := fmt.Sprintf("node-%d", i+1)
		n.workers = append(n.workers, worker{
			name: name, ip: fmt.Sprintf("10.200.0.%d", 11+i), dir: filepath.Join(n.Dir, name), number: i,
		})
	}
}

// socket is where containerd listens. The folder's whole name would be too long for a socket.
func (w *worker) socket() string { return "/run/" + w.name + "/containerd.sock" }

func (n *Node) pki(name string) string { return filepath.Join(n.Dir, "pki", name) }

func (n *Node) etcd() []string {
	return []string{
		n.programs.built["etcd"], "--data-dir=" + filepath.Join(n.Dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn",
	}
}

func (n *Node) apiServer() []string {
	return []string{
		n.programs.built["kube-apiserver"],
		"--etcd-servers=http://127.0.0.1:2379",
		"--secure-port=6443", "--advertise-address=" + serverIP, "--service-cluster-ip-range=" + serviceRange,
		"--client-ca-file=" + n.pki("ca.crt"),
		"--tls-cert-file=" + n.pki("kube-apiserver.crt"), "--tls-private-key-file=" + n.pki("kube-apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + n.pki("service-accounts.key"),
		"--service-account-signing-key-file=" + n.pki("service-accounts.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--kubelet-certificate-authority=" + n.pki("ca.crt"),
		"--kubelet-client-certificate=" + n.pki("kubelet-client.crt"),
		"--kubelet-client-key=" + n.pki("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
	}
}

// controllerManager runs all controllers, and takes a node for lost sooner than by default (after 20 s).
func (n *Node) controllerManager() []string {
	return []string{
		n.programs.built["kube-controller-manager"], "--kubeconfig=" + n.pki("kube-controller-manager.kubeconfig"),
		"--leader-elect=false", "--use-service-account-credentials",
		"--root-ca-file=" + n.pki("ca.crt"), "--service-account-private-key-file=" + n.pki("service-accounts.key"),
		"--service-cluster-ip-range=" + serviceRange, "--cluster-cidr=" + podRange,
		"--node-monitor-grace-period=20s", "--node-monitor-period=2s",
	}
}

func (n *Node) scheduler() []string {
	return []string{
		n.programs.built["kube-scheduler"], "--kubeconfig=" + n.pki("kube-scheduler.kubeconfig"), "--leader-elect=false",
	}
}

// proxy makes Services work. One is enough, for all workers are on one machine.
func (n *Node) proxy() []string {
	return []string{
		n.programs.built["kube-proxy"], "--kubeconfig=" + n.pki("kube-proxy.kubeconfig"), "--proxy-mode=nftables",
		"--hostname-override=" + n.workers[0].name, "--cluster-cidr=" + podRange,
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		"--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
	}
}

func (n *Node) containerd(w *worker) []string {
	return []string{"containerd", "--config=" + filepath.Join(w.dir, "containerd.toml"), "--log-level=warn"}
}

func (n *Node) kubelet(w *worker) []string {
	return []string{
		n.programs.built["kubelet"], "--config=" + filepath.Join(w.dir, "kubelet.yaml"),
		"--kubeconfig=" + n.pki(w.name+".kubeconfig"), "--root-dir=" + filepath.Join(w.dir, "kubelet"),
		"--hostname-override=" + w.name, "--node-ip=" + w.ip, "--cert-dir=" + filepath.Join(w.dir, "kubelet-pki"),
	}
}
