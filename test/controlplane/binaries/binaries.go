// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package binaries finds the programs that hack/build-binaries builds, those of the control plane and runsc, and builds our own. A test
// thereby runs the same whether make started it, with the paths in the environment, or a plain go test.
package binaries

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Environment variables that name programs which are already there.
const (
	// AssetsEnv names a folder with etcd, kube-apiserver and kubectl, as envtest and setup-envtest know it.
	AssetsEnv = "KUBEBUILDER_ASSETS"
	// RunscEnv names gVisor's runsc.
	RunscEnv = "SANDBOX_RUNSC"
)

// ErrMissing is in the chain of every error that says that a program has not been built yet.
var ErrMissing = errors.New("run make binaries")

// Runsc returns the path of gVisor's runsc.
func Runsc() (string, error) {
	if path := os.Getenv(RunscEnv); path != "" {
		return existing(path, "set in "+RunscEnv)
	}
	return built("runsc", "hack/runsc/go.mod", "gvisor.dev/gvisor", "runsc")
}

// ControlPlane returns the path of a program of Kubernetes, or etcd's. It comes from the folder that AssetsEnv names, if that is
// set. What the archives of setup-envtest lack, kube-controller-manager and the programs of a node, may be absent there and is
// then the one that was built.
func ControlPlane(name string) (string, error) {
	if assets := os.Getenv(AssetsEnv); assets != "" {
		path, err := existing(filepath.Join(assets, name), "in the folder that "+AssetsEnv+" names")
		if err == nil || name == "etcd" || name == "kube-apiserver" || name == "kubectl" {
			return path, err
		}
	}
	return built("k8s", "hack/controlplane/go.mod", "k8s.io/kubernetes", name)
}

// Root returns the folder of the repository: the closest one above the working directory that is a module and has
// hack/build-binaries.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for {
		if isFile(filepath.Join(dir, "go.mod")) && isFile(filepath.Join(dir, "hack", "build-binaries")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding the repository: no folder above the working directory has hack/build-binaries")
		}
		dir = parent
	}
}

// built returns the path of a program under bin/, whose folder is named by the version that a go.mod requires.
func built(folder, modFile, module, name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	version, err := requiredVersion(filepath.Join(root, filepath.FromSlash(modFile)), module)
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", folder, version, name)
	if !isFile(path) {
		return "", fmt.Errorf("%s %s is not built yet: %w", name, version, ErrMissing)
	}
	return path, nil
}

// requiredVersion reads the version of a module out of a go.mod. The few lines spare the main module a parser.
func requiredVersion(modFile, module string) (string, error) {
	file, err := os.Open(modFile)
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", module, err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Fields(strings.TrimPrefix(lines.Text(), "require "))
		if len(words) > 1 && words[0] == module && strings.HasPrefix(words[1], "v") {
			return words[1], nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", module, err)
	}
	return "", fmt.Errorf("reading the version of %s: %s does not require it", module, modFile)
}

func existing(path, where string) (string, error) {
	if !isFile(path) {
		return "", fmt.Errorf("no program %s, %s", path, where)
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
