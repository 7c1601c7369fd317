// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func removed() {
	It("leaves nothing", Label(ci), func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		r := &room{cluster: at, name: namespace}
		r.allowPods(ctx, namespace)
		r.provider(ctx, `{"image": "`+r.busybox+`", "imagePullPolicy": "IfNotPresent"}`)
		r.ready(ctx, "box")
		r.start(ctx, "run", "box", "sleep 600")

		at.make(ctx, "undeploy")
		Expect(r.pods(ctx)).To(BeEmpty())
		Expect(at.ctl(ctx, "get", "crd", "-o", "name")).NotTo(ContainSubstring("sandboxes.run"))
		Expect(at.ctl(ctx, "get", "clusterroles,clusterrolebindings,validatingadmissionpolicies", "-o", "name")).
			NotTo(ContainSubstring("sandbox-operator"))
		Eventually(func() bool {
			return apierrors.IsNotFound(at.Get(ctx, client.ObjectKey{Name: system}, &corev1.Namespace{}))
		}).WithContext(ctx).Should(BeTrue(), "the operator's namespace goes")
		Expect(at.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
	}, NodeTimeout(4*time.Minute))
}
