// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package upgrade_test

import (
	"context"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// manifests are what a user of the earlier version applied, by server-side apply, in the namespace NAMESPACE.
const manifests = `
apiVersion: v1
kind: ConfigMap
metadata: {name: data, namespace: NAMESPACE}
data: {note.txt: hello}
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxProvider
metadata: {name: ours, namespace: NAMESPACE}
spec: {backend: local, orphanPolicy: Report, limits: {maxSandboxes: 20}, defaults: {lifetime: {timeoutSeconds: 86400}}}
---
apiVersion: sandboxes.run/v1alpha1
kind: Sandbox
metadata: {name: box, namespace: NAMESPACE}
spec:
  providerRef: {kind: SandboxProvider, name: ours}
  workingDir: /workspace
  env: [{name: GREETING, value: hello}]
  files: [{path: /workspace/note.txt, contentFrom: {configMapKeyRef: {name: data, key: note.txt}}}]
  ports: [{name: web, port: 8080}]
  lifetime: {onLoss: Recreate}
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata: {name: finished, namespace: NAMESPACE}
spec:
  sandboxRef: {name: box}
  command: [sh, -c, "cat note.txt; echo one >result"]
  outputs: [{path: /workspace/result}]
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata: {name: running, namespace: NAMESPACE}
spec:
  sandboxRef: {name: box}
  command: [sh, -c, "echo begun >>starts; until [ -e go ]; do sleep 0.1; done; cat starts"]
---
apiVersion: sandboxes.run/v1alpha1
kind: SandboxExec
metadata: {name: one-shot, namespace: NAMESPACE}
spec:
  sandbox: {}
  command: [sh, -c, "sleep 8; echo done"]
`

var _ = Describe("An upgrade in the middle of work", Ordered, func() {
	var (
		room   *testbed.Room
		before map[string]*unstructured.Unstructured
		box    *v1alpha1.Sandbox
	)
	exec := func(name string) *v1alpha1.SandboxExec {
		return &v1alpha1.SandboxExec{ObjectMeta: metav1.ObjectMeta{Namespace: room.Namespace, Name: name}}
	}

	BeforeAll(func(ctx context.Context) {
		room = bed.NewRoom(ctx)
		apply(ctx, room)
		box = &v1alpha1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: room.Namespace, Name: "box"}}
		bed.EventuallyReady(ctx, box)
		bed.EventuallyFinished(ctx, exec("finished"))
		bed.EventuallySeenRunning(ctx, exec("running"))
		bed.EventuallySeenRunning(ctx, exec("one-shot"))
		Expect(bed.KillManager()).To(Succeed())
		before = stored(ctx, room)
		Expect(before).To(HaveLen(6), "a provider, two sandboxes, three runs")

		kubectl(ctx, "", "apply", "--server-side", "--force-conflicts", "-f", "config/crd/bases")
	})

	It("leaves every object as it was stored", func(ctx context.Context) {
		// Before this version's manager has touched them.
		for name, now := range stored(ctx, room) {
			Expect(now.Object).To(Equal(before[name].Object), name)
		}
	})

	It("takes the same manifests as no change", func(ctx context.Context) {
		said := apply(ctx, room)
		Expect(said).NotTo(ContainSubstring("created"))
		for name, now := range stored(ctx, room) {
			Expect(now.GetGeneration()).To(Equal(before[name].GetGeneration()), name)
			Expect(now.Object["spec"]).To(Equal(before[name].Object["spec"]), name)
		}
	})

	It("goes on with what the earlier manager had begun", func(ctx context.Context) {
		id := box.Status.SandboxID
		Expect(bed.StartManager()).To(Succeed())
		room.Run(ctx, room.Exec("go", "box").Shell("touch go"))

		running := exec("running")
		bed.EventuallyFinished(ctx, running)
		Expect(running.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(running))
		Expect(running.Status.Stdout.Head).To(Equal("begun\n"), "it was started once")

		oneShot := exec("one-shot")
		bed.EventuallyFinished(ctx, oneShot)
		Expect(oneShot.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(oneShot))
		Expect(oneShot.Status.Stdout.Head).To(Equal("done\n"))

		bed.EventuallyReady(ctx, box)
		Expect(box.Status.SandboxID).To(Equal(id))
		Expect(box.Status.Incarnation).To(BeEquivalentTo(1))
		bed.EventuallyRemotes(ctx, room.Namespace, 1)
	}, NodeTimeout(2*time.Minute))

	It("leaves what was finished as it was", func(ctx context.Context) {
		now := stored(ctx, room)["SandboxExec/finished"]
		Expect(now.Object["status"]).To(Equal(before["SandboxExec/finished"].Object["status"]))
	})
})

// apply applies the manifests as a GitOps tool does, and returns what kubectl says.
func apply(ctx context.Context, room *testbed.Room) string {
	GinkgoHelper()
	return kubectl(ctx, strings.ReplaceAll(manifests, "NAMESPACE", room.Namespace), "apply", "--server-side", "-f", "-")
}

func kubectl(ctx context.Context, stdin string, arguments ...string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, bed.Plane.Kubectl, slices.Concat(arguments, []string{"--kubeconfig", bed.Plane.Kubeconfig})...)
	root, err := binaries.Root()
	Expect(err).NotTo(HaveOccurred())
	command.Dir = filepath.Clean(root)
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "kubectl %v: %s", arguments, output)
	return string(output)
}

// stored are the objects of the API as the API server has them, by kind and name, without who wrote what of them.
func stored(ctx context.Context, room *testbed.Room) map[string]*unstructured.Unstructured {
	GinkgoHelper()
	found := map[string]*unstructured.Unstructured{}
	for _, kind := range []string{"SandboxProvider", "Sandbox", "SandboxExec"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		Expect(bed.Client.List(ctx, list, client.InNamespace(room.Namespace))).To(Succeed())
		for i := range list.Items {
			item := &list.Items[i]
			item.SetManagedFields(nil)
			found[kind+"/"+item.GetName()] = item
		}
	}
	Expect(slices.Collect(maps.Keys(found))).NotTo(BeEmpty())
	return found
}
