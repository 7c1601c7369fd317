// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/internal/backends"
	"github.com/sandbox-operator/sandbox-operator/internal/backends/memory"
	"github.com/sandbox-operator/sandbox-operator/internal/provider"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-secret-token"

// fixture is a provider in memory, reached through doors.
type fixture struct {
	memory *memory.Provider
	doors  *provider.Doors
	client client.WithWatch
}

func newFixture(t *testing.T, change func(*backends.Registration), objects ...client.Object) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		memory: memory.NewProvider(memory.Options{UniqueNames: true, Token: token}),
		client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
	}
	t.Cleanup(func() {
		if err := f.memory.Close(); err != nil {
			t.Error(err)
		}
	})
	registration := f.memory.Registration("memory")
	if change != nil {
		change(&registration)
	}
	f.doors = &provider.Doors{Registry: backends.NewRegistry(registration), Secrets: f.client, Namespace: "operator"}
	return f
}

func secret(value string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "key"}, Data: map[string][]byte{"token": []byte(value)},
	}
}

func object() *v1alpha1.SandboxProvider {
	p := builders.MakeProvider("ns", "p", "memory").Credentials("key").Obj()
	p.UID, p.Generation = "uid-of-p", 1
	return p
}

func (f *fixture) open(t *testing.T) *provider.Door {
	t.Helper()
	door, err := f.doors.Open(t.Context(), provider.Of(object()))
	if err != nil {
		t.Fatal(err)
	}
	door.Verify()
	return door
}

func TestADoorIsBuiltOnceAndAgainWhenTheProviderRefusedItsCredentials(t *testing.T) {
	f := newFixture(t, nil, secret("a-wrong-token"))
	door := f.open(t)
	if f.open(t) != door {
		t.Error("the door was built twice")
	}
	if _, err := door.List(t.Context(), backends.Filter{}); !errors.Is(err, backends.Unauthorized) {
		t.Fatalf("got %v, want Unauthorized", err)
	}
	if err := f.client.Update(t.Context(), secret(token)); err != nil {
		t.Fatal(err)
	}
	again := f.open(t)
	if again == door {
		t.Error("the door with the refused credentials was kept")
	}
	if _, err := again.List(t.Context(), backends.Filter{}); err != nil {
		t.Error(err)
	}
}

func TestReopenSeesARotatedSecretAndKeepsAnUnchangedDoor(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	door := f.open(t)
	again, err := f.doors.Reopen(t.Context(), provider.Of(object()))
	if err != nil || again != door {
		t.Errorf("got another door for the same Secret, %v", err)
	}
	if err := f.client.Update(t.Context(), secret("rotated-token")); err != nil {
		t.Fatal(err)
	}
	if again, err = f.doors.Reopen(t.Context(), provider.Of(object())); err != nil || again == door {
		t.Errorf("got the old door for a rotated Secret, %v", err)
	}
	if door.Version() == again.Version() {
		t.Error("the version did not change with the Secret")
	}
}

func TestRemotesCanBeDestroyedAfterTheSecretIsGone(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	door := f.open(t)
	if err := f.client.Delete(t.Context(), secret("")); err != nil {
		t.Fatal(err)
	}
	gone := object()
	gone.Generation++
	if _, err := f.doors.Open(t.Context(), provider.Of(gone)); err == nil {
		t.Error("a provider without its Secret can still be used for new sandboxes")
	}
	if last, err := f.doors.OpenExisting(t.Context(), provider.Of(gone)); err != nil || last != door {
		t.Errorf("the last open door does not serve on: %v", err)
	}
	if _, err := f.doors.Open(t.Context(), provider.Of(object())); err == nil {
		t.Error("a provider whose Secret is known to be gone can still be used for new sandboxes")
	}
}

func TestErrorsHoldNoCredentials(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	leak := backends.Errorf(backends.Invalid, "memory", "create", "the key %s is not for this", token)
	defer f.memory.Inject(memory.Fault{Operation: memory.OperationCreate, Err: leak})()
	_, err := f.open(t).Create(t.Context(), backends.CreateRequest{Name: "x"})
	if err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "[redacted]") {
		t.Errorf("got %v", err)
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		if strings.Contains(cause.Error(), token) {
			t.Errorf("the cause tells the secret: %v", cause)
		}
	}
}

