// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package system_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A short SandboxExec in a Ready Sandbox", func() {
	// Other tests use the machine as well: what counts is the best of a few batches.
	It("is Finished within 300 ms at the median", FlakeAttempts(5), func(ctx context.Context) {
		const runs, budget = 20, 300 * time.Millisecond
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		room.Run(ctx, room.Exec("first", "box").Command("true"))
		watcher, err := bed.Client.Watch(ctx, &v1alpha1.SandboxExecList{}, client.InNamespace(room.Namespace))
		Expect(err).NotTo(HaveOccurred())
		defer watcher.Stop()

		var took []time.Duration
		for i := range runs {
			exec := room.Exec(fmt.Sprintf("run-%d", i), "box").Command("true").Obj()
			began := time.Now()
			room.Create(ctx, exec)
			Eventually(watcher.ResultChan()).WithTimeout(testbed.Patience).Should(Receive(Satisfy(func(e watch.Event) bool {
				seen, ok := e.Object.(*v1alpha1.SandboxExec)
				return ok && seen.Name == exec.Name && testbed.IsFinished(seen)
			})), bed.LogTail)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		median, p90 := took[runs/2], took[runs*9/10]
		AddReportEntry("creation to Finished", fmt.Sprintf("median %v, p90 %v", median.Round(time.Millisecond), p90.Round(time.Millisecond)),
			ReportEntryVisibilityAlways)
		Expect(median).To(BeNumerically("<", budget), "all: %v", took)
	})
})
