// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// controllers are those that the operator's promises rest on; a full set would want nodes and service accounts.
const controllers = "namespace-controller,garbage-collector-controller,clusterrole-aggregation-controller"

// controllerManager is a running kube-controller-manager.
type controllerManager struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

func startControllerManager(ctx context.Context, plane *ControlPlane) (*controllerManager, error) {
	m := &controllerManager{ended: make(chan struct{})}
	// The context bounds the start, not the life.
	m.cmd = exec.CommandContext(context.WithoutCancel(ctx), plane.watchdog.path("kube-controller-manager"),
		"--kubeconfig="+plane.Kubeconfig,
		"--controllers="+controllers,
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
	)
	m.cmd.Stdout, m.cmd.Stderr = plane.logs.writer("kube-controller-manager"), plane.logs.writer("kube-controller-manager")
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting kube-controller-manager: %w", err)
	}
	go func() {
		defer close(m.ended)
		_ = m.cmd.Wait()
	}()
	if err := m.waitReady(ctx, plane.Config); err != nil {
		m.stop()
		return nil, errors.Join(plane.logs.tail("kube-controller-manager"), err)
	}
	return m, nil
}

// waitReady waits for the first effect that the controllers have on an empty cluster: the rules of the cluster role admin
// are aggregated from others. The program listens nowhere, so there is no health to ask for.
func (m *controllerManager) waitReady(ctx context.Context, config *rest.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	reader, err := client.New(config, client.Options{})
	if err != nil {
		return fmt.Errorf("waiting for kube-controller-manager: %w", err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		admin := &rbacv1.ClusterRole{}
		if err := reader.Get(ctx, client.ObjectKey{Name: "admin"}, admin); err == nil && len(admin.Rules) > 0 {
			return nil
		}
		select {
		case <-m.ended:
			return fmt.Errorf("kube-controller-manager ended: %s", m.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("waiting for kube-controller-manager to aggregate cluster roles: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (m *controllerManager) stop() {
	_ = m.cmd.Process.Kill()
	<-m.ended
}
