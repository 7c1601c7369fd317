// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/test/controlplane"
)

func TestNamespacesAreParsed(t *testing.T) {
	names, err := parseNamespaces(" team-b,team-a,,team-b ")
	if err != nil || strings.Join(names, " ") != "team-a team-b" {
		t.Errorf("got %q, %v", names, err)
	}
	if names, err := parseNamespaces(""); names != nil || err != nil {
		t.Errorf("nothing should be all namespaces, not %q, %v", names, err)
	}
	if _, err := parseNamespaces("a/b"); err == nil || !strings.Contains(err.Error(), `"a/b" is no namespace`) {
		t.Errorf("got %v", err)
	}
}

// The cache of a manager for some namespaces has one informer for each. What one of them saw says nothing of another's.
func TestReadsOfOneNamespaceWaitForItsOwnWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("needs an API server")
	}
	ctx := t.Context()
	plane, err := controlplane.Start(ctx, controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plane.Stop() }()
	direct, err := client.New(plane.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"late", "early"} {
		create(ctx, t, direct, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		create(ctx, t, direct, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "it"}})
	}

	// Events of the namespace late wait at the gate.
	gate := make(chan struct{})
	held := func(object any) (any, error) {
		if configMap, ok := object.(*corev1.ConfigMap); ok && configMap.Data != nil {
			<-gate
		}
		return object, nil
	}
	c := start(t, plane.Config, map[string]cache.Config{"late": {Transform: held}, "early": {}})
	late, early := read(ctx, t, c, "late"), read(ctx, t, c, "early")
	for _, object := range []*corev1.ConfigMap{late, early} {
		if err := c.Patch(ctx, object, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"written":"yes"}}`))); err != nil {
			t.Fatal(err)
		}
	}
	if now := read(ctx, t, c, "early"); now.Data["written"] != "yes" {
		t.Error("the write is not read where its event has come")
	}

	soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	var stale corev1.ConfigMap
	if err := c.Get(soon, client.ObjectKey{Namespace: "late", Name: "it"}, &stale); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read that should wait for its event gives %v, %v", stale.Data, err)
	}
	var all corev1.ConfigMapList
	if err := c.List(soon, &all); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a list of all namespaces should wait too, and gives %v", err)
	}
	close(gate)
	if now := read(ctx, t, c, "late"); now.Data["written"] != "yes" {
		t.Error("the write is not read once its event has come")
	}
	if err := c.List(ctx, &all, client.MatchingFields{"metadata.name": "it"}); err != nil || len(all.Items) != 2 {
		t.Errorf("a list of all namespaces has %d objects: %v", len(all.Items), err)
	}
}

// start runs a cache of these namespaces until the test ends, and returns the client that reads from it.
func start(t *testing.T, config *rest.Config, namespaces map[string]cache.Config) client.Client {
	t.Helper()
	objects, err := cache.New(config, cache.Options{Scheme: clientgoscheme.Scheme, DefaultNamespaces: namespaces})
	if err != nil {
		t.Fatal(err)
	}
	byName := func(object client.Object) []string { return []string{object.GetName()} }
	if err := objects.IndexField(t.Context(), &corev1.ConfigMap{}, "metadata.name", byName); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = objects.Start(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	c, err := perNamespace([]string{"late", "early"})(config, client.Options{
		Scheme: clientgoscheme.Scheme,
		Cache:  &client.CacheOptions{Reader: objects, EnableReadYourWritesConsistency: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(ctx context.Context, t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(ctx, object); err != nil {
		t.Fatal(err)
	}
}

func read(ctx context.Context, t *testing.T, c client.Client, namespace string) *corev1.ConfigMap {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var found corev1.ConfigMap
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "it"}, &found); err != nil {
		t.Fatal(err)
	}
	return &found
}
