// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/sandbox-operator/sandbox-operator/test/node/orders"
)

// StopAPIServer ends kube-apiserver by SIGKILL. Who is connected to it, in the node or outside, loses the connection.
func (n *Node) StopAPIServer(ctx context.Context) error {
	return n.kill(ctx, "kube-apiserver")
}

// StartAPIServer starts it again, and returns when it serves.
func (n *Node) StartAPIServer(ctx context.Context) error {
	if err := n.launch(ctx, "kube-apiserver", n.apiServer()); err != nil {
		return err
	}
	return n.waitAPIServer(ctx)
}

// RestartWorkers ends kubelet and containerd of all workers by SIGKILL, and starts them again, as an update of theirs does.
// Containers go on meanwhile.
func (n *Node) RestartWorkers(ctx context.Context) error {
	var failures []error
	for i := range n.workers {
		name := n.workers[i].name
		failures = append(failures, n.kill(ctx, "kubelet-"+name), n.kill(ctx, "containerd-"+name))
	}
	return errors.Join(errors.Join(failures...), n.startWorkers(ctx))
}

// Reboot ends all that a machine's reboot ends, every container among it, and starts the workers again. The control plane, which real
// clusters have on other machines, goes on.
func (n *Node) Reboot(ctx context.Context) error {
	spared := []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"}
	if _, err := n.control.do(ctx, &orders.Order{Do: orders.KillOthers, Names: spared}); err != nil {
		return fmt.Errorf("ending all processes: %w", err)
	}
	return n.startWorkers(ctx)
}

// StopWorker ends a worker's kubelet by SIGKILL: the cluster loses sight of that node, whose containers go on.
func (n *Node) StopWorker(ctx context.Context, name string) error {
	return n.kill(ctx, "kubelet-"+name)
}

// StartWorker starts it again, and returns when the node is ready.
func (n *Node) StartWorker(ctx context.Context, name string) error {
	for i := range n.workers {
		if n.workers[i].name == name {
			if err := n.launch(ctx, "kubelet-"+name, n.kubelet(&n.workers[i])); err != nil {
				return err
			}
		}
	}
	return n.waitReady(ctx)
}

func (n *Node) startWorkers(ctx context.Context) error {
	for i := range n.workers {
		if err := n.launch(ctx, "containerd-"+n.workers[i].name, n.containerd(&n.workers[i])); err != nil {
			return err
		}
	}
	if err := n.waitContainerd(ctx); err != nil {
		return err
	}
	for i := range n.workers {
		if err := n.launch(ctx, "kubelet-"+n.workers[i].name, n.kubelet(&n.workers[i])); err != nil {
			return err
		}
	}
	return n.waitReady(ctx)
}

func (n *Node) kill(ctx context.Context, name string) error {
	_, err := n.control.do(ctx, &orders.Order{Do: orders.Kill, Name: name})
	if err != nil {
		return fmt.Errorf("ending %s: %w", name, err)
	}
	return nil
}
