// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/internal/controller"
	"github.com/sandbox-operator/sandbox-operator/internal/metrics"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
)

// The reconcilers run in this process on a real API server, with providers in memory that fail as the specs say.

const (
	operatorNamespace = "operator"
	installation      = "test-installation"
	// period of the providers, and so the longest that a change of a remote goes unnoticed.
	period = 500 * time.Millisecond
	// orphanGrace is how old an orphan must be.
	orphanGrace = time.Second
)

var (
	plane  *controlplane.ControlPlane
	k8s    client.Client
	scheme = runtime.NewScheme()
	// providers by backend name: "named" has unique names, "listed" only marks, "secured" wants the token "right".
	providers = map[string]*memory.Provider{
		"named":  memory.NewProvider(memory.Options{UniqueNames: true}),
		"listed": memory.NewProvider(memory.Options{CreateDeadline: 2 * time.Second, VisibilityDelay: 500 * time.Millisecond}),
		"slow": memory.NewProvider(memory.Options{
			UniqueNames: true, CreateDeadline: 2 * time.Second, VisibilityDelay: 500 * time.Millisecond,
		}),
		"secured": memory.NewProvider(memory.Options{UniqueNames: true, Token: "right-token"}),
		"imageless": memory.NewProvider(memory.Options{
			UniqueNames: true, Capabilities: []backends.Capability{backends.CapabilityTemplate},
		}),
		// "swept" has unique names, and is for specs about what is nobody's; "mortal" ends remotes between 2 s and an hour.
		"swept":  memory.NewProvider(memory.Options{UniqueNames: true}),
		"mortal": memory.NewProvider(memory.Options{UniqueNames: true, LeastLifetime: 2 * time.Second, MostLifetime: time.Hour}),
		// "plain" has none of the abilities that a backend may have.
		"plain": memory.NewProvider(memory.Options{UniqueNames: true, Capabilities: []backends.Capability{}}),
		// Two accounts of the backend "accounts".
		"account-a": memory.NewProvider(memory.Options{UniqueNames: true}),
		"account-b": memory.NewProvider(memory.Options{UniqueNames: true}),
		"shellless": memory.NewProvider(memory.Options{UniqueNames: true, RunCommandFunc: runShellless}),
	}
	stopManager func()
)

func TestController(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an API server")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "Controllers on a real API server")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrl.SetLogger(GinkgoLogr)
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	var err error
	plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{"config/crd/bases"}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(plane.Stop()).To(Succeed()) })
	k8s, err = client.New(plane.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	Expect(k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}})).To(Succeed())
	grantManagerRole(ctx)
	// Each spec has a namespace of its own, and metrics tell of them by name.
	metrics.SetLimit(10 * metrics.DefaultLimit)
	before := goleak.IgnoreCurrent()
	stopManager = startManager()
	DeferCleanup(func() {
		stopManager()
		for name, p := range providers {
			Expect(p.Close()).To(Succeed(), name)
		}
		Expect(goleak.Find(before, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
			goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
			// client-go's event watchers end with their broadcaster, but not at once.
			goleak.IgnoreAnyFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"),
			goleak.IgnoreAnyFunction("k8s.io/client-go/util/workqueue.(*Typed[...]).updateUnfinishedWorkLoop"),
		)).To(Succeed())
	})
})

// manager is who the reconcilers are to the API server: nobody but for the role that config/rbac gives them.
const manager = "system:serviceaccount:operator:controller-manager"

func grantManagerRole(ctx context.Context) {
	GinkgoHelper()
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	Expect(err).NotTo(HaveOccurred())
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: manager}}
	for document := range strings.SplitSeq(string(text), "---\n") {
		switch {
		case strings.Contains(document, "kind: ClusterRole\n"):
			var role rbacv1.ClusterRole
			Expect(yaml.UnmarshalStrict([]byte(document), &role)).To(Succeed())
			create(ctx, &role, &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "manager"}, Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			})
		case strings.Contains(document, "kind: Role\n"):
			var role rbacv1.Role
			Expect(yaml.UnmarshalStrict([]byte(document), &role)).To(Succeed())
			role.Namespace = operatorNamespace
			create(ctx, &role, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "manager"}, Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			})
		}
	}
}

