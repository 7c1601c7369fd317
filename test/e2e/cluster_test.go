// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/node"
)

const (
	// system is the namespace that config/default installs the operator in.
	system     = "sandbox-operator-system"
	deployment = "sandbox-operator-controller-manager"
	leaseName  = "manager.sandboxes.run"
	// Images of the operator on a cluster of the suite's own.
	ownImage, nextImage = "sandbox-operator:e2e", "sandbox-operator:e2e-next"
)

// cluster is where everything runs: one that the suite started, or one that KUBECONFIG leads to.
type cluster struct {
	client.Client
	config *rest.Config
	// node is the suite's own; nil = the cluster is somebody's, and nothing may be done to its nodes.
	node *node.Node
	// kubeconfig and kubectl are files.
	kubeconfig, kubectl string
	// image and next are the operator's, two that differ in nothing but the version that they say.
	image, next string
	// busybox and noShell are images for sandboxes.
	busybox, noShell string
}

// startCluster uses the cluster that KUBECONFIG leads to, and starts one where it is not set.
func startCluster(ctx context.Context) *cluster {
	GinkgoHelper()
	c := &cluster{kubeconfig: os.Getenv("KUBECONFIG"), kubectl: cmp.Or(os.Getenv("KUBECTL"), "kubectl")}
	if c.kubeconfig != "" {
		c.image = os.Getenv("IMG")
		Expect(c.image).NotTo(BeEmpty(), "with KUBECONFIG set, IMG must name the operator's image, which the cluster can pull or has")
		c.next = cmp.Or(os.Getenv("IMG_NEXT"), c.image)
		c.busybox = cmp.Or(os.Getenv("SANDBOX_IMAGE"), "busybox")
		c.noShell = os.Getenv("SANDBOX_IMAGE_NO_SHELL")
		var err error
		c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig)
		Expect(err).NotTo(HaveOccurred())
	} else {
		c.startNode(ctx)
	}
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	var err error
	c.Client, err = client.New(c.config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return c
}

func (c *cluster) startNode(ctx context.Context) {
	GinkgoHelper()
	Expect(node.CanRun()).To(Succeed(), "set KUBECONFIG (and IMG) to run against a cluster that is there")
	c.image, c.next, c.busybox, c.noShell = ownImage, nextImage, node.Busybox, node.NoShell
	folder := GinkgoT().TempDir()
	var archives []string
	for _, image := range []string{c.image, c.next} {
		archive := filepath.Join(folder, strings.ReplaceAll(image, ":", "-")+".tar")
		_, version, _ := strings.Cut(image, ":")
		run(ctx, nil, "go", "run", "./hack/image", "--tag", image, "--version", version, "--output", archive)
		archives = append(archives, archive)
	}
	began := time.Now()
	var err error
	c.node, err = node.Start(ctx, node.Options{Workers: 2, Images: archives})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(c.node.Stop()).To(Succeed()) })
	GinkgoWriter.Printf("The cluster was ready after %v\n", time.Since(began).Round(time.Millisecond))
	c.config, c.kubeconfig, c.kubectl = c.node.Config, c.node.Kubeconfig, c.node.Kubectl
}

// install does what the README says, and waits until every replica is ready.
func (c *cluster) install(ctx context.Context, image string) {
	GinkgoHelper()
	c.make(ctx, "deploy", "IMG="+image)
	c.waitForReplicas(ctx)
}

func (c *cluster) waitForReplicas(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		d := c.deployment(ctx)
		g.Expect(d.Status.ObservedGeneration).To(Equal(d.Generation))
		g.Expect(d.Status.UpdatedReplicas).To(Equal(*d.Spec.Replicas), "updated")
		g.Expect(d.Status.Replicas).To(Equal(*d.Spec.Replicas), "old ones are gone")
		g.Expect(d.Status.AvailableReplicas).To(Equal(*d.Spec.Replicas), "available")
	}).WithContext(ctx).Should(Succeed(), func() string { return c.report(ctx, system) })
}

func (c *cluster) deployment(ctx context.Context) *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(c.Get(ctx, client.ObjectKey{Namespace: system, Name: deployment}, d)).To(Succeed())
	return d
}

// leader is the name of the pod that holds the lease; empty = none does.
func (c *cluster) leader(ctx context.Context) string {
	var lease coordinationv1.Lease
	if err := c.Get(ctx, client.ObjectKey{Namespace: system, Name: leaseName}, &lease); err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return pod
}

// managers are the operator's pods that are not about to end.
func (c *cluster) managers(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(c.List(ctx, &pods, client.InNamespace(system), client.MatchingLabels{"control-plane": "controller-manager"})).To(Succeed())
	var living []corev1.Pod
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			living = append(living, pod)
		}
	}
	return living
}

// ctl runs kubectl, as an administrator at a terminal does, and returns what it prints.
func (c *cluster) ctl(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	return run(ctx, []string{"KUBECONFIG=" + c.kubeconfig}, c.kubectl, arguments...)
}

// apply gives kubectl a manifest.
func (c *cluster) apply(ctx context.Context, namespace, manifest string) {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "manifest.yaml")
	Expect(os.WriteFile(file, []byte(manifest), 0o600)).To(Succeed())
	c.ctl(ctx, "apply", "-n", namespace, "-f", file)
}

// make runs a target of the Makefile for this cluster.
func (c *cluster) make(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	return run(ctx, []string{"KUBECONFIG=" + c.kubeconfig}, "make", append(arguments, "KUBECTL="+c.kubectl)...)
}

// run runs a program in the repository's root.
func run(ctx context.Context, env []string, name string, arguments ...string) string {
	GinkgoHelper()
	root, err := binaries.Root()
	Expect(err).NotTo(HaveOccurred())
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir, command.Env = root, append(os.Environ(), env...)
	output, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s %s:\n%s", name, strings.Join(arguments, " "), output)
	return string(output)
}

// report is what a person would look at first.
func (c *cluster) report(ctx context.Context, namespace string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var text strings.Builder
	for _, line := range []string{
		"get sbx,sbxe,sbxp,pods -o wide -n " + namespace, "describe sbx,sbxe,sbxp,pods -n " + namespace, "get csbxp",
		"get events -n " + namespace, "get pods -o wide -n " + system,
		"logs -n " + system + " -l control-plane=controller-manager --prefix --tail=40",
	} {
		command := exec.CommandContext(ctx, c.kubectl, strings.Fields(line)...)
		command.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
		output, err := command.CombinedOutput()
		fmt.Fprintf(&text, "$ kubectl %s\n%s", line, output)
		if err != nil {
			fmt.Fprintln(&text, err)
		}
	}
	return text.String()
}
