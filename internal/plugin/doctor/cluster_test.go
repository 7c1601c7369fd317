// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package doctor

import (
	"context"
	"io"
	"sync"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/plugin/cli"
)

// patientOf has an empty cluster that answers in these ways.
func patientOf(t *testing.T, funcs interceptor.Funcs) *patient {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, appsv1.AddToScheme, authorizationv1.AddToScheme, coordinationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return &patient{
		WithWatch: fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(funcs).Build(), now: now, namespace: "team",
		operatorNamespace: "system", factory: cli.NewFactory(genericiooptions.IOStreams{Out: io.Discard, ErrOut: io.Discard}, "test"),
	}
}

func TestRightsOnWhatIsInNoNamespaceAreAskedForInNone(t *testing.T) {
	g := NewWithT(t)
	var lock sync.Mutex
	asked := map[string]string{}
	p := patientOf(t, interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, object client.Object, _ ...client.CreateOption) error {
			lock.Lock()
			defer lock.Unlock()
			review, ok := object.(*authorizationv1.SelfSubjectAccessReview)
			g.Expect(ok).To(BeTrue(), "%T was created", object)
			attributes := review.Spec.ResourceAttributes
			asked[attributes.Resource] = attributes.Namespace
			review.Status.Allowed = attributes.Namespace != ""
			return nil
		},
	})
	g.Expect(p.rights(t.Context())).To(ConsistOf(SatisfyAll(HaveField("Level", Warned),
		HaveField("Message", "you may not get, list clustersandboxproviders: providers and orphans of the cluster"))))
	g.Expect(asked).To(SatisfyAll(HaveKeyWithValue("clustersandboxproviders", ""), HaveKeyWithValue("sandboxproviders", "team")))
}

func TestNoManagerIsToldAlsoWhereLeasesMayNotBeRead(t *testing.T) {
	for _, forbidden := range []bool{false, true} {
		p := patientOf(t, interceptor.Funcs{
			List: func(ctx context.Context, inner client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if _, ok := list.(*coordinationv1.LeaseList); ok && forbidden {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "", nil)
				}
				return inner.List(ctx, list, options...)
			},
		})
		NewWithT(t).Expect(p.manager(t.Context())).To(ConsistOf(SatisfyAll(HaveField("Level", Warned),
			HaveField("Message", "neither a lease nor a Deployment of an operator can be seen in namespace system"))))
	}
}

func TestCtrlCEndsTheTrialAndLeavesNothing(t *testing.T) {
	g := NewWithT(t)
	p := patientOf(t, interceptor.Funcs{
		Create: func(ctx context.Context, inner client.WithWatch, object client.Object, options ...client.CreateOption) error {
			defer func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGINT) }()
			return inner.Create(ctx, object, options...)
		},
	})
	g.Expect(p.try(t.Context())).To(Equal(Finding{Check: "try", Level: Failed, Message: "cancelled before the command had ended"}))
	left := &v1alpha1.SandboxExecList{}
	g.Expect(p.List(t.Context(), left)).To(Succeed())
	g.Expect(left.Items).To(BeEmpty())
}
