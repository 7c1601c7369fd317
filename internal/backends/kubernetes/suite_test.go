// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/kubelet"
)

// What the specs run on: a real API server, a node that runs pods as machines, and an operator that has the rights of the shipped role in
// one namespace and no others.
var (
	plane    *controlplane.ControlPlane
	admin    *kubernetes.Clientset
	operator *rest.Config
	node     *kubelet.Kubelet
)

const (
	namespace = "sandboxes"
	imageName = "example.com/tools:1"
)

func TestKubernetes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the pods of the fake kubelet need root")
	}
	if testing.Short() {
		t.Skip("it needs a control plane")
	}
	RegisterFailHandler(Fail)
	ignore := goleak.IgnoreCurrent()
	RunSpecs(t, "Kubernetes backend")
	leaks := func() error {
		return goleak.Find(ignore, goleak.IgnoreAnyFunction(
			"github.com/onsi/ginkgo/v2/internal/interrupt_handler.(*InterruptHandler).registerForInterrupts.func2"),
			// Connections that client-go keeps for another call.
			goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
	}
	// The heartbeat of a stream that was given up looks every five seconds whether it is still wanted.
	NewWithT(t).Eventually(leaks).WithTimeout(30 * time.Second).Should(Succeed())
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	plane, err = controlplane.Start(ctx, controlplane.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(plane.Stop()).To(Succeed()) })
	admin, err = kubernetes.NewForConfig(plane.Config)
	Expect(err).NotTo(HaveOccurred())
	operator, err = plane.User("operator")
	Expect(err).NotTo(HaveOccurred())
	applyRole(ctx)
	makeNamespace(ctx, namespace)
	node, err = kubelet.Start(ctx, kubelet.Options{Config: plane.Config, Dir: GinkgoT().TempDir()})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(node.Stop)
})

// applyRole applies the role that is shipped.
func applyRole(ctx SpecContext) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", rolePath))
	Expect(err).NotTo(HaveOccurred())
	var role rbacv1.ClusterRole
	Expect(yaml.UnmarshalStrict(text, &role)).To(Succeed())
	_, err = admin.RbacV1().ClusterRoles().Create(ctx, &role, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
}

const rolePath = "config/rbac/users/sandbox_pods_role.yaml"

// makeNamespace makes one that holds its pods to the restricted standard, and lets the operator work there.
func makeNamespace(ctx SpecContext, name string) {
	labels := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	_, err := admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}},
		metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	bindRole(ctx, name)
}

func bindRole(ctx SpecContext, name string) {
	_, err := admin.RbacV1().RoleBindings(name).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "sandbox-pods"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "sandbox-pods"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "operator"}},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	Eventually(mayCreatePods).WithContext(ctx).WithArguments(name).Should(BeTrue())
}

// mayCreatePods says whether the operator's rights have arrived.
func mayCreatePods(ctx SpecContext, name string) bool {
	review, err := admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "operator", ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: name, Verb: "create", Resource: "pods"},
		},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	return review.Status.Allowed
}

// faults are what stands between the operator and its API server.
type faults struct {
	next http.RoundTripper
	// answer, where it is set, is given in the place of the server's.
	answer *atomic.Pointer[http.Response]
}

func (f faults) RoundTrip(request *http.Request) (*http.Response, error) {
	// A stream begins with an answer that can't be made up.
	if given := f.answer.Load(); given != nil && !strings.HasSuffix(request.URL.Path, "/exec") {
		answer := *given
		answer.Request, answer.Header = request, given.Header.Clone()
		return &answer, nil
	}
	return f.next.RoundTrip(request)
}

// config is a cluster provider's, with parameters over those of the suite.
func config(parameters map[string]any) backends.Config {
	all := map[string]any{"namespace": namespace}
	for name, value := range parameters {
		all[name] = value
	}
	raw, err := json.Marshal(all)
	Expect(err).NotTo(HaveOccurred())
	return backends.Config{Parameters: raw, Cluster: operator, Reach: backends.Reach{Trusted: true}}
}

func connectWith(config backends.Config) *backend {
	made, err := newBackend(nil, config) //nolint:staticcheck // it makes no call
	Expect(err).NotTo(HaveOccurred())
	return made.(*backend)
}

var made atomic.Int64

// request is one for a sandbox of its own.
func request() backends.CreateRequest {
	uid := fmt.Sprintf("%d-%d", time.Now().UnixNano(), made.Add(1))
	return backends.CreateRequest{
		Name: "sbx-" + uid + "-1", Source: backends.Source{Image: imageName},
		Mark: backends.Mark{
			Installation: "suite", Namespace: "default", Name: "one", UID: uid, Incarnation: 1, DeletionPolicy: "Delete",
		},
	}
}

// create makes a sandbox that goes with the spec.
func create(ctx SpecContext, b *backend, r backends.CreateRequest) backends.Remote {
	GinkgoHelper()
	remote, err := b.Create(ctx, r)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { _ = b.Destroy(ctx, remote.ID) })
	return remote
}

// running makes one, and waits until it runs.
func running(ctx SpecContext, b *backend, r backends.CreateRequest) backends.Remote {
	GinkgoHelper()
	remote := create(ctx, b, r)
	Eventually(b.Get).WithContext(ctx).WithArguments(remote.ID).WithTimeout(time.Minute).
		Should(HaveField("State", backends.StateRunning))
	return remote
}

// withAdmin is a provider with all rights.
func withAdmin(parameters map[string]any) backends.Config {
	all := config(parameters)
	all.Cluster = plane.Config
	return all
}

// contextOf returns one that the spec ends by itself.
func contextOf(ctx SpecContext) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }
