// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package daytona_test holds what a user of the operator sees with the backend daytona: the manager's own program, a real control plane,
// and a fake Daytona whose sandboxes really run.
//
// sandbox_test.go has the life of sandboxes and what it costs in calls, trouble_test.go what goes wrong at the provider,
// crash_test.go kills the manager, and secrets_test.go looks for Secrets where none may be.
package daytona_test

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/builders"
	"github.com/sandbox-operator/sandbox-operator/test/fakes/daytona"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var (
	bed  *testbed.Bed
	fake *daytona.Server
)

func TestTheOperatorWithDaytona(t *testing.T) { testbed.RunSuite(t, "The operator with Daytona") }

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	fake, err = daytona.Start(daytona.Options{
		Newest: true, KeepBodies: true, StartDelay: 80 * time.Millisecond, StopDelay: 50 * time.Millisecond,
		DestroyDelay: 50 * time.Millisecond, BuildDelay: time.Second, ListLag: 100 * time.Millisecond,
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(fake.Close)
	bed, err = testbed.Start(ctx, testbed.Options{Arguments: []string{"--backends=daytona"}})
	Expect(err).NotTo(HaveOccurred())
	bed.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: testbed.Namespace, Name: "daytona"},
		StringData: map[string]string{"apiKey": daytona.FakeKey},
	}, provider("daytona"))
	Expect(bed.StartManager()).To(Succeed())
})

// All namespaces of specs are deleted by now: nothing may be left at the provider.
var _ = AfterSuite(func(ctx context.Context) {
	if bed == nil {
		return
	}
	DeferCleanup(func(ctx context.Context) { Expect(bed.Stop(ctx)).To(Succeed()) })
	Eventually(fake.States).WithContext(ctx).WithTimeout(testbed.Patience).Should(BeEmpty(), bed.LogTail)
})

// provider is one that leads to the fake.
func provider(name string) *v1alpha1.ClusterSandboxProvider {
	made := builders.MakeClusterProvider(name, "daytona").Credentials("daytona").Obj()
	made.Spec.Endpoint = fake.URL()
	return made
}

func sandbox(room *testbed.Room, name string) *builders.SandboxBuilder {
	return builders.MakeSandbox(room.Namespace, name).ClusterProvider("daytona")
}

// mark is a place in the record of the fake's calls.
func mark() int { return len(fake.Calls()) }

// callsSince are the calls about one sandbox, or about making one: lists are the account's.
func callsSince(mark int, id string) []string {
	var calls []string
	for _, call := range fake.Calls()[mark:] {
		line := call.Method + " " + call.Path
		if line == "GET /api/sandbox" || call.Path != "/api/sandbox" && !strings.Contains(call.Path, id) {
			continue
		}
		calls = append(calls, strings.ReplaceAll(line, id, "ID"))
	}
	return calls
}
