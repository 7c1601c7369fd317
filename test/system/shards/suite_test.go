// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package shards_test runs two instances of the operator, real processes, side by side on one API server: one without --shard, which
// owns the providers, and one of the shard "a". Their provider is the fake of the chaos suite, which counts calls and can stop them.
//
// suite_test.go starts and ends the instances, each with a proxy of its own that tells what it wrote. apart_test.go has what each of
// them does for its own objects, together_test.go what they share, and moves_test.go what happens when a label changes.
package shards_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/test/apiproxy"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/backend"
	"github.com/sandbox-operator/sandbox-operator/test/chaos/fake"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
	"github.com/sandbox-operator/sandbox-operator/test/controlplane/binaries"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

const (
	token        = "shards-token"
	installation = "shards"
	// shard is the name of the second instance.
	shard = "a"
)

var (
	bed *testbed.Bed
	// cloud is the provider, in this process.
	cloud fake.Control
	// owner has no --shard; other has, and follows it.
	owner, other *instance
)

// instance is one of the two, as one process after another.
type instance struct {
	name      string
	arguments []string
	dir       string
	proxy     *apiproxy.Proxy
	process   *testbed.Manager
}

func TestTwoInstances(t *testing.T) { testbed.RunSuite(t, "Two instances of the operator") }

var _ = BeforeSuite(func(ctx context.Context) {
	dir, err := os.MkdirTemp("", "shards-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(os.RemoveAll(dir)).To(Succeed()) })
	program := filepath.Join(dir, "manager")
	Expect(binaries.Build(ctx, program, "./test/chaos/manager")).To(Succeed())
	plane, err := controlplane.Start(ctx, controlplane.Options{CRDs: []string{"config/crd/bases"}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(plane.Stop()).To(Succeed()) })

	startCloud(dir)
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	c, err := client.NewWithWatch(plane.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	bed = &testbed.Bed{Plane: plane, Client: c, Provider: allRemotes{}}
	bed.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testbed.Namespace}})

	owner = newInstance(dir, "owner", "--shards=2")
	other = newInstance(dir, "other", "--shards=2", "--shard="+shard)
	owner.start()
	other.start()
	DeferCleanup(func(ctx context.Context) {
		// All rooms are deleted by now: both instances have to clear what is theirs.
		Eventually(func() []backends.Remote { return remotes(ctx, "") }).WithTimeout(testbed.Patience).Should(BeEmpty(), logs)
		owner.kill()
		other.kill()
	})
})

// startCloud runs the provider until the suite ends.
func startCloud(dir string) {
	GinkgoHelper()
	server := fake.NewServer(fake.Options{Dir: filepath.Join(dir, "remotes"), Token: token, UniqueNames: true})
	web := httptest.NewServer(server)
	cloud = fake.Control{URL: web.URL}
	DeferCleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		web.CloseClientConnections()
		web.Close()
		Expect(server.Close()).To(Succeed())
	})
}

func newInstance(dir, name string, arguments ...string) *instance {
	GinkgoHelper()
	i := &instance{name: name, dir: filepath.Join(dir, name)}
	Expect(os.Mkdir(i.dir, 0o700)).To(Succeed())
	var err error
	i.proxy, err = apiproxy.Start(bed.Plane.Config)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(i.proxy.Close()).To(Succeed()) })
	Expect(i.proxy.WriteKubeconfig(filepath.Join(i.dir, "kubeconfig"))).To(Succeed())
	i.arguments = append([]string{
		"--chaos-url=" + cloud.URL, "--chaos-dir=" + filepath.Join(dir, "remotes"), "--namespace=" + testbed.Namespace,
		"--installation-id=" + installation, "--provider-period=500ms", "--orphan-grace=1s", "--health-probe-bind-address=0",
		"--leader-elect", "--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=200ms",
		"--zap-devel=false",
	}, arguments...)
	return i
}

func (i *instance) logFile() string { return filepath.Join(i.dir, "manager.log") }

func (i *instance) start() {
	GinkgoHelper()
	log, err := os.OpenFile(i.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = log.Close() }()
	program := filepath.Join(filepath.Dir(i.dir), "manager")
	i.process, err = testbed.Launch(program, filepath.Join(i.dir, "kubeconfig"), log, i.arguments...)
	Expect(err).NotTo(HaveOccurred())
}

