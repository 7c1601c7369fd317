// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package budgets_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sandbox-operator/sandbox-operator/api/v1alpha1"
	"github.com/sandbox-operator/sandbox-operator/test/system/testbed"
)

var _ = Describe("A short SandboxExec in a Ready Sandbox", func() {
	It("is Finished within 300 ms at the median", func(ctx context.Context) {
		// A neighbour of this machine can only make it slower: one round within the budget shows what the operator needs.
		const rounds, budget = 5, 300 * time.Millisecond
		room := bed.NewRoom(ctx)
		room.Ready(ctx, room.Sandbox("box"))
		room.Run(ctx, room.Exec("first", "box").Command("true"))

		finishes := room.FollowFinishes(ctx, 1+rounds*runsOfRound)
		var best time.Duration
		for round := range rounds {
			took := roundOfExecs(ctx, room, finishes, fmt.Sprintf("round-%d", round))
			AddReportEntry("creation to Finished", fmt.Sprintf("median %v, p90 %v", took[len(took)/2].Round(time.Millisecond),
				took[len(took)*9/10].Round(time.Millisecond)), ReportEntryVisibilityAlways)
			if median := took[len(took)/2]; best == 0 || median < best {
				best = median
			}
			if best < budget {
				break
			}
		}
		Expect(best).To(BeNumerically("<", budget))
	})
})

const runsOfRound = 20

// roundOfExecs runs twenty short commands, one after another, and returns how long each took as a client sees it, sorted.
func roundOfExecs(
	ctx context.Context, room *testbed.Room, finishes <-chan *v1alpha1.SandboxExec, prefix string,
) []time.Duration {
	GinkgoHelper()
	var took []time.Duration
	for i := range runsOfRound {
		exec := room.Exec(fmt.Sprintf("%s-%d", prefix, i), "box").Command("true").Obj()
		began := time.Now()
		room.Create(ctx, exec)
		Eventually(ctx, finishes).WithTimeout(testbed.Patience).Should(
			Receive(HaveField("ObjectMeta.Name", exec.Name)), bed.LogTail)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}
