// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Package controlplane runs a real Kubernetes control plane on this machine for tests and the demo: etcd and
// kube-apiserver through controller-runtime's envtest, and kube-controller-manager beside them, so that deleted namespaces
// end, owned objects are collected and cluster roles are aggregated. Everything listens on the loopback address, on ports
// that the kernel chooses, and none of it outlives the process that started it, however that process ends.
//
// Most tests need three lines, usually in TestMain or BeforeSuite:
//
//	plane, err := controlplane.Start(ctx, controlplane.Options{CRDs: []string{"config/crd/bases"}})
//	...
//	defer plane.Stop()
//
// and then plane.Config for a client and plane.Kubeconfig for a program.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
)

// Options say what a control plane starts with. The zero value is an empty cluster.
type Options struct {
	// CRDs are folders or files with CustomResourceDefinitions to install. A relative path starts at the repository's
	// root, whichever package's test runs.
	CRDs []string
	// Dir is an empty or absent folder for data, certificates and logs, which stays after Stop. The default is a temporary
	// one, which does not.
	Dir string
	// Logs receives a copy of what the programs log. Their log files in Dir have it in any case.
	Logs io.Writer
}

// ControlPlane is a running control plane. Its fields are read-only.
type ControlPlane struct {
	// Config is a client configuration for an administrator, without a client-side rate limit worth mentioning.
	Config *rest.Config
	// Kubeconfig is the path of a file that gives programs the same rights.
	Kubeconfig string
	// Kubectl is the path of a kubectl of the server's version.
	Kubectl string
	// Dir has the data, the certificates, and the log of each program in PROGRAM.log.
	Dir string

	env         *envtest.Environment
	controllers *controllerManager
	watchdog    *watchdog
	logs        *logFiles
	temporary   bool
}

// Start runs a control plane and returns once it serves, has the CRDs, and its controllers work. The context bounds the
// wait, and ends nothing after that: call Stop. An error ends with the reason, after the last log lines of what failed.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, fmt.Errorf("starting a control plane: %w", err)
	}
	plane := &ControlPlane{Kubectl: programs["kubectl"]}
	if err := plane.start(ctx, options, programs); err != nil {
		err = fmt.Errorf("starting a control plane: %w", err)
		return nil, errors.Join(err, plane.Stop())
	}
	return plane, nil
}

// User returns a client configuration for a user of that name and groups, who has no rights but those that RBAC gives.
func (p *ControlPlane) User(name string, groups ...string) (*rest.Config, error) {
	user, err := p.env.AddUser(envtest.User{Name: name, Groups: groups}, rest.CopyConfig(p.Config))
	if err != nil {
		return nil, fmt.Errorf("adding the user %s: %w", name, err)
	}
	return user.Config(), nil
}

// Stop ends the programs that Start started, and removes the folder if it was a temporary one. It may be called again.
func (p *ControlPlane) Stop() error {
	var failures []error
	if p.controllers != nil {
		p.controllers.stop()
	}
	if p.env != nil {
		// Nothing of the data is needed again: an API server that waits for its clients' watches would only cost time.
		p.watchdog.kill("kube-apiserver")
		p.watchdog.kill("etcd")
		failures = append(failures, ignoreGone(p.env.Stop()))
	}
	if p.watchdog != nil {
		failures = append(failures, p.watchdog.dismiss())
	}
	if p.logs != nil {
		failures = append(failures, p.logs.Close())
	}
	if p.temporary {
		failures = append(failures, os.RemoveAll(p.Dir))
	}
	*p = ControlPlane{Dir: p.Dir}
	return errors.Join(failures...)
}

func (p *ControlPlane) start(ctx context.Context, options Options, programs map[string]string) error {
	crds, err := absolute(options.CRDs)
	if err != nil {
		return err
	}
	if err := p.makeDir(options.Dir); err != nil {
		return err
	}
	if p.logs, err = openLogs(p.Dir, options.Logs); err != nil {
		return err
	}
	if p.watchdog, err = startWatchdog(ctx, p.Dir, programs, p.temporary); err != nil {
		return err
	}
	if err := p.startAPIServer(crds); err != nil {
		return err
	}
	// Only now, with the CRDs in place: the garbage collector looks for new kinds every half a minute only.
	p.controllers, err = startControllerManager(ctx, p)
	return err
}

func (p *ControlPlane) startAPIServer(crds []string) error {
	p.env = newEnvironment(p.Dir, p.watchdog, p.logs)
	p.env.CRDDirectoryPaths = crds
	p.env.ErrorIfCRDPathMissing = true
	config, err := p.env.Start()
	if err != nil {
		if p.env.Config != nil {
			return err // they serve: it is about a CRD
		}
		return errors.Join(p.logs.tail("etcd"), p.logs.tail("kube-apiserver"), err)
	}
	p.Config = config
	p.Kubeconfig = filepath.Join(p.Dir, "kubeconfig")
	return os.WriteFile(p.Kubeconfig, p.env.KubeConfig, 0o600)
}

func newEnvironment(dir string, programs *watchdog, logs *logFiles) *envtest.Environment {
	env := &envtest.Environment{UseExistingCluster: new(false)}
	env.ControlPlane.KubectlPath = programs.path("kubectl")

	server := env.ControlPlane.GetAPIServer()
	server.Path = programs.path("kube-apiserver")
	server.CertDir = filepath.Join(dir, "kube-apiserver")
	server.Out, server.Err = logs.writer("kube-apiserver"), logs.writer("kube-apiserver")
	// An address for documentation, which nobody dials. The server wants one that is not of the loopback device, and would
	// not start on a machine without a network if it had to look for one.
	server.Configure().Set("advertise-address", "192.0.2.1")

	env.ControlPlane.Etcd = &envtest.Etcd{
		Path:    programs.path("etcd"),
		DataDir: filepath.Join(dir, "etcd"),
		Out:     logs.writer("etcd"),
		Err:     logs.writer("etcd"),
	}
	env.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true")
	return env
}

func (p *ControlPlane) makeDir(dir string) error {
	var err error
	p.temporary = dir == ""
	if p.temporary {
		dir, err = os.MkdirTemp("", "controlplane-")
	} else if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("making its folder: %w", err)
	}
	p.Dir = dir
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty", dir)
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, name), 0o700))
	}
	return err
}

func findPrograms() (map[string]string, error) {
	programs := map[string]string{}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
		path, err := binaries.ControlPlane(name)
		if err != nil {
			return nil, err
		}
		programs[name] = path
	}
	return programs, nil
}

func absolute(paths []string) ([]string, error) {
	var found []string
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			root, err := binaries.Root()
			if err != nil {
				return nil, err
			}
			path = filepath.Join(root, path)
		}
		found = append(found, path)
	}
	return found, nil
}
