// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package install_test installs the operator as users do, on a real control plane, and removes it. The manager is a process of this
// machine with the flags of the installed Deployment, and it is to the API server who the Deployment's pod would be: the installed
// service account with the installed rights, and no more.
//
// default_test.go has config/default and its removal, namespaced_test.go the install for given namespaces, chart_test.go the Helm
// chart, which must give the same objects.
package install_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// account is the installed service account, as the API server names it.
const account = "system:serviceaccount:" + testbed.Namespace + ":sandbox-operator-controller-manager"

func TestInstalling(t *testing.T) { testbed.RunSuite(t, "Installing and removing the operator") }

// newBed starts a bed whose manager has the rights of the installed service account.
func newBed(ctx context.Context) *testbed.Bed {
	GinkgoHelper()
	bed, err := testbed.Start(ctx, testbed.Options{
		User: account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + testbed.Namespace},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	return bed
}

// repository is its root.
func repository() string {
	GinkgoHelper()
	root, err := binaries.Root()
	Expect(err).NotTo(HaveOccurred())
	return root
}

// tool runs one of the tools of hack, in the repository's root.
func tool(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, filepath.Join("hack", "tool"), arguments...)
	command.Dir = repository()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	Expect(err).NotTo(HaveOccurred(), "%s: %s", strings.Join(arguments, " "), &stderr)
	return string(output)
}

// kubectl runs it as an administrator of the bed's cluster.
func kubectl(ctx context.Context, bed *testbed.Bed, input string, arguments ...string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, bed.Plane.Kubectl, arguments...)
	command.Dir = repository()
	command.Env = append(os.Environ(), "KUBECONFIG="+bed.Plane.Kubeconfig)
	command.Stdin = strings.NewReader(input)
	output, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "kubectl %s: %s", strings.Join(arguments, " "), output)
	return string(output)
}

// documents are the objects of a manifest.
func documents(manifest string) []*unstructured.Unstructured {
	GinkgoHelper()
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		object := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(document), &object.Object)).To(Succeed(), document)
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
	return objects
}

// deployment is the one of the manifest.
func deployment(manifest string) *appsv1.Deployment {
	GinkgoHelper()
	for _, object := range documents(manifest) {
		if object.GetKind() == "Deployment" {
			found := &appsv1.Deployment{}
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, found)).To(Succeed())
			return found
		}
	}
	Fail("the manifest has no Deployment")
	return nil
}

// startInstalled starts the manager as the installed Deployment would, and returns the address of its probes.
func startInstalled(bed *testbed.Bed, of *appsv1.Deployment) string {
	GinkgoHelper()
	arguments, probes := installedFlags(of)
	Expect(bed.StartManager(arguments...)).To(Succeed())
	return probes
}

// installedFlags are those of the Deployment, with addresses of this machine, of which the probes' is returned.
func installedFlags(of *appsv1.Deployment) (arguments []string, probes string) {
	GinkgoHelper()
	probes = freeAddress()
	replace := strings.NewReplacer("=:8081", "="+probes, "=:8443", "="+freeAddress(), "$(POD_NAMESPACE)", testbed.Namespace)
	for _, argument := range of.Spec.Template.Spec.Containers[0].Args {
		arguments = append(arguments, replace.Replace(argument))
	}
	return arguments, probes
}

func freeAddress() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// answer is what a probe says: the status and the text.
func answer(ctx context.Context, address, path string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s%s?verbose", address, path), http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	_, _ = text.ReadFrom(response.Body)
	return response.Status + "\n" + text.String()
}