func TestWhatTheProviderAskedForIsObeyedByAllOfTheAccount(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	door := f.open(t)
	defer f.memory.Inject(memory.Fault{
		Operation: memory.OperationGet, Times: 1, Err: memory.Error(backends.RateLimited, time.Hour),
	})()
	if _, err := door.Get(t.Context(), "x"); !errors.Is(err, backends.RateLimited) {
		t.Fatalf("got %v", err)
	}
	before := f.memory.Calls(memory.OperationList)
	_, err := door.List(t.Context(), backends.Filter{})
	if !errors.Is(err, backends.RateLimited) || backends.RetryAfter(err) < 59*time.Minute {
		t.Errorf("got %v after %s", err, backends.RetryAfter(err))
	}
	if f.memory.Calls(memory.OperationList) != before {
		t.Error("the provider was called within the pause that it asked for")
	}
}

func TestAnOutageOpensTheBreaker(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	door := f.open(t)
	defer f.memory.Inject(memory.Fault{Operation: memory.OperationGet, Err: memory.Error(backends.Unavailable, 0)})()
	for range 20 {
		if _, err := door.Get(t.Context(), "x"); !errors.Is(err, backends.Unavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if calls := f.memory.Calls(memory.OperationGet); calls != 5 {
		t.Errorf("an outage cost %d calls at once, want 5", calls)
	}
}

func TestAnswersThatAreNoOutageKeepTheBreakerClosed(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	door := f.open(t)
	for range 20 {
		if _, err := door.Get(t.Context(), "absent"); !errors.Is(err, backends.NotFound) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestWhatOneRequestIsToBlameForKeepsTheBreakerClosed(t *testing.T) {
	f := newFixture(t, nil, secret(token))
	door := f.open(t)
	blame := backends.Errorf(backends.Unavailable, "memory", "get", "the registry that it names can't be reached")
	blame.OfRequest = true
	defer f.memory.Inject(memory.Fault{Operation: memory.OperationGet, Err: blame})()
	for range 20 {
		if _, err := door.Get(t.Context(), "x"); !errors.Is(err, backends.Unavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if calls := f.memory.Calls(memory.OperationGet); calls != 20 {
		t.Errorf("%d of 20 calls were made", calls)
	}
}

func TestMoreCallsThanAnAccountMayHaveAreNotMade(t *testing.T) {
	f := newFixture(t, func(r *backends.Registration) { r.Concurrency = 1 }, secret(token))
	door := f.open(t)
	gate := memory.NewGate()
	defer f.memory.Inject(memory.Fault{Operation: memory.OperationGet, Gate: gate})()
	var group sync.WaitGroup
	group.Go(func() { _, _ = door.Get(t.Context(), "x") })
	<-gate.Reached()
	if _, err := door.List(t.Context(), backends.Filter{}); !errors.Is(err, provider.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	gate.Open()
	group.Wait()
	ctx, release, err := door.Reserve(t.Context(), "list")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := door.List(t.Context(), backends.Filter{}); !errors.Is(err, provider.ErrBusy) {
		t.Errorf("a reserved place was given away: %v", err)
	}
	if _, err := door.List(ctx, backends.Filter{}); err != nil {
		t.Errorf("the reserved place was not used: %v", err)
	}
	release()
	if _, err := door.List(t.Context(), backends.Filter{}); err != nil {
		t.Errorf("a used reservation was given back twice or never: %v", err)
	}
}

func TestSetupErrorsSayWhatToType(t *testing.T) {
	without := object()
	without.Spec.Credentials = nil
	cluster := builders.MakeClusterProvider("c", "memory").Credentials("key").Obj()
	for name, c := range map[string]struct {
		object client.Object
		want   []string
	}{
		"no Secret": {object(), []string{
			`Secret "key" does not exist in namespace "ns"`, "kubectl create secret generic key -n ns --from-literal=token=...",
		}},
		"no reference": {without, []string{
			"spec.credentials.secretRef.name", "kubectl create secret generic NAME -n ns --from-literal=token=...",
		}},
		"cluster provider": {cluster, []string{`in namespace "operator"`, "-n operator"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newFixture(t, nil).doors.Open(t.Context(), provider.Of(c.object))
			setup, ok := provider.IsSetup(err)
			if !ok || setup.Reason != v1alpha1.ReasonCredentialsMissing {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(setup.Message, want) {
					t.Errorf("%q does not say %q", setup.Message, want)
				}
			}
		})
	}
}
