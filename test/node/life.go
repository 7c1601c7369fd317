// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sandbox-operator/sandbox-operator/test/node/orders"
)

// startPatience is how long a program may take to serve, on a machine that is busy.
const startPatience = 90 * time.Second

// startPrograms starts everything, each as soon as what it needs is there.
func (n *Node) startPrograms(ctx context.Context, archives []string) error {
	if err := errors.Join(n.launch(ctx, "etcd", n.etcd()), n.launch(ctx, "kube-apiserver", n.apiServer())); err != nil {
		return err
	}
	// The workers' images are loaded while the API server starts.
	for i := range n.workers {
		if err := n.launch(ctx, "containerd-"+n.workers[i].name, n.containerd(&n.workers[i])); err != nil {
			return err
		}
	}
	if err := n.waitContainerd(ctx); err != nil {
		return err
	}
	for _, archive := range archives {
		if err := n.Load(ctx, archive); err != nil {
			return err
		}
	}
	if err := n.waitAPIServer(ctx); err != nil {
		return err
	}
	for i := range n.workers {
		if err := n.launch(ctx, "kubelet-"+n.workers[i].name, n.kubelet(&n.workers[i])); err != nil {
			return err
		}
	}
	if err := errors.Join(
		n.launch(ctx, "kube-controller-manager", n.controllerManager()),
		n.launch(ctx, "kube-scheduler", n.scheduler()),
		n.launch(ctx, "kube-proxy", n.proxy()),
	); err != nil {
		return err
	}
	return n.waitReady(ctx)
}

func (n *Node) launch(ctx context.Context, name string, command []string) error {
	_, err := n.control.do(ctx, &orders.Order{
		Do: orders.Start, Name: name, Command: command, Log: filepath.Join(n.Dir, name+".log"),
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	return nil
}

func (n *Node) waitContainerd(ctx context.Context) error {
	for i := range n.workers {
		w := &n.workers[i]
		err := n.wait(ctx, "containerd-"+w.name, func(ctx context.Context) error {
			_, err := n.control.run(ctx, "ctr", "--address", w.socket(), "--connect-timeout", "1s", "version")
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) waitAPIServer(ctx context.Context) error {
	transport, err := n.client()
	if err != nil {
		return err
	}
	return n.wait(ctx, "kube-apiserver", func(ctx context.Context) error {
		return transport.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// waitReady waits for what pods need: the nodes, and the service account that pods have unless they name another.
func (n *Node) waitReady(ctx context.Context) error {
	c, err := n.client()
	if err != nil {
		return err
	}
	for i := range n.workers {
		w := &n.workers[i]
		if err := n.wait(ctx, "kubelet-"+w.name, func(ctx context.Context) error { return nodeReady(ctx, c, w.name) }); err != nil {
			return err
		}
	}
	return n.wait(ctx, "kube-controller-manager", func(ctx context.Context) error {
		_, err := c.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func nodeReady(ctx context.Context, c kubernetes.Interface, name string) error {
	node, err := c.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		// The status of a kubelet that was killed stays True for a while.
		if condition.Status == corev1.ConditionTrue && len(node.Spec.Taints) == 0 {
			return nil
		}
		return fmt.Errorf("%s is not ready: %s", name, condition.Message)
	}
	return fmt.Errorf("%s has not said yet whether it is ready", name)
}

func (n *Node) client() (*kubernetes.Clientset, error) {
	config := *n.Config
	config.Timeout = 10 * time.Second
	return kubernetes.NewForConfig(&config)
}

// wait asks until there is no error, and else says what the program logged last.
func (n *Node) wait(ctx context.Context, program string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if _, over := n.control.do(ctx, &orders.Order{Do: orders.Check, Name: program}); over != nil {
			return errors.Join(n.tail(program), over)
		}
		select {
		case <-ctx.Done():
			return errors.Join(n.tail(program), fmt.Errorf("waiting for %s: %w (%w)", program, err, context.Cause(ctx)))
		case <-tick.C:
		}
	}
}

// tail is the end of a program's log, as an error to stand before the one that says what failed.
func (n *Node) tail(program string) error {
	const most = 12
	content, err := os.ReadFile(filepath.Join(n.Dir, program+".log"))
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", program, err)
	}
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	return fmt.Errorf("last lines of %s:\n%s", program, bytes.Join(lines[max(0, len(lines)-most):], []byte("\n")))
}
