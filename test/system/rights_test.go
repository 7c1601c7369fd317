// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

// shippedPolicy makes what config/admission has.
func shippedPolicy(ctx context.Context) {
	GinkgoHelper()
	root, err := binaries.Root()
	Expect(err).NotTo(HaveOccurred())
	content, err := os.ReadFile(filepath.Join(root, "config", "admission", "one_shot_policy.yaml"))
	Expect(err).NotTo(HaveOccurred())
	for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal(document, &object.Object)).To(Succeed())
		bed.Create(ctx, object)
		DeferCleanup(bed.Client.Delete, object)
	}
}

// somebody is a client of a user who may do in the room what the rules say, and nothing else.
func somebody(ctx context.Context, room *testbed.Room, user string, resources ...string) client.Client {
	GinkgoHelper()
	about := metav1.ObjectMeta{Namespace: room.Namespace, Name: user}
	room.Create(ctx, &rbacv1.Role{ObjectMeta: about, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: resources, Verbs: []string{"create"},
	}}}, &rbacv1.RoleBinding{
		ObjectMeta: about, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
	config := rest.CopyConfig(bed.Plane.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	c, err := client.New(config, client.Options{Scheme: bed.Client.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c
}

var _ = Describe("The shipped admission policy", func() {
	It("lets only those make a one-shot who may make a Sandbox", func(ctx context.Context) {
		shippedPolicy(ctx)
		room := bed.NewRoom(ctx)
		runner := somebody(ctx, room, "runner", "sandboxexecs")
		maker := somebody(ctx, room, "maker", "sandboxexecs", "sandboxes")
		oneShot := func() *v1alpha1.SandboxExec {
			sandbox := builders.MakeSandbox(room.Namespace, "").ClusterProvider("local")
			return builders.MakeOneShot(room.Namespace, "one-shot", sandbox).Command("true").Obj()
		}
		inSandbox := room.Exec("run", "nobody").Command("true").Obj()

		// The API server takes a moment to know a policy.
		Eventually(ctx, func() bool { return apierrors.IsForbidden(runner.Create(ctx, oneShot(), client.DryRunAll)) }).
			WithTimeout(testbed.Patience).Should(BeTrue(), "a one-shot is taken from who may make no Sandbox")
		Expect(runner.Create(ctx, oneShot(), client.DryRunAll)).To(MatchError(ContainSubstring("name an existing one in spec.sandboxRef")))
		Expect(runner.Create(ctx, inSandbox, client.DryRunAll)).To(Succeed())
		Expect(maker.Create(ctx, oneShot(), client.DryRunAll)).To(Succeed())
	})
})
