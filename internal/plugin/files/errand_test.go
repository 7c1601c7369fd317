// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"context"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/runs"
)

// An errand that is left would still be run.
func TestAnErrandIsClearedAwayUnlessItWasRefused(t *testing.T) {
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "sandboxexecs"}
	timeout := apierrors.NewGenericServerResponse(http.StatusGatewayTimeout, "create", resource, "", "", 0, true)
	for name, c := range map[string]struct {
		answer error
		left   int
	}{
		"Ctrl-C cuts off the answer":       {context.Canceled, 0},
		"a proxy gives up":                 {timeout, 0},
		"forbidden":                        {apierrors.NewForbidden(resource, "x", nil), 1},
		"a run of another's has that name": {apierrors.NewAlreadyExists(resource, "x"), 1},
	} {
		g := NewWithT(t)
		scheme := runtime.NewScheme()
		g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
		cluster := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, inner client.WithWatch, object client.Object, options ...client.CreateOption) error {
				g.Expect(inner.Create(ctx, object, options...)).To(Succeed())
				return c.answer
			},
		}).Build()
		e := &errands{Runner: runs.Runner{Client: cluster}, namespace: "team", sandbox: "box"}
		_, err := e.do(t.Context(), errand{script: "remove.sh"})
		g.Expect(err).To(MatchError(c.answer), name)
		left := &v1alpha1.SandboxExecList{}
		g.Expect(cluster.List(t.Context(), left)).To(Succeed())
		g.Expect(left.Items).To(HaveLen(c.left), name)
	}
}
