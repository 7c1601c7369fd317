// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package testbed

import (
	"context"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
)

// FollowFinishes gives each SandboxExec of the room once, as soon as an informer sees it finished; room is for so many. A bare
// watch would do for a few: the API server closes that of a client that is slow in a burst.
func (r *Room) FollowFinishes(ctx context.Context, most int) <-chan *v1alpha1.SandboxExec {
	GinkgoHelper()
	objects, err := cache.New(r.Plane.Config, cache.Options{
		Scheme: r.Client.Scheme(), DefaultNamespaces: map[string]cache.Config{r.Namespace: {}},
	})
	Expect(err).NotTo(HaveOccurred())
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	DeferCleanup(func() {
		cancel()
		ended.Wait()
	})
	ended.Go(func() { _ = objects.Start(following) })
	informer, err := objects.GetInformer(ctx, &v1alpha1.SandboxExec{})
	Expect(err).NotTo(HaveOccurred())

	finishes := make(chan *v1alpha1.SandboxExec, most)
	seen := map[string]bool{}
	note := func(object any) {
		if exec, ok := object.(*v1alpha1.SandboxExec); ok && IsFinished(exec) && !seen[exec.Name] && len(seen) < most {
			seen[exec.Name] = true
			finishes <- exec.DeepCopy()
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: note, UpdateFunc: func(_, now any) { note(now) },
	})
	Expect(err).NotTo(HaveOccurred())
	return finishes
}