func (i *instance) kill() {
	GinkgoHelper()
	if i.process != nil {
		Expect(i.process.Kill()).To(Succeed())
		i.process = nil
	}
}

// writes are what the instance changed of Sandboxes and SandboxExecs in a namespace.
func (i *instance) writes(namespace string) []apiproxy.Request {
	return i.proxy.Since(0, func(r apiproxy.Request) bool {
		return apiproxy.IsWrite(r) && r.Namespace == namespace && strings.HasPrefix(r.Resource, "sandbox") &&
			r.Resource != "sandboxproviders"
	})
}

// touched are the names of the objects that it changed. That the owner asks another to look is no change: in these suites it lists twice a
// second, and may see a remote before its Sandbox says that it has it.
func (i *instance) touched(namespace string) map[string]bool {
	names := map[string]bool{}
	for _, r := range i.writes(namespace) {
		if !strings.Contains(string(r.Body), v1alpha1.LookAnnotation) {
			names[r.Name] = true
		}
	}
	return names
}

func instanceOf(label string) *instance {
	if label == "" {
		return owner
	}
	return other
}

// logs are the ends of both logs, for failure messages.
func logs() string {
	var text strings.Builder
	for _, i := range []*instance{owner, other} {
		log, _ := os.ReadFile(i.logFile())
		const most = 4000
		text.WriteString("\nthe log of " + i.name + ":\n" + string(log[max(0, len(log)-most):]))
	}
	return text.String()
}

// allRemotes is what the test bed reports of the provider.
type allRemotes struct{ backends.Backend }

// List implements backends.Backend.
func (allRemotes) List(ctx context.Context, _ backends.Filter) ([]backends.Remote, error) {
	state, err := cloud.State(ctx)
	return state.Remotes, err
}

// remotes are those of a namespace, of all where that is empty.
func remotes(ctx context.Context, namespace string) []backends.Remote {
	GinkgoHelper()
	found, err := bed.Remotes(ctx, namespace)
	Expect(err).NotTo(HaveOccurred())
	return found
}

// newRoom makes a namespace with a provider "cloud" and an account of its own.
func newRoom(ctx context.Context, change ...func(*builders.ProviderBuilder)) (*testbed.Room, *v1alpha1.SandboxProvider) {
	GinkgoHelper()
	return newRoomOf(ctx, backend.Named, change...)
}

// newRoomOf makes one where sandboxes are found by name, or not.
func newRoomOf(
	ctx context.Context, flavour string, change ...func(*builders.ProviderBuilder),
) (*testbed.Room, *v1alpha1.SandboxProvider) {
	GinkgoHelper()
	room := bed.NewRoom(ctx)
	DeferCleanup(func() {
		if CurrentSpecReport().Failed() {
			AddReportEntry("the logs", logs())
		}
	})
	// What else stands in the Secret tells one account from another.
	room.Secret(ctx, "credentials", map[string]string{fake.TokenKey: token, "account": room.Namespace})
	builder := builders.MakeProvider(room.Namespace, "cloud", flavour).Credentials("credentials").
		Parameters(`{"account":"` + room.Namespace + `"}`).Default()
	for _, c := range change {
		c(builder)
	}
	provider := builder.Obj()
	room.Create(ctx, provider)
	return room, provider
}

// sandbox begins one of the room's provider; name "" = of the owner's.
func sandbox(room *testbed.Room, name, of string) *builders.SandboxBuilder {
	b := builders.MakeSandbox(room.Namespace, name)
	if of != "" {
		b.Label(v1alpha1.ShardLabel, of)
	}
	return b
}

// run begins a SandboxExec in a Sandbox.
func run(room *testbed.Room, name, in, of string) *builders.ExecBuilder {
	b := room.Exec(name, in)
	if of != "" {
		b.Label(v1alpha1.ShardLabel, of)
	}
	return b
}

// label gives an object another instance; "" = the owner.
func label(ctx context.Context, object client.Object, of string) {
	GinkgoHelper()
	value := "null"
	if of != "" {
		value = `"` + of + `"`
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"`+v1alpha1.ShardLabel+`":`+value+`}}}`))
	Expect(bed.Client.Patch(ctx, object, patch)).To(Succeed())
}
