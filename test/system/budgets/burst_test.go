// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package budgets_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A burst of SandboxExecs", func() {
	It("of 1,000, with 100 at once, in 20 sandboxes: none fails, and none runs twice", func(ctx context.Context) {
		const runs, atOnce, sandboxes = 1000, 100, 20
		room := bed.NewRoom(ctx)
		boxes := make([]*v1alpha1.Sandbox, sandboxes)
		for i := range boxes {
			boxes[i] = room.Sandbox(boxName(i)).Obj()
			room.Create(ctx, boxes[i])
		}
		for _, box := range boxes {
			room.EventuallyReady(ctx, box)
		}
		finishes := room.FollowFinishes(ctx, runs)

		began := time.Now()
		slots := make(chan struct{}, atOnce)
		failed := make(chan error, runs)
		var group sync.WaitGroup
		defer group.Wait()
		feeding, stop := context.WithCancel(ctx)
		defer stop()
		group.Go(func() {
			for i := range runs {
				select {
				case <-feeding.Done():
					return
				case slots <- struct{}{}:
				}
				name := fmt.Sprintf("run-%04d", i)
				failed <- bed.Client.Create(feeding, room.Exec(name, boxName(i%sandboxes)).Shell("echo "+name+" >>/workspace/ran").Obj())
			}
		})
		finished := map[string]*v1alpha1.SandboxExec{}
		for len(finished) < runs {
			var exec *v1alpha1.SandboxExec
			Eventually(ctx, finishes).WithTimeout(testbed.Patience).Should(Receive(&exec), bed.LogTail)
			finished[exec.Name] = exec
			<-slots
		}
		took := time.Since(began)
		AddReportEntry("a burst of short runs", fmt.Sprintf("%d in %v, %.0f a second", runs, took.Round(time.Millisecond),
			float64(runs)/took.Seconds()), ReportEntryVisibilityAlways)
		for range runs {
			Expect(<-failed).To(Succeed())
		}
		for _, exec := range finished {
			Expect(exec.Status.Outcome).To(Equal(v1alpha1.OutcomeSucceeded), testbed.StateOf(exec))
		}
		ran := map[string]int{}
		for _, box := range boxes {
			text, err := bed.RunIn(ctx, box.Status.SandboxID, "cat /workspace/ran")
			Expect(err).NotTo(HaveOccurred())
			for name := range strings.FieldsSeq(text) {
				ran[name]++
			}
		}
		Expect(ran).To(HaveLen(runs))
		Expect(ran).To(HaveEach(1), "a command ran twice")
	})
})

func boxName(i int) string { return fmt.Sprintf("box-%02d", i) }