// startManager runs the reconcilers until the function that it returns is called.
func startManager() func() {
	asManager := rest.CopyConfig(plane.Config)
	asManager.Impersonate = rest.ImpersonationConfig{UserName: manager}
	mgr, err := ctrl.NewManager(asManager, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache:      cache.Options{DefaultTransform: controller.StripFinished},
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor:                      []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
			EnableReadYourWritesConsistency: new(true),
		}},
	})
	Expect(err).NotTo(HaveOccurred())
	registrations := []backends.Registration{accounts()}
	for name, p := range providers {
		registrations = append(registrations, p.Registration(name))
	}
	ctx, cancel := context.WithCancel(context.Background())
	Expect(controller.Setup(ctx, mgr, controller.Options{
		Registry: backends.NewRegistry(registrations...), Installation: installation, Namespace: operatorNamespace,
		Workers: 64, Period: period, DeletionDeadline: 10 * time.Second, OrphanGrace: orphanGrace,
		LossDelay: 300 * time.Millisecond, RecreateDelay: 50 * time.Millisecond,
		// One whose turn never ended would hold up all others.
		LongestStagger: time.Hour,
	})).To(Succeed())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	return func() {
		cancel()
		Eventually(done).Should(Receive(Succeed()))
	}
}

// accounts is a backend whose key says which account it is of: the part before the slash. With an endpoint, that says it.
func accounts() backends.Registration {
	r := providers["account-a"].Registration("accounts")
	r.Setup.Keys = []backends.CredentialKey{{Name: "token", Description: "the account and its key"}}
	r.HasEndpoint, r.HasSandboxParameters = true, true
	r.New = func(ctx context.Context, config backends.Config) (backends.Backend, error) {
		account, _, _ := strings.Cut(string(config.Credentials["token"]), "/")
		if _, host, ok := strings.Cut(config.Endpoint, "://"); ok {
			account = host
		}
		p, ok := providers[account]
		if !ok {
			return nil, backends.Errorf(backends.Invalid, "accounts", "configure", "there is no account %q", account)
		}
		return p.Registration("accounts").New(ctx, backends.Config{Parameters: config.Parameters})
	}
	return r
}

var spaces atomic.Int32

// newNamespace makes a namespace of its own for a spec, with a provider "p" of each backend's name in it.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	name := fmt.Sprintf("spec-%d", spaces.Add(1))
	Expect(k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { //nolint:contextcheck // Remotes makes no call
		for _, p := range providers {
			p.ClearFaults()
		}
		Expect(k8s.DeleteAllOf(ctx, &v1alpha1.SandboxExec{}, client.InNamespace(name))).To(Succeed())
		Expect(k8s.DeleteAllOf(ctx, &v1alpha1.Sandbox{}, client.InNamespace(name))).To(Succeed())
		Eventually(func(g Gomega) {
			var left v1alpha1.SandboxList
			g.Expect(k8s.List(ctx, &left, client.InNamespace(name))).To(Succeed())
			g.Expect(left.Items).To(BeEmpty(), "a Sandbox does not go")
		}).Should(Succeed())
		Expect(k8s.DeleteAllOf(ctx, &v1alpha1.SandboxProvider{}, client.InNamespace(name))).To(Succeed())
		for backend := range providers {
			Eventually(func() []backends.Remote { return remotesOf(backend, name) }).Should(BeEmpty(), "a remote is left")
		}
	})
	return name
}

// remotesOf are the remotes at a provider that were made for objects of a namespace.
func remotesOf(backend, namespace string) []backends.Remote {
	var found []backends.Remote
	for _, remote := range providers[backend].Remotes() {
		if remote.Mark.Namespace == namespace {
			found = append(found, remote)
		}
	}
	return found
}

func create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, object := range objects {
		Expect(k8s.Create(ctx, object)).To(Succeed())
	}
}

// refresh reads the object again and returns it.
func refresh[T client.Object](ctx context.Context, object T) T {
	GinkgoHelper()
	Expect(k8s.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	return object
}

func conditionsOf(object client.Object) []metav1.Condition {
	switch o := object.(type) {
	case *v1alpha1.Sandbox:
		return o.Status.Conditions
	case *v1alpha1.SandboxExec:
		return o.Status.Conditions
	case *v1alpha1.SandboxProvider:
		return o.Status.Conditions
	case *v1alpha1.ClusterSandboxProvider:
		return o.Status.Conditions
	default:
		return nil
	}
}

// condition returns a condition of the object as it is now, "Status/Reason: message".
func condition(ctx context.Context, object client.Object, kind string) string {
	if err := k8s.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return err.Error()
	}
	c := meta.FindStatusCondition(conditionsOf(object), kind)
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%s/%s: %s", c.Status, c.Reason, c.Message)
}

// eventually waits for a condition of the object.
func eventually(ctx context.Context, object client.Object, kind, prefix string) {
	GinkgoHelper()
	Eventually(func() string { return condition(ctx, object, kind) }).Should(HavePrefix(prefix))
}

func gone(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Eventually(func() bool {
		return apierrors.IsNotFound(k8s.Get(ctx, client.ObjectKeyFromObject(object), object))
	}).Should(BeTrue(), "the object does not go")
}
